"""Points at which a run can be killed: the moments between two steps of a stage.

A stage is a command at work on what is there for it: one micro-batch, or one hold. Its steps are files of the lake,
in the order in which they come. Before each step lies a point at which a run can be killed; some steps can also be
killed inside, while their file has another name for as long as it is being written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from tests.streaming.crash.watch import BEGUN, OPENED, WRITTEN, Event

# Identity of a file's content, by path below the lake.
Files = Mapping[str, tuple[int, int]]


def files_of(lake: Path) -> Files:
    """Every file of the lake; a file that is written anew, or replaced, has another identity."""
    found = {}
    for path in lake.rglob("*"):
        if path.is_file():
            status = path.stat()
            found[str(path.relative_to(lake))] = (status.st_ino, status.st_mtime_ns)
    return found


@dataclass(frozen=True)
class Step:
    """Files that appear, or are replaced, in a run.

    Attributes:
        pattern: of their paths below the lake; `*` stands for anything, also for `/`.
        name: as it is called in the names of points.
        count: so many of them make the step.
        kind: what happens to them.
        stays: whether they are still there after the run.
        temporary: the pattern of the files that become these, or empty.
    """

    pattern: str
    name: str
    count: int = 1
    kind: str = WRITTEN
    stays: bool = True
    temporary: str = ""

    def matches(self, path: str) -> bool:
        """Whether a path is one of its files."""
        return fnmatchcase(path, self.pattern)

    def is_in(self, paths: Collection[str]) -> bool:
        """Whether the step is among new files."""
        return sum(map(self.matches, paths)) >= self.count

    @property
    def begun(self) -> Step:
        """The step's file while it is being written under another name."""
        return Step(self.temporary, f"the file of {self.name}", kind=BEGUN)


@dataclass(frozen=True)
class Stage:
    """A command at work.

    Attributes:
        scene: the lake that it finds.
        command: of sluice; `{hold}` stands for the scene's held promotion.
        steps: in the order in which they must come.
        inside: names of the steps in the middle of which it is killed too.
        known: names of the steps after which another stage was killed already.
    """

    scene: str
    command: tuple[str, ...]
    steps: tuple[Step, ...]
    inside: tuple[str, ...] = ()
    known: tuple[str, ...] = ()

    def points(self) -> Iterator[Point]:
        """All points of the stage."""
        for number, step in enumerate(self.steps):
            if step.name in self.inside:
                yield Point(self, number, inside=True)
            if step.name not in self.known:
                yield Point(self, number + 1)


@dataclass(frozen=True)
class Point:
    """A moment of a run: after some steps of its stage, and before the others.

    Attributes:
        number: of steps that have been done.
        inside: whether the next one has begun.
    """

    stage: Stage
    number: int
    inside: bool = False

    def __str__(self) -> str:
        steps = self.stage.steps
        if self.inside:
            return f"{self.stage.scene}: inside {steps[self.number].name}"
        return f"{self.stage.scene}: after {steps[self.number - 1].name}"

    @property
    def done(self) -> tuple[Step, ...]:
        """What has happened."""
        done = self.stage.steps[: self.number]
        return (*done, self.stage.steps[self.number].begun) if self.inside else done

    @property
    def missing(self) -> tuple[Step, ...]:
        """What has not."""
        return self.stage.steps[self.number :]

    def faults(self, new: Collection[str]) -> list[str]:
        """What a dead run's new files say against its having died here.

        Args:
            new: paths that were not there before, or were replaced.
        """
        undone = [f"without {step.name}" for step in self.done if step.stays and not step.is_in(new)]
        return undone + [f"with {step.name}" for step in self.missing if step.stays and step.is_in(new)]


class Trail:
    """What has been done so far on the way to a point, by the files that were touched.

    Args:
        new: files that runs before this one left, since the scene was as it is.
    """

    def __init__(self, point: Point, new: Collection[str]) -> None:
        self._point = point
        self._seen = {OPENED: set[str](), BEGUN: set(new), WRITTEN: set(new)}

    def reaches(self, event: Event) -> bool:
        """Notes an event; true if the run is at the point with it, or past it."""
        self._seen[event.kind].add(event.path)
        return all(step.is_in(self._seen[step.kind]) for step in self._point.done)

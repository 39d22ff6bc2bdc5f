"""The commit points of each stage: the order of its commits, and the moments between two of them.

A stage is a command at work on what is there for it: one micro-batch, or one hold. Its steps are files of the lake,
in the order in which they come. Before each step lies a point at which a run can be killed; some steps can also be
killed inside, while their file has another name for as long as it is being written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from sluice import schemas
from sluice.schemas import Table
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
        self._seen = {OPENED: set[str](), BEGUN: set[str](), WRITTEN: set(new)}

    def reaches(self, event: Event) -> bool:
        """Notes an event; true if the run is at the point with it, or past it."""
        self._seen[event.kind].add(event.path)
        return all(step.is_in(self._seen[step.kind]) for step in self._point.done)


def _checkpoint(layer: str, folder: str) -> Step:
    path = f"_checkpoints/{layer}/{folder}"
    return Step(f"{path}/[0-9]*", f"{layer}'s {folder}/N", temporary=f"{path}/.[0-9]*.tmp")


def _read(layer: str) -> Step:
    return Step(f"_checkpoints/{layer}/commits/[0-9]*", f"{layer} has read its checkpoint", kind=OPENED, stays=False)


def _decision(layer: str) -> Step:
    path = f"_checkpoints/{layer}/decisions"
    return Step(f"{path}/{layer}-*.json", f"the decision of {layer}", temporary=f"{path}/.*.tmp")


def _breaker(layer: str) -> Step:
    return Step(f"_checkpoints/{layer}/breaker.json", f"the breaker of {layer}")


def _data(table: Table) -> Step:
    return Step(f"{table.relative_path}/*.parquet", f"files of {table.full_name}")


def _commit(table: Table, count: int = 1) -> Step:
    log = f"{table.relative_path}/_delta_log"
    name = f"the commit of {table.full_name}" + (" again" if count > 1 else "")
    return Step(f"{log}/*.json", name, count, temporary=f"{log}/.*.json.*.tmp")


def _request(layer: str) -> Step:
    # It is taken away once it is answered. Its name ends in hexadecimal digits, the answer's does not.
    return Step(f"_requests/{layer}/*[0-9a-f].json", "the request", stays=False)


def _answer(layer: str) -> Step:
    return Step(f"_requests/{layer}/*.answer.json", "the answer")


def _batch(layer: str, *writes: Step) -> tuple[Step, ...]:
    begin = (_read(layer), _checkpoint(layer, "offsets"))
    return (*begin, *writes, _checkpoint(layer, "commits"))


def _run(layer: str) -> tuple[str, ...]:
    return ("run", "--once", "--layers", layer)


def _decide(action: str) -> tuple[str, ...]:
    return ("gate", action, "{hold}", "--by", "ann", "--why", "looked at it")


BRONZE = Stage(
    "bronze",
    _run("bronze"),
    _batch("bronze", _data(schemas.BRONZE_EVENTS), _commit(schemas.BRONZE_EVENTS)),
    inside=("bronze's offsets/N", "the commit of bronze.events", "bronze's commits/N"),
)
SILVER = Stage(
    "silver",
    _run("silver"),
    _batch(
        "silver",
        _decision("silver"),
        _data(schemas.SILVER_READINGS),
        _commit(schemas.SILVER_READINGS),
        _data(schemas.SILVER_QUARANTINE),
        _commit(schemas.SILVER_QUARANTINE),
        _commit(schemas.SILVER_DUPLICATES),
        _commit(schemas.OPS_CONFIGS),
        _commit(schemas.OPS_SILVER_PROMOTIONS),
        _breaker("silver"),
    ),
    inside=("the decision of silver", "the commit of silver.readings"),
)
GOLD = Stage(
    "gold",
    _run("gold"),
    (
        *_batch(
            "gold",
            _decision("gold"),
            _data(schemas.GOLD_READINGS_1MIN),
            _commit(schemas.GOLD_READINGS_1MIN),
            # First what this batch supersedes, then what it holds itself.
            _commit(schemas.GOLD_HELD),
            _commit(schemas.GOLD_HELD, 2),
            _commit(schemas.GOLD_LATEST_READINGS),
            _commit(schemas.OPS_GOLD_PROMOTIONS),
            _breaker("gold"),
        ),
        _commit(schemas.GOLD_QUALITY_SCORES),
        Step("_checkpoints/gold/scores.json", "what the scores know"),
    ),
    inside=("the commit of gold.readings_1min",),
)
REFUSED = Stage(
    "refused",
    _run("silver"),
    _batch(
        "silver",
        _decision("silver"),
        _data(schemas.SILVER_HELD),
        _commit(schemas.SILVER_HELD),
        _commit(schemas.OPS_SILVER_PROMOTIONS),
        _breaker("silver"),
    ),
    known=("silver has read its checkpoint", "silver's offsets/N", "silver's commits/N"),
)
APPROVE_SILVER = Stage(
    "approve silver",
    _decide(schemas.APPROVE),
    (
        _request("silver"),
        _decision("silver"),
        _commit(schemas.SILVER_READINGS),
        _commit(schemas.SILVER_QUARANTINE),
        _commit(schemas.SILVER_DUPLICATES),
        _commit(schemas.SILVER_HELD),
        _commit(schemas.OPS_SILVER_PROMOTIONS),
        _answer("silver"),
    ),
)
APPROVE_GOLD = Stage(
    "approve gold",
    _decide(schemas.APPROVE),
    (
        _request("gold"),
        _decision("gold"),
        _commit(schemas.GOLD_READINGS_1MIN),
        _commit(schemas.GOLD_HELD),
        _commit(schemas.OPS_GOLD_PROMOTIONS),
        _answer("gold"),
    ),
)
REJECT_SILVER = Stage(
    "reject silver",
    _decide(schemas.REJECT),
    (_request("silver"), _commit(schemas.SILVER_HELD), _commit(schemas.OPS_SILVER_PROMOTIONS), _answer("silver")),
)

STAGES = (BRONZE, SILVER, GOLD, REFUSED, APPROVE_SILVER, APPROVE_GOLD, REJECT_SILVER)
# All layers in one run, for `make test`.
WHOLE = Stage("whole", ("run", "--once"), (*BRONZE.steps, *SILVER.steps, *GOLD.steps))

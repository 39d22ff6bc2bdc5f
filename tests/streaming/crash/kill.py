"""Starts `sluice` as a user does, and kills all of its processes at once."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tests.integration.conftest import BIN, ROOT, environment
from tests.spark_options import JAVA_OPTIONS
from tests.streaming.conftest import Workshop
from tests.streaming.crash.points import Files, Point, Trail, files_of
from tests.streaming.crash.watch import BEGUN, Event, FileEvents

# Longer than any run of these tests takes, even on a busy machine.
_PATIENCE_SECONDS = 240.0
_POLL_SECONDS = 0.25


class Missed(Exception):
    """The run was not where it should have died, or had ended by then."""


@dataclass(frozen=True)
class Command:
    """A command of sluice on a lake.

    Attributes:
        workshop: its lake, topic and limits.
        folder: for what the command and its JVM leave behind.
    """

    arguments: tuple[str, ...]
    workshop: Workshop
    folder: Path

    @property
    def lake(self) -> Path:
        """The lake's folder."""
        return self.workshop.lake.path

    def environment(self) -> dict[str, str]:
        """The command's environment; a JVM that is killed cannot tidy up, so its litter goes into the folder."""
        own = self.workshop.settings
        litter = self.folder / "litter"
        litter.mkdir(parents=True, exist_ok=True)
        named = environment(
            lake__path=own.lake.path,
            kafka__bootstrap_servers=self.workshop.broker.bootstrap_servers,
            kafka__topic=own.kafka.topic,
            expectations__path=own.expectations.path,
            bronze__max_records_per_batch=own.bronze.max_records_per_batch,
            silver__max_megabytes_per_batch=own.silver.max_megabytes_per_batch,
            spark__java_options=f"{JAVA_OPTIONS} -Djava.io.tmpdir={litter}",
        )
        return {**named, "SPARK_LOCAL_DIRS": str(litter)}

    def run(self) -> None:
        """Runs it to its end, which must be a good one."""
        with Victim(self) as victim:
            code = victim.process.wait(_PATIENCE_SECONDS)
        assert code == 0, f"{' '.join(self.arguments)} exited {code}:\n{victim.told}"


class Victim:
    """A command that runs as a session of its own; none of its processes outlives the block."""

    def __init__(self, command: Command) -> None:
        self._command = command
        self._log = command.folder / "told.log"

    def __enter__(self) -> Victim:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(BIN / "sluice"), *self._command.arguments],
                env=self._command.environment(),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def told(self) -> str:
        """What it, and those before it in the same folder, printed."""
        return self._log.read_text("utf-8", errors="replace")

    def kill(self) -> None:
        """SIGKILL for the process group, Python and JVM at once; returns when no process of the session is left."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)
        deadline = time.monotonic() + 30
        while alive := _processes_of(self.process.pid):
            assert time.monotonic() < deadline, f"processes outlive SIGKILL: {alive}"
            # Python workers of Spark make a group of their own.
            for pid in alive:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)


def _processes_of(session: int) -> list[int]:
    """The processes of a session that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, owner = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(owner) == session and state not in "ZX":
            found.append(int(path.parent.name))
    return found


def die_at(point: Point, command: Command, before: Files) -> None:
    """Starts the command and kills it at the point.

    Args:
        before: the lake's files when no run had died in it.

    Raises:
        Missed: it died elsewhere, or not at all; the lake is spoilt for this test.
    """
    trail = Trail(point, _new_files(before, command.lake))
    with FileEvents(command.lake) as events, Victim(command) as victim:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not any(map(trail.reaches, events.read(_POLL_SECONDS))):
            if victim.process.poll() is not None or time.monotonic() > deadline:
                break
        victim.kill()
    if victim.process.returncode != -signal.SIGKILL:
        raise Missed(f"it ended by itself with {victim.process.returncode}:\n{victim.told}")
    if faults := point.faults(_new_files(before, command.lake)):
        raise Missed(f"{point}: it died {', '.join(faults)}")


def _new_files(before: Files, lake: Path) -> set[str]:
    """Files of a lake that were not there, or are others now."""
    return {path for path, identity in files_of(lake).items() if before.get(path) != identity}


def die_after(files: int, pause_seconds: float, command: Command) -> int:
    """Starts the command and kills it a moment after it has written so many new files.

    Returns:
        How many it had written when it was dead.
    """
    seen: set[str] = set()
    with FileEvents(command.lake) as events, Victim(command) as victim:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while len(seen) < files and victim.process.poll() is None and time.monotonic() < deadline:
            seen.update(_lasting(events.read(_POLL_SECONDS)))
        time.sleep(pause_seconds)
        victim.kill()
        while told := list(events.read(0)):
            seen.update(_lasting(told))
    assert victim.process.returncode == -signal.SIGKILL, f"it ended by itself after {len(seen)} files:\n{victim.told}"
    return len(seen)


def is_lasting(path: str) -> bool:
    """Whether a file is no temporary one, no checksum, and none that is replaced again and again."""
    name = path.rpartition("/")[2]
    # deltalake adds #1 to a name until the file is whole.
    return not name.startswith((".", "_")) and "#" not in name


def _lasting(events: Iterable[Event]) -> set[str]:
    return {event.path for event in events if event.kind == BEGUN and is_lasting(event.path)}

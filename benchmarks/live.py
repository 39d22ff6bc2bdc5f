"""`sluice run` at work: its own broker, its own lake, the process as a user starts it, and who watches its tables."""

from __future__ import annotations

import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.audit import audit_lake
from benchmarks.processes import Watched, last_lines, start
from sluice.embedded.broker import start_broker, stop_broker
from sluice.schemas import (
    BRONZE_EVENTS,
    GOLD_READINGS_1MIN,
    LAYERS,
    OPS_GOLD_PROMOTIONS,
    OPS_SILVER_PROMOTIONS,
    SILVER_READINGS,
    UPSTREAM,
    Table,
)
from sluice.settings import Settings, load_settings
from sluice.sources.kafka import end_offsets
from sluice.tables.checkpoints import delta_version, kafka_offsets
from sluice.tables.delta import current_version
from sluice.tables.lake import Lake

# Of each layer what readers read.
READ_TABLES = {"bronze": BRONZE_EVENTS, "silver": SILVER_READINGS, "gold": GOLD_READINGS_1MIN}
_WATCHED = (*READ_TABLES.values(), OPS_SILVER_PROMOTIONS, OPS_GOLD_PROMOTIONS)
_LOOK_SECONDS = 0.02
_POLL_SECONDS = 0.5
_START_SECONDS, _STOP_SECONDS = 900, 300
_BATCH = re.compile(r"^(\d\d):(\d\d):(\d\d) (\w+) +batch \d+: ([\d,]+) in, .* \(([\d.,]+) s, ")
SLUICE = (sys.executable, "-c", "from sluice.cli import main; main()")


@dataclass
class Observer:
    """Sees the commits of a lake's tables appear, as any reader would.

    Attributes:
        seen: by table and version, seconds since 1970.
    """

    lake: Lake
    seen: dict[str, dict[int, float]] = field(default_factory=dict)
    _done: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        """Looks until `end`."""
        logs = {table.full_name: Path(self.lake.table_path(table)) / "_delta_log" for table in _WATCHED}
        self.seen = {name: {} for name in logs}
        while not self._done.wait(_LOOK_SECONDS):
            for name, log in logs.items():
                known = self.seen[name]
                while (log / f"{len(known):020}.json").exists():
                    known[len(known)] = time.time()

    def end(self) -> None:
        """Looks no more."""
        self._done.set()

    def first_commit(self, layer: str) -> float | None:
        """When the first rows of what readers read of a layer were seen."""
        # The version before is the empty table.
        return self.seen.get(READ_TABLES[layer].full_name, {}).get(1)

    def batches(self, table: Table) -> int:
        """The commits after the one that made the table."""
        return max(0, len(self.seen.get(table.full_name, {})) - 1)


@dataclass(frozen=True)
class BatchTime:
    """A micro-batch, as the line about it says.

    Attributes:
        ended_at: seconds since 1970, to the second.
    """

    layer: str
    ended_at: float
    rows: int
    seconds: float


@dataclass
class Live:
    """A running `sluice run`.

    Attributes:
        started_at: when the command was given, seconds since 1970.
    """

    settings: Settings
    bootstrap_servers: str
    environment: dict[str, str]
    log: Path
    watched: Watched
    observer: Observer
    started_at: float

    @property
    def lake(self) -> Lake:
        return Lake(self.settings.lake.path)

    def await_first_commits(self) -> dict[str, float]:
        """Seconds from the command to each layer's first committed batch."""
        deadline = time.monotonic() + _START_SECONDS
        while None in (found := [self.observer.first_commit(layer) for layer in LAYERS]):
            self.check(deadline, "has not committed a batch of each layer")
            time.sleep(_LOOK_SECONDS)
        return {layer: at - self.started_at for layer, at in zip(LAYERS, found, strict=True) if at is not None}

    def await_drained(self, timeout_seconds: float) -> None:
        """Waits until every layer has committed all that was sent."""
        deadline = time.monotonic() + timeout_seconds
        while not self.is_drained():
            self.check(deadline, "has not drained all that was sent")
            time.sleep(_POLL_SECONDS)

    def is_drained(self) -> bool:
        """Whether no layer has anything left to read."""
        topic = self.settings.kafka.topic
        read = kafka_offsets(self.lake.checkpoint_path("bronze")).get(topic, {})
        if read != end_offsets(self.bootstrap_servers, topic, {}):
            return False
        return all(
            (delta_version(self.lake.checkpoint_path(layer)) or 0) >= current_version(self.lake, upstream)
            for layer, upstream in UPSTREAM.items()
        )

    def check(self, deadline: float, what: str) -> None:
        """Raises RuntimeError if the process has ended, or the deadline, of the monotonic clock, is over."""
        if self.watched.process.poll() is not None:
            raise RuntimeError(f"sluice run ended with {self.watched.process.returncode}:\n{last_lines(self.log)}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"sluice run {what} in time:\n{last_lines(self.log)}")

    def stop(self) -> None:
        """Ends it as Ctrl-C does; asserts that it ended well."""
        self.observer.end()
        self.watched.process.send_signal(signal.SIGINT)
        code = self.watched.process.wait(_STOP_SECONDS)
        self.watched.end()
        assert code == 0, f"sluice run ended with {code}:\n{last_lines(self.log)}"

    def audit(self) -> None:
        """Asserts that the books balance."""
        audit_lake(self.environment)

    def batch_times(self) -> list[BatchTime]:
        """All micro-batches so far, in their order; of a run of less than a day."""
        midnight = self.started_at // 86_400 * 86_400
        found = []
        for line in self.log.read_text("utf-8").splitlines():
            if match := _BATCH.match(line):
                hours, minutes, seconds, layer, rows, took = match.groups()
                at = midnight + int(hours) * 3600 + int(minutes) * 60 + int(seconds)
                ended = at + (86_400 if at < self.started_at - 1 else 0)
                found.append(BatchTime(layer, ended, _number(rows), float(took.replace(",", ""))))
        return found


def _number(text: str) -> int:
    return int(text.replace(",", ""))


@contextmanager
def broker_of(folder: Path) -> Iterator[tuple[Settings, str]]:
    """Settings of a lake in the folder, and the address of a broker of its own, which is up while the block runs."""
    options = {"lake.path": str(folder / "lake"), "broker.data_path": str(folder / "broker")}
    settings = load_settings(options=options, environment={})
    broker = start_broker(settings)
    try:
        yield settings, broker.bootstrap_servers
    finally:
        stop_broker(settings.broker.data_path, timeout_seconds=20)


@contextmanager
def sluice_run(settings: Settings, bootstrap_servers: str) -> Iterator[Live]:
    """`sluice run` with its shipped settings; killed at the end of the block if it was not stopped before."""
    folder = settings.lake.path.parent
    environment = {
        "SLUICE_LAKE__PATH": str(settings.lake.path),
        "SLUICE_BROKER__DATA_PATH": str(settings.broker.data_path),
        "SLUICE_KAFKA__BOOTSTRAP_SERVERS": bootstrap_servers,
        # The lines about batches are read as times of UTC.
        "TZ": "UTC",
    }
    log, observer = folder / "run.log", Observer(Lake(settings.lake.path))
    threading.Thread(target=observer.watch, daemon=True).start()
    began, watched = time.time(), start([*SLUICE, "run"], log, environment)
    try:
        yield Live(settings, bootstrap_servers, environment, log, watched, observer, began)
    finally:
        observer.end()
        watched.end()
        if watched.process.poll() is None:
            watched.process.kill()
            watched.process.wait()

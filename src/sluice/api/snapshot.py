"""The lake as requests see it: each table at one version, brought up to date beside them about once a second.

A new version is looked for by one `stat` of the log's next file; only when it is there is the log read.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from sluice.api.owners import NO_OWNERS, OwnerIndex, Owners
from sluice.api.problems import Problem, busy
from sluice.errors import LakeMissing, SluiceError
from sluice.schemas import SILVER_READINGS, TABLES
from sluice.serving.files import DataFile, data_files
from sluice.serving.lake import OpenLake
from sluice.tables.lake import Lake
from sluice.tables.reading import open_dataset

if TYPE_CHECKING:
    import pyarrow.dataset

logger = logging.getLogger("sluice.api")

_KNOWN = {table.full_name: table for table in TABLES}
# Tables that later versions of the lake may have; they are served when they are there.
OPTIONAL_NAMES = ("gold.readings_1hour", "gold.readings_1day", "gold.devices", "gold.alerts")
SERVED = tuple(
    dict.fromkeys(
        (
            "gold.latest_readings",
            "gold.readings_1min",
            "gold.quality_scores",
            *OPTIONAL_NAMES,
            "ops.silver_promotions",
            "ops.gold_promotions",
            "silver.quarantine",
            # Last: who owns a device is then known of all that gold has seen.
            SILVER_READINGS.full_name,
        )
    )
)
_OLD_VERSIONS_KEPT = 16


@dataclass(frozen=True, eq=False)
class TableVersion:
    """One version of a table, which never changes.

    Attributes:
        files: all of its data files, with what is known of their rows.
    """

    name: str
    version: int
    folder: Path
    files: tuple[DataFile, ...]

    @functools.cached_property
    def dataset(self) -> pyarrow.dataset.Dataset:
        """The rows, for tables that are read whole."""
        return open_dataset(DeltaTable(self.folder, version=self.version), self.folder)

    @functools.cached_property
    def by_day(self) -> Mapping[date | None, tuple[DataFile, ...]]:
        """The files by the day they are partitioned by; those of no day under None."""
        partition_by = _KNOWN[self.name].partition_by if self.name in _KNOWN else "bucket_date"
        days: dict[date | None, list[DataFile]] = {}
        for file in self.files:
            days.setdefault(file.bounds.get(partition_by, (None,))[0], []).append(file)
        return {day: tuple(files) for day, files in days.items()}


@dataclass(frozen=True, eq=False)
class Snapshot:
    """All served tables that exist, each at one version, and whose the devices are."""

    tables: Mapping[str, TableVersion]
    owners: Owners


class LakeWatch:
    """Keeps a snapshot of a lake that may change, or come to be, at any time.

    Args:
        refresh_seconds: between two looks.
    """

    def __init__(self, path: Path, refresh_seconds: float) -> None:
        self._path = path
        self._refresh_seconds = refresh_seconds
        self._opened: dict[str, tuple[DeltaTable, tuple[int, ...], TableVersion]] = {}
        self._index = OwnerIndex()
        self._snapshot: Snapshot | None = None
        self._reason = "the lake has not been read yet"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="lake-watch", daemon=True)
        self._lock = threading.Lock()
        self._old = functools.lru_cache(_OLD_VERSIONS_KEPT)(self._open_old)

    def start(self) -> None:
        """Begins to look."""
        self._thread.start()

    def stop(self) -> None:
        """Looks no more."""
        self._stop.set()

    @property
    def reason(self) -> str:
        """Why the lake could not be read at the last look; empty if it could."""
        return self._reason

    def snapshot(self) -> Snapshot:
        """The lake as it was at the last look that could read it.

        Raises:
            Problem: 503, it never could.
        """
        if self._snapshot is None:
            raise busy(self._reason)
        return self._snapshot

    def refresh(self) -> None:
        """One look."""
        try:
            self._snapshot = self._look()
            self._reason = ""
        except SluiceError as error:
            # Paths are for the log: whoever asks for /ready need not know where the lake lies.
            self._say(error.in_one_line, "there is no lake yet, or it cannot be read; the server's log says more")
        except (OSError, ValueError, DeltaError) as error:
            self._say(f"{self._path}: {error}", "the lake cannot be read; the server's log says more")

    def at_version(self, name: str, version: int | datetime) -> TableVersion:
        """A table as it was.

        Args:
            version: a number of its history, or a moment.

        Raises:
            Problem: 410, there is no such version, or no longer.
        """
        with self._lock:
            try:
                return self._old(name, version)
            except (LakeMissing, DeltaError, OSError, ValueError, OverflowError):
                raise Problem(410, "as_of: the tables have no such version, or keep it no longer") from None

    def _watch(self) -> None:
        while not self._stop.is_set():
            self.refresh()
            self._stop.wait(self._refresh_seconds)

    def _say(self, logged: str, told: str) -> None:
        if self._reason != told:
            logger.warning("the lake cannot be read: %s", logged)
        self._reason = told

    def _look(self) -> Snapshot:
        lake = Lake(self._path)
        lake.require()
        present = [name for name in SERVED if (self._path / name.replace(".", "/") / "_delta_log").is_dir()]
        if not present:
            raise LakeMissing(f"the lake at {self._path} has no tables yet", "start the jobs with `sluice run`")
        tables = {name: self._newest(name) for name in present}
        silver = tables.get(SILVER_READINGS.full_name)
        before = self._snapshot
        if before is not None and before.tables == tables:
            return before
        return Snapshot(tables, self._index.update(silver.files) if silver else NO_OWNERS)

    def _newest(self, name: str) -> TableVersion:
        folder = self._path / name.replace(".", "/")
        if name in self._opened:
            table, stamp, known = self._opened[name]
            # The same last file, and none after it: nothing happened. Another one: the table was made anew.
            if stamp == _stamp(folder, known.version):
                if not _log_file(folder, known.version + 1).exists():
                    return known
                table.update_incremental()
                return self._remember(name, folder, table)
        return self._remember(name, folder, DeltaTable(folder))

    def _remember(self, name: str, folder: Path, table: DeltaTable) -> TableVersion:
        found = _version_of(name, folder, table)
        self._opened[name] = (table, _stamp(folder, found.version), found)
        return found

    def _open_old(self, name: str, version: int | datetime) -> TableVersion:
        folder = self._path / name.replace(".", "/")
        found = _version_of(name, folder, OpenLake(Lake(self._path)).delta(name, version))
        # Of a moment before there was anything deltalake takes the first version there is.
        if isinstance(version, datetime) and _written_at(folder, found.version) > version.timestamp():
            raise LakeMissing(f"{name} was not there yet", "ask for a later time")
        return found


def _version_of(name: str, folder: Path, table: DeltaTable) -> TableVersion:
    return TableVersion(name, table.version(), folder, tuple(data_files(table, folder)))


def _log_file(folder: Path, version: int) -> Path:
    return folder / "_delta_log" / f"{version:020d}.json"


def _written_at(folder: Path, version: int) -> float:
    try:
        return _log_file(folder, version).stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _stamp(folder: Path, version: int) -> tuple[int, ...]:
    try:
        found = _log_file(folder, version).stat()
    except FileNotFoundError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_size

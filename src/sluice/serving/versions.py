"""The versions of a Delta table: which there are, when each was written, and which was the newest at a moment."""

from __future__ import annotations

import bisect
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from deltalake import DeltaTable

from sluice.errors import LakeMissing
from sluice.serving.values import rfc3339

Version = int | datetime

_COMMIT = re.compile(r"(\d{20})\.json")
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint\..*parquet")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Commit:
    """One version of a table.

    Attributes:
        written_at: UTC, in milliseconds.
        operation: as the writer calls it, e.g. WRITE, MERGE, OPTIMIZE.
    """

    version: int
    written_at: datetime
    operation: str


class TableVersions:
    """The versions that a table's log still tells of.

    Args:
        name: of the table, for messages.
        folder: of the table.

    Raises:
        LakeMissing: its log tells of none.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self._name = name
        self._log = folder / "_delta_log"
        files = [path.name for path in self._log.iterdir()]
        commits = _numbers(_COMMIT, files)
        checkpoints = _numbers(_CHECKPOINT, files)
        # Without the first commit, a table can be put together from a checkpoint on.
        starts = [number for number in (*commits[:1], *checkpoints) if number == 0 or number in checkpoints]
        if not starts:
            raise LakeMissing(f"{name} cannot be read: its log is not whole", f"check {self._log}")
        self.oldest = min(starts)
        self.newest = max((*commits, *checkpoints))

    def at(self, moment: datetime) -> int:
        """The newest version that is not younger than a moment.

        Raises:
            LakeMissing: there is none that old.
        """
        numbers = range(self.oldest, self.newest + 1)
        place = bisect.bisect_right(numbers, moment, key=lambda number: self.commit(number).written_at)
        if not place:
            first = rfc3339(self.commit(self.oldest).written_at)
            fact = f"its first version is of {first}" if self.oldest == 0 else f"its log reaches back to {first} only"
            raise LakeMissing(f"{self._name} cannot be read as of {rfc3339(moment)}: {fact}", "give a later time")
        return numbers[place - 1]

    def require(self, number: int) -> int:
        """The same number.

        Raises:
            LakeMissing: there is no such version, or not any more.
        """
        if number < 0:
            raise self._unreadable(number, "versions count from 0")
        if number > self.newest:
            raise self._unreadable(number, f"its newest is {self.newest}")
        if number < self.oldest:
            raise self._unreadable(number, f"its log reaches back to version {self.oldest} only")
        return number

    def require_files(self, table: DeltaTable) -> None:
        """Refuses an old version of which files have been removed since.

        Raises:
            LakeMissing: as above.
        """
        if table.version() == self.newest:
            return
        paths = [Path(uri.removeprefix("file://")) for uri in table.file_uris()]
        gone = sum(not path.exists() for path in paths)
        if gone:
            raise self._unreadable(table.version(), f"{gone} of its {len(paths)} files were removed since, by upkeep")

    def commit(self, number: int) -> Commit:
        """One version; where the log says no more of it, the time of its checkpoint."""
        try:
            info = _commit_info(self._log / f"{number:020}.json")
        except FileNotFoundError:
            (path, *_) = sorted(self._log.glob(f"{number:020}.checkpoint*")) or [self._log]
            return Commit(number, _EPOCH + timedelta(milliseconds=int(path.stat().st_mtime * 1000)), "")
        return Commit(number, _EPOCH + timedelta(milliseconds=info["timestamp"]), str(info.get("operation", "")))

    def newest_first(self, limit: int) -> Iterator[Commit]:
        """The newest versions.

        Args:
            limit: at most so many; 0 for all.
        """
        numbers = range(self.newest, self.oldest - 1, -1)
        return (self.commit(number) for number in (numbers[:limit] if limit else numbers))

    def _unreadable(self, number: int, fact: str) -> LakeMissing:
        there = f"its log tells of versions {self.oldest} to {self.newest}"
        return LakeMissing(
            f"{self._name} cannot be read at version {number}: {fact}",
            f"take a newer one; {there}" if number < self.newest else there,
        )


def _numbers(pattern: re.Pattern[str], names: list[str]) -> list[int]:
    return sorted(int(found[1]) for name in names if (found := pattern.fullmatch(name)))


def _commit_info(path: Path) -> dict[str, Any]:
    """What a commit says of itself; at least its time, which else is that of its file."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if '"commitInfo"' in line:
                info: dict[str, Any] = json.loads(line).get("commitInfo") or {}
                moment = info.get("inCommitTimestamp", info.get("timestamp"))
                if moment is not None:
                    return {**info, "timestamp": moment}
    return {"timestamp": int(path.stat().st_mtime * 1000)}

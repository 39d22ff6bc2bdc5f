"""What versions of a Delta table changed, read from its log: which days, which rows were added. No Spark."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from sluice.schemas import Table
from sluice.tables.lake import Lake
from sluice.tables.reading import add_actions

_DAY_MICROS = 86_400_000_000
_EPOCH = date(1970, 1, 1).toordinal()


def changed_days(lake: Lake, table: Table, column: str, after: int, upto: int) -> set[date] | None:
    """The UTC dates of a column in every file that a commit after one version, up to another, added or took away.

    A file that was rewritten counts with all of its rows: too many days, never too few. Compaction changes nothing.
    Dates of times are from 1970-01-01, which null has too, to 9999-12-31.

    Args:
        column: a timestamp, or the date that the table is partitioned by.

    Returns:
        None where it cannot be told: a commit or a file is gone, or `after` lies in the future.
    """
    if after > upto:
        return None
    days: set[date] = set()
    try:
        for file in _changed_files(Path(lake.table_path(table)) / "_delta_log", after, upto):
            if column == table.partition_by:
                days.add(date.fromisoformat(file["partitionValues"][column]))
            else:
                days |= _days_in(Path(lake.table_path(table)) / unquote(file["path"]), column)
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        return None
    return days


def appended_files(lake: Lake, table: Table, version: int) -> list[Path] | None:
    """The files with the rows that one version of a table added, in a fixed order.

    A version that also takes files away writes anew what was there, and adds no row: none.

    Returns:
        None where it cannot be told: its commit is gone.
    """
    folder = Path(lake.table_path(table))
    try:
        actions = list(_actions(folder / "_delta_log", version))
        if any("remove" in action for action in actions):
            return []
        return sorted(folder / unquote(action["add"]["path"]) for action in actions if "add" in action)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def next_with_rows(lake: Lake, table: Table, version: int, newest: int) -> int:
    """The first version, from one on, whose commit adds rows or changes them; the one after the newest if none does.

    Compaction and vacuum commit nothing that a stream has to read. A commit that is gone may have added rows.
    """
    log = Path(lake.table_path(table)) / "_delta_log"
    for each in range(version, newest + 1):
        try:
            added = [action["add"] for action in _actions(log, each) if "add" in action]
        except (OSError, ValueError):
            return each
        if any(file.get("dataChange", True) for file in added):
            return each
    return max(version, newest + 1)


class Unread(NamedTuple):
    """What the versions of a table after one, up to another, appended.

    Attributes:
        since: when the first of them was committed, in seconds since 1970; None of no rows.
    """

    rows: int
    since: float | None


def unread_rows(lake: Lake, table: Table, after: int, upto: int) -> Unread:
    """Counted from the files that the commits name: not every writer tells the rows in its commit's metrics.

    A commit that also takes files away adds no row; one that is gone from the log is not counted.
    """
    rows, moments = 0, []
    for version in range(after + 1, upto + 1):
        folder = Path(lake.table_path(table))
        try:
            actions = list(_actions(folder / "_delta_log", version))
        except FileNotFoundError:
            continue
        added = sum(_rows_in(folder, action["add"]) for action in actions if "add" in action)
        if added and not any("remove" in action for action in actions):
            rows += added
            moments += [action["commitInfo"]["timestamp"] / 1000 for action in actions if "commitInfo" in action]
    return Unread(rows, min(moments, default=None))


def _rows_in(folder: Path, file: dict[str, Any]) -> int:
    told = json.loads(file.get("stats") or "{}").get("numRecords")
    return int(pa.parquet.read_metadata(folder / unquote(file["path"])).num_rows if told is None else told)


class NetFiles(NamedTuple):
    """The files by which two versions of a table differ, each in a fixed order."""

    added: list[Path]
    removed: list[Path]


def net_files(folder: Path, after: int, upto: int) -> NetFiles | None:
    """The files that one version of a table has and an earlier one had not, and the other way round.

    The rows in which the versions differ are in them, among others that both have: of files that were rewritten or
    compacted.

    Args:
        folder: where the table lies.

    Returns:
        None where it cannot be told: a commit or a file is gone, or `after` lies in the future.
    """
    if after > upto:
        return None
    added: set[str] = set()
    removed: set[str] = set()
    try:
        for version in range(after + 1, upto + 1):
            actions = list(_actions(folder / "_delta_log", version))
            for path in [action["remove"]["path"] for action in actions if "remove" in action]:
                added.discard(path) if path in added else removed.add(path)
            for path in [action["add"]["path"] for action in actions if "add" in action]:
                removed.discard(path) if path in removed else added.add(path)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    found = NetFiles(*(sorted(folder / unquote(path) for path in paths) for paths in (added, removed)))
    return found if all(path.is_file() for paths in found for path in paths) else None


def files_at(lake: Lake, table: Table, version: int) -> list[Path] | None:
    """The files of a version of a table, in a fixed order; None where the version can no longer be read."""
    try:
        opened = DeltaTable(lake.table_path(table), version=version)
        return sorted(Path(lake.table_path(table)) / unquote(path) for path in _paths(opened))
    except DeltaError:
        return None


def _paths(table: DeltaTable) -> list[str]:
    return [str(path) for path in add_actions(table)["path"].to_pylist()]


def _actions(log: Path, version: int) -> Iterator[dict[str, Any]]:
    for line in (log / f"{version:020d}.json").read_text("utf-8").splitlines():
        yield json.loads(line)


def _changed_files(log: Path, after: int, upto: int) -> Iterator[dict[str, Any]]:
    for version in range(after + 1, upto + 1):
        for action in _actions(log, version):
            file = action.get("add") or action.get("remove")
            if file and file.get("dataChange", True):
                yield file


def _days_in(path: Path, column: str) -> set[date]:
    times = pa.parquet.ParquetFile(path).read([column]).column(0)
    micros = times.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).fill_null(0).to_numpy()
    last = date.max.toordinal() - _EPOCH
    # The set first: a file has many times and few days.
    return {date.fromordinal(_EPOCH + min(max(int(day), 0), last)) for day in set((micros // _DAY_MICROS).tolist())}

"""A page of a table whose rows have a device and a time, in the order of time, device and what tells ties apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sluice.api.limits import Deadline
from sluice.api.moments import DAY, microseconds, moment_of
from sluice.api.owners import BEGINNING, Owners
from sluice.api.snapshot import TableVersion
from sluice.api.sorted_files import DEVICE, Places, SortedFile, SortedFiles
from sluice.serving.files import DataFile
from sluice.serving.merged_minutes import MINUTE_MICROS

CUSTOMER, METRIC = "customer", "metric"
# The first and last day that Python can tell.
_DAYS = (-719_162 * DAY, 2_932_896 * DAY)


class Position(NamedTuple):
    """Where a page ended.

    Attributes:
        time: microseconds since 1970 UTC.
        tie: of the row, where others of the device have the same time; None: those have all been shown.
    """

    time: int
    device_id: str
    tie: str | None


@dataclass(frozen=True)
class Wanted:
    """Which rows of a table are wanted.

    Attributes:
        time: the column of their time.
        tie: the column that tells rows of one device and time apart.
        columns: to be given back, with their Arrow types; those that a file lacks are null.
        since, until: `[since, until)` in microseconds.
        metric: of tables that have a row a metric; None takes all.
        customers: whose rows; None takes all.
        width: microseconds from a row's time on that it is about; 0 if rows name their customer themselves.
        after: the rows after this one.
    """

    time: str
    tie: str
    columns: pa.Schema
    since: int
    until: int
    limit: int
    device_id: str | None = None
    metric: str | None = None
    customers: frozenset[str] | None = None
    width: int = 0
    after: Position | None = None

    @property
    def loaded(self) -> tuple[str, ...]:
        """The columns that must be in memory to find and give the rows."""
        extra = [CUSTOMER] if self.customers is not None and not self.width else []
        extra += [METRIC] if self.metric is not None else []
        return tuple(dict.fromkeys((*self.columns.names, *extra)))


class Page(NamedTuple):
    """Rows in order, and where the next page begins; None where there is none."""

    rows: pa.Table
    end: Position | None


@dataclass(frozen=True)
class _Found:
    file: SortedFile
    rows: Places


def read_page(
    files: SortedFiles, table: TableVersion | None, owners: Owners, wanted: Wanted, deadline: Deadline
) -> Page:
    """One page.

    Args:
        table: None, a table that does not exist, has no rows.

    Raises:
        Problem: 503, it took too long or a file went away.
    """
    found: list[_Found] = []
    times = np.empty(0, np.int64)
    for data_file in _candidates(table, wanted):
        if len(times) > wanted.limit and _low(data_file, wanted.time) > _nth(times, wanted.limit):
            break
        deadline.check()
        file = files.get(data_file.path, wanted.time, wanted.loaded)
        rows = _matching(file, owners, wanted)
        if len(rows) > wanted.limit + 1:
            rows = rows[file.times[rows] <= _nth(file.times[rows], wanted.limit)]
        if len(rows):
            found.append(_Found(file, rows))
            times = np.concatenate([times, file.times[rows]])
    return _in_order(found, wanted)


def read_spans(
    files: SortedFiles,
    table: TableVersion | None,
    wanted: Wanted,
    spans: Mapping[str, tuple[int, int]],
    minutes: Places,
    deadline: Deadline,
) -> pa.Table:
    """All rows of some minutes and devices, in no order.

    Args:
        table: None, a table that does not exist, has no rows.
        wanted: of rows that name their customer; `limit` and `after` mean nothing here.
        spans: by device, `[since, until)` in which the minutes lie, in microseconds.
        minutes: their starts; rows of others are left out.

    Raises:
        Problem: 503, it took too long or a file went away.
    """
    parts = [wanted.columns.empty_table()]
    for data_file in _candidates(table, wanted):
        deadline.check()
        file = files.get(data_file.path, wanted.time, wanted.loaded)
        rows = np.concatenate([file.rows_of(device_id, *span) for device_id, span in spans.items()])
        times = file.times[rows]
        rows = rows[np.isin(times - times % MINUTE_MICROS, minutes)]
        if wanted.customers is not None:
            rows = _where_in(file, rows, CUSTOMER, sorted(wanted.customers))
        if len(rows):
            parts.append(_rows_of(_Found(file, rows), wanted.columns))
    return pa.concat_tables(parts)


def _candidates(table: TableVersion | None, wanted: Wanted) -> list[DataFile]:
    """The files that may hold such rows, those with the earliest first."""
    if table is None:
        return []
    first = wanted.since if wanted.after is None else max(wanted.since, wanted.after.time)
    days = (moment_of(min(max(end, _DAYS[0]), _DAYS[1])).date() for end in (first, wanted.until - 1))
    chosen = [file for file in _of_days(table, *days) if _may_hold(file, wanted, first)]
    return sorted(chosen, key=lambda file: (_low(file, wanted.time), str(file.path)))


def _of_days(table: TableVersion, first: date, last: date) -> Iterator[DataFile]:
    for day, files in table.by_day.items():
        if day is None or first <= day <= last:
            yield from files


def _may_hold(file: DataFile, wanted: Wanted, first: int) -> bool:
    if wanted.device_id is not None and not file.may_hold({DEVICE: [wanted.device_id]}):
        return False
    if wanted.time not in file.bounds:
        return True
    low, high = (microseconds(end) for end in file.bounds[wanted.time])
    return high >= first and low < wanted.until


def _low(file: DataFile, time: str) -> int:
    return microseconds(file.bounds[time][0]) if time in file.bounds else BEGINNING


def _nth(times: Places, place: int) -> int:
    return int(np.partition(times, place)[place])


def _matching(file: SortedFile, owners: Owners, wanted: Wanted) -> Places:
    rows = _of_device_and_time(file, owners, wanted)
    if wanted.customers is not None and not wanted.width:
        rows = _where_in(file, rows, CUSTOMER, sorted(wanted.customers))
    if wanted.metric is not None:
        rows = _where_in(file, rows, METRIC, [wanted.metric])
    return rows if wanted.after is None else _after(file, rows, wanted, wanted.after)


def _of_device_and_time(file: SortedFile, owners: Owners, wanted: Wanted) -> Places:
    if wanted.customers is not None and wanted.width:
        return _owned(file, owners, wanted, wanted.customers)
    if wanted.device_id is not None:
        return file.rows_of(wanted.device_id, wanted.since, wanted.until)
    return np.flatnonzero((file.times >= wanted.since) & (file.times < wanted.until))


def _owned(file: SortedFile, owners: Owners, wanted: Wanted, customers: frozenset[str]) -> Places:
    """Rows that name no customer: those about a time in which their device is one of the customers' alone."""
    devices = owners.seen_by(customers) if wanted.device_id is None else (wanted.device_id,)
    ranges = [np.empty(0, np.int64)]
    for device_id in devices:
        for interval in owners.intervals(device_id, customers):
            since, until = max(wanted.since, interval.since), min(wanted.until, interval.until - wanted.width + 1)
            ranges.append(file.rows_of(device_id, since, until))
    return np.concatenate(ranges)


def _where_in(file: SortedFile, rows: Places, column: str, values: Sequence[str]) -> Places:
    if not len(rows):
        return rows
    held = file.take(column, rows).cast(pa.string())
    kept: Places = pc.is_in(held, value_set=pa.array(values, pa.string())).to_numpy(zero_copy_only=False)
    return rows[kept]


def _after(file: SortedFile, rows: Places, wanted: Wanted, after: Position) -> Places:
    times = file.times[rows]
    same = rows[times == after.time]
    later = rows[times > after.time]
    if not len(same):
        return later
    devices = file.take(DEVICE, same).to_pylist()
    if after.tie is None:
        kept = [device > after.device_id for device in devices]
    else:
        keys = zip(devices, _ties(file, same, wanted), strict=True)
        kept = [key > (after.device_id, after.tie) for key in keys]
    return np.sort(np.concatenate([same[np.array(kept, bool)], later]))


def _ties(file: SortedFile, rows: Places, wanted: Wanted) -> list[str]:
    file.load([wanted.tie])
    ties: list[str | None] = file.take(wanted.tie, rows).cast(pa.string()).to_pylist()
    return [tie or "" for tie in ties]


def _in_order(found: Sequence[_Found], wanted: Wanted) -> Page:
    if not found:
        return Page(wanted.columns.empty_table(), None)
    times = np.concatenate([each.file.times[each.rows] for each in found])
    if len(times) > wanted.limit + 1:
        last = _nth(times, wanted.limit)
        found = [_Found(each.file, each.rows[each.file.times[each.rows] <= last]) for each in found]
        times = times[times <= last]
    rows = pa.concat_tables([_rows_of(each, wanted.columns) for each in found])
    if len(times) <= wanted.limit and (np.diff(times) > 0).all():
        return Page(rows, None)
    keyed = _sorted(found, times, wanted)
    return Page(rows.take(keyed["place"].slice(0, wanted.limit)), _end(keyed, wanted.limit))


def _sorted(found: Sequence[_Found], times: Places, wanted: Wanted) -> pa.Table:
    """The keys of rows in order, with their places in what was found; with ties only where there are any."""
    devices = pa.concat_arrays([each.file.take(DEVICE, each.rows) for each in found])
    keyed = pa.table({"time": times, "device": devices, "place": np.arange(len(times))})
    order = [("time", "ascending"), ("device", "ascending")]
    keyed = keyed.sort_by(order)
    same_time = pc.equal(keyed["time"][1:], keyed["time"][:-1])
    if not pc.any(pc.and_(same_time, pc.equal(keyed["device"][1:], keyed["device"][:-1]))).as_py():
        return keyed
    ties = pa.array([tie for each in found for tie in _ties(each.file, each.rows, wanted)], pa.string())
    return keyed.append_column("tie", ties.take(keyed["place"].combine_chunks())).sort_by(
        [*order, ("tie", "ascending")]
    )


def _end(keyed: pa.Table, limit: int) -> Position | None:
    if keyed.num_rows <= limit:
        return None
    last, following = keyed.slice(limit - 1, 2).to_pylist()
    cut = (last["time"], last["device"]) == (following["time"], following["device"])
    return Position(last["time"], last["device"], last["tie"] if cut else None)


def _rows_of(found: _Found, columns: pa.Schema) -> pa.Table:
    arrays = [found.file.take(field.name, found.rows).cast(field.type) for field in columns]
    return pa.Table.from_arrays(arrays, schema=columns)

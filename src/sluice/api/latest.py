"""The newest value of every device and metric, how old it is, and whether the device is online."""

from __future__ import annotations

import bisect
import functools
from collections.abc import Collection, Sequence
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sluice.api.asking import Asked, Question, Rows, arrow_columns, row_limit
from sluice.api.cursors import read_cursor, write_cursor
from sluice.api.json_rows import json_objects
from sluice.api.moments import SECOND, microseconds
from sluice.api.owners import Owners
from sluice.api.parameters import LatestOf
from sluice.api.snapshot import TableVersion
from sluice.schemas import GOLD_LATEST_READINGS, METRIC_UNITS
from sluice.serving.presence import GRACE_SECONDS, ONLINE_WITHIN_INTERVALS

TABLE = GOLD_LATEST_READINGS.full_name
_ORDER = [("device_id", "ascending"), ("metric", "ascending")]
# Of a device without a registered interval.
_UNKNOWN = 2
_ONLINE = {0: "false", 1: "true", _UNKNOWN: "null"}

Places = NDArray[np.int64]
Seconds = NDArray[np.float64]


def list_latest(question: Question, given: LatestOf) -> Rows:
    """The latest readings in the order of device and metric."""
    asked = question.asked
    latest = _latest_of(asked)
    places = _places(latest, asked, given)
    limit = row_limit(given.limit, asked.service.settings)
    shown, cursor = places[:limit], None
    if len(places) > limit:
        cursor = write_cursor("latest", latest.keys[shown[-1]])
    seconds, online = _ages(latest.times[shown], latest.intervals[shown], asked.at)
    texts = [
        f'{text},"is_online":{_ONLINE[is_online]}' for text, is_online in zip(latest.told(shown), online, strict=True)
    ]
    aged = [f'{text},"seconds_since":{passed:.15g}}}' for text, passed in zip(texts, seconds, strict=True)]
    return Rows(f"[{','.join(aged)}]".encode(), cursor, ",".join(texts).encode())


def visible_latest(asked: Asked) -> pa.Table:
    """The rows that a request may see, without ages; a key of some customers sees those of devices that are theirs."""
    rows = _latest_of(asked).rows
    if asked.customers is None:
        return rows
    return rows.filter(_is_in(rows["customer"], asked.customers))


def with_ages(rows: pa.Table, at: datetime) -> pa.Table:
    """The rows with `seconds_since` and `is_online`, which is null where no interval is registered."""
    seconds, online = _ages(_as_times(rows), _as_intervals(rows), at)
    flags = [None if each == _UNKNOWN else bool(each) for each in online]
    added = {"seconds_since": pa.array(seconds, pa.float64()), "is_online": pa.array(flags, pa.bool_())}
    for name, values in added.items():
        rows = rows.append_column(name, values)
    return rows


class _Latest:
    """One version's rows, by device and metric, with what is asked of them often.

    Attributes:
        rows: columns of gold/latest_readings, customer, site and unit.
        keys: device and metric.
        times: microseconds since 1970.
        intervals: seconds; NaN where none is registered.
    """

    def __init__(self, rows: pa.Table) -> None:
        self.rows = rows
        self.keys: list[tuple[str, str]] = list(
            zip(rows["device_id"].to_pylist(), rows["metric"].to_pylist(), strict=True)
        )
        self.times, self.intervals = _as_times(rows), _as_intervals(rows)
        self._texts: list[str] = [""] * len(self.keys)

    def told(self, places: Sequence[int] | Places) -> list[str]:
        """The rows at some places as JSON objects without ages, each without its closing brace."""
        if missing := [place for place in places if not self._texts[place]]:
            for place, text in zip(missing, json_objects(self.rows.take(missing)).to_pylist(), strict=True):
                self._texts[place] = text[:-1]
        return [self._texts[place] for place in places]


def _places(latest: _Latest, asked: Asked, given: LatestOf) -> Places:
    """The places of all rows that are wanted and may be seen, from where the page begins."""
    first, end = 0, len(latest.keys)
    if given.device_id is not None:
        first, end = (bisect.bisect_left(latest.keys, (given.device_id + after, "")) for after in ("", "\0"))
    if given.cursor is not None:
        device, metric = read_cursor("latest", given.cursor, (str, str))
        first = max(first, bisect.bisect_right(latest.keys, (device, metric)))
    places = np.arange(first, max(first, end))
    rows = latest.rows.slice(first, max(0, end - first))
    masks = []
    if asked.customers is not None:
        masks.append(_is_in(rows["customer"], asked.customers))
    if given.customer is not None:
        masks.append(pc.equal(rows["customer"], given.customer))
    if given.metric is not None:
        masks.append(pc.equal(rows["metric"], given.metric))
    for mask in masks:
        places = np.intersect1d(places, first + np.flatnonzero(mask.fill_null(False)), assume_unique=True)
    return places


def _ages(times: Places, intervals: Seconds, at: datetime) -> tuple[Seconds, list[int]]:
    """Seconds since, to the millisecond, and whether the device is online: 1, 0 or _UNKNOWN."""
    seconds = (microseconds(at) - times) // (SECOND // 1000) / 1000
    online = np.where(np.isnan(intervals), _UNKNOWN, seconds <= ONLINE_WITHIN_INTERVALS * intervals + GRACE_SECONDS)
    return seconds, online.tolist()


def _is_in(column: pa.ChunkedArray, customers: Collection[str]) -> pa.ChunkedArray:
    return pc.is_in(column, value_set=pa.array(sorted(customers), pa.string()))


def _as_times(rows: pa.Table) -> Places:
    times: Places = rows["event_time"].cast(pa.int64()).to_numpy()
    return times


def _as_intervals(rows: pa.Table) -> Seconds:
    return np.array(rows["expected_interval_seconds"].cast(pa.float64()).fill_null(np.nan).to_numpy())


def _latest_of(asked: Asked) -> _Latest:
    table = asked.table(TABLE)
    return (
        _Latest(_with_owners(GOLD_EMPTY, asked.snapshot.owners))
        if table is None
        else _read(table, asked.snapshot.owners)
    )


GOLD_EMPTY = arrow_columns(TABLE, GOLD_LATEST_READINGS.column_names).empty_table()


@functools.lru_cache(8)
def _read(table: TableVersion, owners: Owners) -> _Latest:
    rows = table.dataset.to_table(columns=list(GOLD_LATEST_READINGS.column_names)).cast(GOLD_EMPTY.schema)
    return _Latest(_with_owners(rows.sort_by(_ORDER).combine_chunks(), owners))


def _with_owners(rows: pa.Table, owners: Owners) -> pa.Table:
    times = rows["event_time"].cast(pa.int64()).to_pylist()
    spans = [owners.owner_at(*key) for key in zip(rows["device_id"].to_pylist(), times, strict=True)]
    units = [METRIC_UNITS.get(metric) for metric in rows["metric"].to_pylist()]
    added = {
        "customer": [span.customer if span else None for span in spans],
        "site": [span.site if span else None for span in spans],
        "unit": units,
    }
    for name, values in added.items():
        rows = rows.append_column(name, [pa.array(values, pa.string())])
    return rows

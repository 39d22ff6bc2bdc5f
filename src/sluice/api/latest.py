"""The newest value of every device and metric, how old it is, and whether the device is online."""

from __future__ import annotations

import functools
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sluice.api.asking import Asked, Question, Rows, arrow_columns, row_limit
from sluice.api.cursors import read_cursor, write_cursor
from sluice.api.json_rows import json_rows
from sluice.api.moments import SECOND, microseconds
from sluice.api.owners import Owners
from sluice.api.parameters import LatestOf
from sluice.api.snapshot import TableVersion
from sluice.schemas import GOLD_LATEST_READINGS, METRIC_UNITS
from sluice.serving.presence import GRACE_SECONDS, ONLINE_WITHIN_INTERVALS

TABLE = GOLD_LATEST_READINGS.full_name
_ORDER = [("device_id", "ascending"), ("metric", "ascending")]


def list_latest(question: Question, given: LatestOf) -> Rows:
    """The latest readings in the order of device and metric."""
    asked = question.asked
    rows = visible_latest(asked)
    for name in ("device_id", "metric", "customer"):
        wanted = getattr(given, name)
        if wanted is not None:
            rows = rows.filter(pc.equal(rows[name], wanted))
    if given.cursor is not None:
        device, metric = read_cursor("latest", given.cursor, (str, str))
        same = pc.and_(pc.equal(rows["device_id"], device), pc.greater(rows["metric"], metric))
        rows = rows.filter(pc.or_(pc.greater(rows["device_id"], device), same))
    limit = row_limit(given.limit, asked.service.settings)
    shown = with_ages(rows.slice(0, limit), asked.at)
    cursor = None
    if rows.num_rows > limit:
        last = shown.slice(limit - 1).to_pylist()[0]
        cursor = write_cursor("latest", (last["device_id"], last["metric"]))
    return Rows(json_rows(shown), cursor, json_rows(shown.drop_columns(["seconds_since"])))


def visible_latest(asked: Asked) -> pa.Table:
    """The rows that a request may see, without ages; a key of some customers sees those of devices that are theirs."""
    table = asked.table(TABLE)
    if table is None:
        return _with_owners(GOLD_EMPTY, asked.snapshot.owners)
    rows = _latest_rows(table, asked.snapshot.owners)
    if asked.customers is None:
        return rows
    return rows.filter(pc.is_in(rows["customer"], value_set=pa.array(sorted(asked.customers), pa.string())))


def with_ages(rows: pa.Table, at: datetime) -> pa.Table:
    """The rows with `seconds_since` and `is_online`, which is null where no interval is registered."""
    times = rows["event_time"].cast(pa.int64()).to_numpy()
    seconds = (microseconds(at) - times) // (SECOND // 1000) / 1000
    allowed = pc.add(pc.multiply(rows["expected_interval_seconds"], ONLINE_WITHIN_INTERVALS), GRACE_SECONDS)
    online = pc.less_equal(pa.chunked_array([pa.array(seconds, pa.float64())]), allowed)
    return rows.append_column("seconds_since", [pa.array(np.asarray(seconds), pa.float64())]).append_column(
        "is_online", online
    )


GOLD_EMPTY = arrow_columns(TABLE, GOLD_LATEST_READINGS.column_names).empty_table()


@functools.lru_cache(8)
def _latest_rows(table: TableVersion, owners: Owners) -> pa.Table:
    rows = table.dataset.to_table(columns=list(GOLD_LATEST_READINGS.column_names)).cast(GOLD_EMPTY.schema)
    return _with_owners(rows.sort_by(_ORDER).combine_chunks(), owners)


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

"""The percentiles of a page of minutes: exact, of silver's readings, as hours and days have them.

Gold keeps none of minutes, see docs/rollups.md. Only the readings of the page's minutes and devices are looked at.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from sluice.api.asking import Question, arrow_columns
from sluice.api.problems import wrong
from sluice.api.timed_pages import Wanted, read_spans
from sluice.schemas import SILVER_READINGS
from sluice.serving.merged_minutes import MINUTE_MICROS, ON_KEY
from sluice.serving.percentiles import READ_COLUMNS, find_percentiles
from sluice.tables.reading import connect

READINGS = SILVER_READINGS.full_name
# What DuckDB ranks in about a second.
MOST_READINGS = 2_000_000
_MERGED = "CREATE TEMP VIEW merged AS SELECT * RENAME (bucket AS start) FROM minutes"
_RANKED = f"""
SELECT ranked[1] AS value_p50, ranked[2] AS value_p95
FROM merged AS a LEFT JOIN percentiles AS b ON {ON_KEY} AND a.reading_count = b.reading_count
ORDER BY place
"""  # noqa: S608 (our own names)


def add_percentiles(question: Question, minutes: pa.Table) -> pa.Table:
    """The minutes with `value_p50` and `value_p95`: null where silver's readings of a minute are not those it counts.

    Args:
        minutes: of gold/readings_1min, at most a page.

    Raises:
        Problem: 422, they count more than MOST_READINGS, or the request names a version, which is one table's; 503, it
            took too long.
    """
    if isinstance(question.asked.as_of, int):
        raise wrong("as_of", "percentiles are of two tables, and a version is one table's: give a time")
    if (pc.sum(minutes["reading_count"]).as_py() or 0) > MOST_READINGS:
        raise wrong("limit", f"these minutes count more than {MOST_READINGS:,} readings: ask for fewer at a time")
    buckets = minutes["bucket"].cast(pa.int64())
    keys = minutes.select(["device_id", "metric", "reading_count"])
    keys = keys.append_column("bucket", buckets).append_column("place", pa.array(range(minutes.num_rows), pa.int64()))
    connection = connect()
    with question.deadline.interrupting(connection):
        connection.register("minutes", keys)
        connection.register("readings", _readings_behind(question, keys))
        connection.execute(_MERGED)
        find_percentiles(connection, 1)
        ranked = connection.sql(_RANKED).to_arrow_table()
    for name in ranked.column_names:
        minutes = minutes.append_column(name, ranked[name].cast(pa.float64()))
    return minutes


def _readings_behind(question: Question, keys: pa.Table) -> pa.Table:
    """READ_COLUMNS of the readings of minutes, times in microseconds; for a key of some customers only of theirs."""
    asked = question.asked
    ends = keys.group_by("device_id").aggregate([("bucket", "min"), ("bucket", "max")]).to_pylist()
    spans = {each["device_id"]: (each["bucket_min"], each["bucket_max"] + MINUTE_MICROS) for each in ends}
    wanted = Wanted(
        time="event_time",
        tie="event_id",
        columns=arrow_columns(READINGS, READ_COLUMNS),
        since=min((since for since, _ in spans.values()), default=0),
        until=max((until for _, until in spans.values()), default=0),
        limit=0,
        device_id=next(iter(spans)) if len(spans) == 1 else None,
        customers=asked.customers,
    )
    starts = pc.unique(keys["bucket"]).to_numpy()
    rows = read_spans(asked.service.files, asked.table(READINGS), wanted, spans, starts, question.deadline)
    place = rows.schema.get_field_index("event_time")
    return rows.set_column(place, "event_time", rows["event_time"].cast(pa.int64()))

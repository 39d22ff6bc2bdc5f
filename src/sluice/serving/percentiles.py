"""The exact percentiles of whole buckets, from silver's readings: minutes do not hold what they were made of.

A percentile here is a value that was measured, the smallest that at least so many of the readings do not exceed
(nearest rank), so it has no rounding. It is that of exactly the readings that the bucket's minutes count: a minute that
is held is in neither. Where silver has more of these minutes by now than gold has counted it is not known.
"""

from __future__ import annotations

import duckdb

from sluice.schemas import METRICS, READING_METRIC
from sluice.serving.merged_minutes import ON_KEY, start_of

READ_COLUMNS = ("device_id", "event_time", "metric", *METRICS, READING_METRIC)
PERCENTILES = (0.5, 0.95)

_OTHER = "other"
_CANONICAL = f"coalesce(metric IN ({', '.join(repr(name) for name in METRICS)}), false)"
# The same definition as of minutes, transforms/gold.py: a reading event may bring a canonical column's metric.
_VALUES = {
    **{name: f"coalesce({name}, CASE WHEN metric = '{name}' THEN {READING_METRIC} END)" for name in METRICS},
    _OTHER: f"CASE WHEN NOT {_CANONICAL} THEN {READING_METRIC} END",
}
_OTHER_METRIC = f"CASE WHEN NOT {_CANONICAL} THEN metric END"
_RANKED = f"quantile_disc({{0}}, {list(PERCENTILES)})"


def _name_of(column: str) -> str:
    return "other_metric" if column == _OTHER else f"'{column}'"


_WIDE = f"""
CREATE OR REPLACE TEMP TABLE wide AS
SELECT start, device_id, other_metric,
    {", ".join(f"count({name}) AS {name}_count, {_RANKED.format(name)} AS {name}" for name in _VALUES)}
FROM (
    SELECT {{start}} AS start, device_id, {_OTHER_METRIC} AS other_metric,
        {", ".join(f"{value} AS {name}" for name, value in _VALUES.items())}
    FROM readings
) GROUP BY ALL
"""  # noqa: S608 (our own names)
_LONG = " UNION ALL ".join(
    f"SELECT start, device_id, {_name_of(name)} AS metric, {name}_count AS reading_count, {name} AS ranked "  # noqa: S608
    f"FROM wide WHERE {name}_count > 0"
    for name in _VALUES
)
# Buckets of which not every reading stands in a minute of gold: one is held, or gold is behind.
_UNEQUAL = f"""
CREATE OR REPLACE TEMP TABLE unequal AS
SELECT a.start, a.device_id, a.metric FROM merged AS a JOIN percentiles AS b ON {ON_KEY}
WHERE a.reading_count <> b.reading_count
"""  # noqa: S608 (our own names)
_EACH = " UNION ALL ".join(
    f"SELECT start, minute, device_id, {_OTHER_METRIC if name == _OTHER else _name_of(name)} AS metric, "  # noqa: S608
    f"{value} AS value FROM near WHERE {value} IS NOT NULL"
    for name, value in _VALUES.items()
)
_COUNTED = f"""
INSERT INTO percentiles
WITH near AS (
    SELECT * FROM (SELECT {{start}} AS start, {{minute}} AS minute, * FROM readings) AS a
    SEMI JOIN unequal AS b ON a.start = b.start AND a.device_id = b.device_id
), each AS ({_EACH})
SELECT start, device_id, metric, count(*) AS reading_count, {_RANKED.format("value")} AS ranked
FROM (
    SELECT a.* FROM each AS a SEMI JOIN unequal AS b ON {ON_KEY}
) AS a SEMI JOIN minutes AS b
ON a.minute = b.bucket AND a.device_id = b.device_id AND a.metric IS NOT DISTINCT FROM b.metric
GROUP BY ALL
"""  # noqa: S608 (our own names)


def find_percentiles(connection: duckdb.DuckDBPyConnection, minutes: int) -> None:
    """Makes the table `percentiles`: by `start`, device_id and metric a `reading_count`, and `ranked`: PERCENTILES.

    Where its `reading_count` is not that of `merged`, it is of other readings than the minutes.

    Args:
        connection: with `minutes` and `merged` (see `merge_minutes`), and `readings`: READ_COLUMNS of silver, times in
            microseconds.
        minutes: in a bucket.
    """
    names = {"start": start_of("event_time", minutes), "minute": start_of("event_time", 1)}
    connection.execute(_WIDE.format(**names))
    connection.execute(f"CREATE OR REPLACE TEMP TABLE percentiles AS {_LONG}")
    connection.execute(_UNEQUAL)
    if connection.execute("SELECT count(*) FROM unequal").fetchall() != [(0,)]:
        connection.execute(f"DELETE FROM percentiles AS a USING unequal AS b WHERE {ON_KEY}")  # noqa: S608 (our own names)
        connection.execute(_COUNTED.format(**names))

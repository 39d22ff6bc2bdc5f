"""Statistics of whole hours and days merged from those of their minutes, in DuckDB.

Minutes are merged in their order, so the same minutes give the same bits whichever files they lie in. Means and
deviations are merged by the formulas of Chan, Golub and LeVeque (1983), "Algorithms for computing the sample variance":
the squared deviations of all values from their mean are the sum over groups, here minutes, of
(n_i - 1) s_i^2 + n_i (mean_i - mean)^2, where group i has n_i values with the sample deviation s_i.
"""

from __future__ import annotations

import duckdb

MINUTE_MICROS = 60_000_000
# Two tables by the key of a bucket.
ON_KEY = "a.start = b.start AND a.device_id = b.device_id AND a.metric IS NOT DISTINCT FROM b.metric"


def start_of(micros: str, minutes: int) -> str:
    """SQL of the start of the bucket of so many minutes that a moment lies in, all in microseconds since 1970 UTC."""
    width = minutes * MINUTE_MICROS
    # Not //, which rounds towards 1970.
    return f"({micros} - ({micros} % {width} + {width}) % {width})"


# Squares of larger values are no numbers. A power of two divides without rounding.
_SCALE = "CASE WHEN greatest(abs(min(value_min)), abs(max(value_max))) >= 1e100 THEN pow(2.0::DOUBLE, 600) ELSE 1.0 END"
_SUMS = f"""
CREATE OR REPLACE TEMP TABLE sums AS
SELECT {{start}} AS start, device_id, metric, any_value(bucket_date) AS bucket_date, arg_max(unit, bucket) AS unit,
    sum(reading_count)::BIGINT AS reading_count, min(value_min) AS value_min, max(value_max) AS value_max,
    sum(out_of_range_count)::BIGINT AS out_of_range_count, count(*) AS minutes_with_readings,
    {{minutes}} * arg_max(expected_count, bucket) AS expected_count, {_SCALE} AS scale
FROM minutes GROUP BY ALL
"""  # noqa: S608 (our own names)
_MEANS = f"""
CREATE OR REPLACE TEMP TABLE means AS
SELECT a.start, a.device_id, a.metric, any_value(b.value_min) AS low, any_value(b.value_max) AS high,
    sum(a.value_mean * (a.reading_count / b.reading_count) ORDER BY a.bucket) AS weighted
FROM (SELECT *, {{start}} AS start FROM minutes) AS a JOIN sums AS b ON {ON_KEY}
GROUP BY a.start, a.device_id, a.metric
"""  # noqa: S608 (our own names)
# A mean lies between the extremes, whatever rounding does.
_BOUNDED = """
UPDATE means SET weighted = least(high, greatest(low, weighted)) WHERE isfinite(weighted)
"""
_FROM_MEAN = "(a.value_mean / b.scale - b.weighted / b.scale)"
_SQUARES = f"""
CREATE OR REPLACE TEMP TABLE squares AS
SELECT a.start, a.device_id, a.metric, sum((a.reading_count - 1) * pow(coalesce(a.value_stddev, 0.0) / b.scale, 2)
    + a.reading_count * pow({_FROM_MEAN}, 2) ORDER BY a.bucket) AS squares
FROM (SELECT *, {{start}} AS start FROM minutes) AS a
JOIN (SELECT a.*, weighted FROM sums AS a JOIN means AS b ON {ON_KEY}) AS b ON {ON_KEY}
GROUP BY a.start, a.device_id, a.metric
"""  # noqa: S608 (our own names)
_MERGED = f"""
CREATE OR REPLACE TEMP TABLE merged AS
SELECT a.* EXCLUDE (scale, deviation), CASE WHEN isfinite(deviation) THEN deviation END AS value_stddev
FROM (
    SELECT a.*, b.weighted AS value_mean,
        CASE WHEN a.reading_count > 1 THEN scale * sqrt(squares / (a.reading_count - 1)) END AS deviation
    FROM sums AS a JOIN (SELECT a.*, squares FROM means AS a JOIN squares AS b ON {ON_KEY}) AS b ON {ON_KEY}
) AS a
"""  # noqa: S608 (our own names)


def merge_minutes(connection: duckdb.DuckDBPyConnection, minutes: int) -> None:
    """Makes the table `merged` of `minutes`: by `start`, device_id and metric the statistics of whole buckets.

    The deviation of one reading is null, and so is one that is no finite number. Unit and expected readings are those
    of the newest minute that has them; as many are expected as if each minute of the bucket were that one.

    Args:
        connection: with the table `minutes`, the columns of gold/readings_1min, times in microseconds.
        minutes: in a bucket.
    """
    names = {"start": start_of("bucket", minutes), "minutes": minutes}
    for statement in (_SUMS, _MEANS, _BOUNDED, _SQUARES, _MERGED):
        connection.execute(statement.format(**names))

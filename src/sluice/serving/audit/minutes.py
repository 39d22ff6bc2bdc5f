"""Gold recomputed from silver: every minute of gold/readings_1min against the readings it was made of.

The definition is that of transforms/gold.py, written once more in SQL: what both say is right. Days are taken a few at
a time, so that the memory needed does not grow with the lake.
"""

from __future__ import annotations

from collections.abc import Iterator

from sluice.schemas import (
    GOLD_HELD,
    GOLD_READINGS_1MIN,
    HELD_OPEN,
    HELD_REJECTED,
    METRIC_UNITS,
    METRICS,
    OUT_OF_RANGE,
    READING_METRIC,
    SILVER_READINGS,
    range_rules,
)
from sluice.serving.audit.books import Books
from sluice.serving.audit.days import MINUTE_MICROS, days_in_scope, moment_text
from sluice.serving.audit.findings import FIRST, Finding, Named, Outcome
from sluice.serving.audit.pages import Chunk
from sluice.serving.audit.unread import mark_replaying, mark_unread

# Beyond it the squares of values are no numbers, and deviations differ by how they are computed.
_LARGEST = "1e140"
# Readings at a time: the statistics of as many minutes fit into memory.
MOST_ROWS = 1_000_000
_OTHER = "other"
_NAMES = (*METRICS, _OTHER)
_KINDS = {
    "missing": "minutes of silver that gold does not have",
    "foreign": "minutes of gold without a reading in silver",
    "repeated": "minutes that stand in gold more than once",
    "different": "minutes that differ from a recompute",
}


def check_minutes(books: Books) -> Outcome:
    """Each minute of gold is what its readings in silver give.

    Leaves the table `last_seen`, the last minute of each device and metric, for the check of the latest readings.
    """
    books.run(
        "CREATE OR REPLACE TEMP TABLE last_minutes (device_id VARCHAR, metric VARCHAR, minute BIGINT, unread BOOL)"
    )
    if not books.has(GOLD_READINGS_1MIN, SILVER_READINGS):
        return Outcome(skipped="gold has no tables yet")
    some_unread = mark_unread(books)
    mark_replaying(books)
    undecided = f"status IN ('{HELD_OPEN}', '{HELD_REJECTED}')"
    books.run(
        f"CREATE OR REPLACE TEMP TABLE exempt AS SELECT DISTINCT epoch_us(bucket) AS bucket_us, device_id, metric "  # noqa: S608
        f"FROM {GOLD_HELD.full_name} WHERE {undecided}"
    )
    books.run(
        "CREATE OR REPLACE TEMP TABLE wrong_minutes (kind VARCHAR, bucket_us BIGINT, item VARCHAR, detail VARCHAR)"
    )
    minutes = pending = 0
    for chunk in _chunks(books, days_in_scope(books)):
        _recompute(books, chunk, some_unread)
        _compare(books, chunk)
        minutes += books.number("SELECT count(*) FROM recomputed")
        pending += books.number("SELECT count(*) FROM recomputed WHERE unread")
    books.run(_LAST_SEEN)
    counts = {"minutes": minutes, "pending": pending, "held": books.number("SELECT count(*) FROM exempt")}
    return Outcome(counts, list(_findings(books)))


_LAST_SEEN = """
CREATE OR REPLACE TEMP TABLE last_seen AS
SELECT device_id, metric, max(minute) AS minute, bool_or(unread) AS unread FROM last_minutes GROUP BY ALL
"""


def _chunks(books: Books, wanted: set[int] | None) -> Iterator[Chunk]:
    seen: set[int] = set()
    for chunk in books.chunks(SILVER_READINGS, MOST_ROWS, wanted):
        seen.update(chunk.days)
        yield chunk
    left = {file.day for file in books.files(GOLD_READINGS_1MIN, wanted) if file.day is not None} - seen
    if left:
        yield Chunk(tuple(sorted(left)))


def _recompute(books: Books, chunk: Chunk, some_unread: bool) -> None:
    """Makes the table `recomputed`: one row per minute, device and metric that has a value."""
    unread = "promotion_id IN (FROM unread)" if some_unread else "false"
    columns = ", ".join(f"{_value(name)} AS {name}, {_is_out(name)} AS {name}_out" for name in _NAMES)
    statistics = ", ".join(_statistics(name) for name in _NAMES)
    books.run(
        f"CREATE OR REPLACE TEMP TABLE wide AS SELECT bucket_us, device_id, other_metric, {statistics} FROM ("  # noqa: S608
        f"SELECT epoch_us(event_time) // {MINUTE_MICROS} * {MINUTE_MICROS} AS bucket_us, device_id, "
        f"CASE WHEN NOT {_IS_CANONICAL} THEN metric END AS other_metric, {unread} AS is_unread, {columns} "
        f"FROM {books.source(SILVER_READINGS, chunk)}) GROUP BY ALL"
    )
    each = " UNION ALL ".join(_entries(name) for name in _NAMES)
    books.run(f"CREATE OR REPLACE TEMP TABLE recomputed AS {each}")
    last = "SELECT device_id, metric, max(bucket_us), bool_or(unread) FROM recomputed GROUP BY ALL"
    books.run(f"INSERT INTO last_minutes {last}")


_CANONICAL = ", ".join(f"'{name}'" for name in METRICS)
_IS_CANONICAL = f"coalesce(metric IN ({_CANONICAL}), false)"


def _value(name: str) -> str:
    if name == _OTHER:
        return f"CASE WHEN NOT {_IS_CANONICAL} THEN {READING_METRIC} END"
    return f"coalesce({name}, CASE WHEN metric = '{name}' THEN {READING_METRIC} END)"


def _is_out(name: str) -> str:
    of_reading = _breaks_range(READING_METRIC)
    return of_reading if name == _OTHER else f"({_breaks_range(name)} OR (metric = '{name}' AND {of_reading}))"


def _breaks_range(metric: str) -> str:
    rules = ", ".join(f"'{rule}'" for rule in range_rules(metric))
    return f"(quality_flag = '{OUT_OF_RANGE}' AND list_has_any(failed_rules, [{rules}]))"


def _statistics(name: str) -> str:
    return (
        f"count({name}) AS {name}_count, avg({name}) AS {name}_mean, min({name}) AS {name}_min, "
        f"max({name}) AS {name}_max, stddev_samp({name}) FILTER (abs({name}) < {_LARGEST}) AS {name}_stddev, "
        f"count_if({name} IS NOT NULL AND coalesce({name}_out, false)) AS {name}_out, "
        f"coalesce(bool_or(is_unread) FILTER ({name} IS NOT NULL), false) AS {name}_unread"
    )


def _entries(name: str) -> str:
    metric = "other_metric" if name == _OTHER else f"'{name}'"
    return (
        f"SELECT bucket_us, device_id, {metric} AS metric, {name}_count AS reading_count, {name}_mean AS value_mean, "  # noqa: S608
        f"{name}_min AS value_min, {name}_max AS value_max, {name}_stddev AS value_stddev, "
        f"{name}_out AS out_of_range_count, {name}_unread AS unread FROM wide WHERE {name}_count > 0"
    )


# Sums depend on the order of their terms, by a share of the largest of them.
_SIZE = "greatest(abs(s.value_min), abs(s.value_max))"
_SAME_MEAN = f"(g.value_mean = s.value_mean OR abs(g.value_mean - s.value_mean) <= 1e-9 * {_SIZE})"
_SAME_STDDEV = (
    f"(g.value_stddev IS NOT DISTINCT FROM s.value_stddev OR {_SIZE} >= {_LARGEST} "
    f"OR abs(g.value_stddev - s.value_stddev) <= greatest(1e-6 * s.value_stddev, 1e-10 * {_SIZE}))"
)
_UNITS = " ".join(f"WHEN '{name}' THEN '{unit}'" for name, unit in METRIC_UNITS.items())
_COMPLETENESS = "least(100.0, g.reading_count * 100.0 / g.expected_count)"
# What each statistic of gold must be, as a condition and as what it should say.
_COMPARED = {
    "reading_count": ("g.reading_count = s.reading_count", "s.reading_count"),
    "value_mean": (_SAME_MEAN, "s.value_mean"),
    "value_min": ("g.value_min = s.value_min", "s.value_min"),
    "value_max": ("g.value_max = s.value_max", "s.value_max"),
    "value_stddev": (_SAME_STDDEV, "s.value_stddev"),
    "out_of_range_count": ("g.out_of_range_count = s.out_of_range_count", "s.out_of_range_count"),
    # Of other metrics the unit, and how many readings are expected, is the registry's of that time.
    "unit": (f"g.unit IS NOT DISTINCT FROM CASE g.metric {_UNITS} ELSE g.unit END", f"CASE g.metric {_UNITS} END"),
    "completeness_percent": (
        f"CASE WHEN g.expected_count IS NULL THEN g.completeness_percent IS NULL "
        f"ELSE abs(g.completeness_percent - {_COMPLETENESS}) <= 1e-9 * {_COMPLETENESS} END",
        _COMPLETENESS,
    ),
}


def _compare(books: Books, chunk: Chunk) -> None:
    """Adds what is wrong with a chunk to the table `wrong_minutes`."""
    books.run(
        f"CREATE OR REPLACE TEMP VIEW shown AS SELECT epoch_us(bucket) AS bucket_us, * "  # noqa: S608 (our own names)
        f"FROM {books.source(GOLD_READINGS_1MIN, chunk)}"
    )
    books.run(_DIFFERING)
    books.run(_WRONG)
    # Each minute of the one that has none in the other has been found, so what is left over stands there again.
    if books.number(_LEFT_OVER):
        books.run(_REPEATED)


_KEY = (
    "coalesce(g.bucket_us, s.bucket_us) AS bucket_us, coalesce(g.device_id, s.device_id) AS device_id, "
    "coalesce(g.metric, s.metric) AS metric"
)
_IS_SAME = " AND ".join(f"coalesce({condition}, false)" for condition, _ in _COMPARED.values())
_TOLD = ", ".join(
    f"CASE WHEN NOT coalesce({condition}, false) "
    f"THEN format('{name} {{}}, recomputed {{}}', coalesce(g.{name}::VARCHAR, 'null'), "
    f"coalesce(({expected})::VARCHAR, 'null')) END"
    for name, (condition, expected) in _COMPARED.items()
)
_DIFFERING = f"""
CREATE OR REPLACE TEMP TABLE differing AS
SELECT {_KEY}, coalesce(s.unread, false) AS is_pending,
    CASE WHEN g.bucket_us IS NULL THEN 'missing' WHEN s.bucket_us IS NULL THEN 'foreign' ELSE 'different' END AS kind,
    CASE WHEN g.bucket_us IS NOT NULL AND s.bucket_us IS NOT NULL THEN concat_ws('; ', {_TOLD})
        ELSE coalesce(g.reading_count, s.reading_count) || ' readings' END AS detail
FROM recomputed AS s FULL JOIN shown AS g
ON s.bucket_us = g.bucket_us AND s.device_id = g.device_id AND s.metric IS NOT DISTINCT FROM g.metric
WHERE NOT ({_IS_SAME})
"""  # noqa: S608 (our own names)
_ITEM = f"concat_ws(' ', {moment_text('bucket_us')}, device_id, metric)"
_WRONG = f"""
INSERT INTO wrong_minutes SELECT kind, bucket_us, {_ITEM}, detail FROM differing AS d
WHERE NOT is_pending AND NOT EXISTS (FROM replaying WHERE d.bucket_us >= low AND d.bucket_us < high)
    AND NOT EXISTS (FROM exempt AS e WHERE e.bucket_us = d.bucket_us
    AND e.device_id = d.device_id AND e.metric IS NOT DISTINCT FROM d.metric)
"""  # noqa: S608 (our own names)
_LEFT_OVER = """
SELECT (SELECT count(*) FROM shown) - (SELECT count(*) FROM recomputed)
    + (SELECT count_if(kind = 'missing') - count_if(kind = 'foreign') FROM differing)
"""
_REPEATED = f"""
INSERT INTO wrong_minutes SELECT 'repeated', bucket_us, {_ITEM}, count(*) || ' rows' FROM shown
GROUP BY bucket_us, device_id, metric HAVING count(*) > 1
"""  # noqa: S608 (our own names)


def _findings(books: Books) -> Iterator[Finding]:
    for kind, what in _KINDS.items():
        rows = books.rows(
            "SELECT item, detail, count(*) OVER () FROM wrong_minutes WHERE kind = ? "  # noqa: S608 (our own names)
            f"ORDER BY bucket_us, item LIMIT {FIRST}",
            [kind],
        )
        if rows:
            yield Finding(what, rows[0][2], tuple(Named(at, detail) for at, detail, _ in rows))

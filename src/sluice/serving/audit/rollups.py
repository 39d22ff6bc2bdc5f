"""gold/readings_1hour and gold/readings_1day against the minutes, readings and alerts they were made of.

The definition is that of serving/merged_minutes.py and percentiles.py, written once more: what both say is right. Days
that changed since the hours and days were made last, as gold's own note and the tables' logs tell, are pending.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from sluice.errors import BooksUnreadable
from sluice.schemas import (
    GOLD_ALERTS,
    GOLD_READINGS_1HOUR,
    GOLD_READINGS_1MIN,
    METRICS,
    READING_METRIC,
    ROLLUP_MINUTES,
    SILVER_READINGS,
    Table,
)
from sluice.serving.audit.books import Books
from sluice.serving.audit.days import MINUTE_MICROS, days_in_scope, moment_text
from sluice.serving.audit.findings import FIRST, Finding, Named, Outcome
from sluice.serving.audit.minutes import MOST_ROWS
from sluice.serving.audit.pages import RESTORE, Chunk, source_of
from sluice.serving.audit.unread import mark_replaying
from sluice.serving.merged_minutes import start_of
from sluice.tables.changes import changed_days
from sluice.tables.coverage import ABSENT, Coverage
from sluice.tables.lake import Lake

_EPOCH = date(1970, 1, 1).toordinal()
_CHUNKED = (SILVER_READINGS, GOLD_READINGS_1MIN, *ROLLUP_MINUTES)
_KINDS = {
    "missing": "{} that gold does not have",
    "foreign": "{} of gold without a minute",
    "repeated": "{} that stand in gold more than once",
    "different": "{} that differ from a recompute",
}
# Beyond it deviations differ by how they are computed.
_LARGEST = "1e140"


def check_rollups(books: Books) -> Outcome:
    """Each hour and day of gold is what its minutes give, its percentiles what the readings of these minutes give."""
    covered = books.rolled_up
    if covered is None:
        return Outcome(skipped="hours and days have not been made yet")
    for table in ROLLUP_MINUTES:
        if not books.has(table):
            raise BooksUnreadable(f"the lake at {books.lake.path} has lost {table.full_name}", RESTORE)
    pending = _changed_since(books, covered)
    if pending is None:
        return Outcome(skipped="the logs no longer tell which days have changed since hours and days were made")
    mark_replaying(books)
    books.show(GOLD_ALERTS, source_of(GOLD_ALERTS, books.files(GOLD_ALERTS)))
    books.run(
        "CREATE OR REPLACE TEMP TABLE wrong (place VARCHAR, kind VARCHAR, start BIGINT, item VARCHAR, detail VARCHAR)"
    )
    counted = dict.fromkeys(ROLLUP_MINUTES, 0)
    for chunk in _chunks(books, pending):
        _measure(books, chunk)
        for table, minutes in ROLLUP_MINUTES.items():
            _recompute(books, minutes)
            _compare(books, table, chunk)
            counted[table] += books.number("SELECT count(*) FROM recomputed_rollup")
    hours, days = counted.values()
    return Outcome({"hours": hours, "days": days, "pending": len(pending)}, list(_findings(books)))


def _changed_since(books: Books, covered: Coverage) -> set[int] | None:
    """The days since 1970-01-01 whose minutes or alerts changed since; None where the logs do not tell."""
    found: set[int] = set()
    for table, column in ((GOLD_READINGS_1MIN, "bucket_date"), (GOLD_ALERTS, "first_event_time")):
        pages, after = books.pages(table), covered.versions.get(table.full_name, ABSENT)
        days = changed_days(Lake(books.lake.path), table, column, after, pages.version if pages else ABSENT)
        if days is None:
            return None
        found |= {day.toordinal() - _EPOCH for day in days}
    return found


def _chunks(books: Books, pending: set[int]) -> Iterator[Chunk]:
    scope = days_in_scope(books)
    known = {file.day for table in _CHUNKED for file in books.files(table) if file.day is not None}
    left = (known if scope is None else known & scope) - pending
    for chunk in books.chunks(SILVER_READINGS, MOST_ROWS, set(left)):
        left -= set(chunk.days)
        yield chunk
    if left:
        yield Chunk(tuple(sorted(left)))


_CANONICAL = f"coalesce(metric IN ({', '.join(repr(name) for name in METRICS)}), false)"
_ENTRIES = ", ".join(
    (
        *(
            f"{{'metric': '{name}', 'value': coalesce({name}, CASE WHEN metric = '{name}' THEN {READING_METRIC} END)}}"
            for name in METRICS
        ),
        f"{{'metric': metric, 'value': CASE WHEN NOT {_CANONICAL} THEN {READING_METRIC} END}}",
    )
)


def _measure(books: Books, chunk: Chunk) -> None:
    """Makes `whole_minutes`, the minutes of a chunk, and `measured`, every value that lies in one of them."""
    books.run(
        f"CREATE OR REPLACE TEMP TABLE whole_minutes AS SELECT *, epoch_us(bucket) AS minute "  # noqa: S608 (our own names)
        f"FROM {books.source(GOLD_READINGS_1MIN, chunk)}"
    )
    books.run(
        f"CREATE OR REPLACE TEMP TABLE measured AS SELECT v.* FROM ("  # noqa: S608 (our own names)
        f"SELECT minute, device_id, entry.metric AS metric, entry.value AS value FROM ("
        f"SELECT {start_of('epoch_us(event_time)', 1)} AS minute, device_id, unnest([{_ENTRIES}]) AS entry "
        f"FROM {books.source(SILVER_READINGS, chunk)}) WHERE entry.value IS NOT NULL) AS v "
        "SEMI JOIN whole_minutes AS m "
        "ON m.minute = v.minute AND m.device_id = v.device_id AND m.metric IS NOT DISTINCT FROM v.metric"
    )


_MET = "{0}.start = {1}.start AND {0}.device_id = {1}.device_id AND {0}.metric IS NOT DISTINCT FROM {1}.metric"
_RECOMPUTED = f"""
CREATE OR REPLACE TEMP TABLE recomputed_rollup AS
WITH placed AS (SELECT *, {{start}} AS start FROM whole_minutes),
sized AS (
    SELECT *, sum(reading_count) OVER whole AS n, max(greatest(abs(value_min), abs(value_max))) OVER whole AS size
    FROM placed WINDOW whole AS (PARTITION BY start, device_id, metric)
), weighed AS (
    SELECT *, sum(value_mean * (reading_count / n)) OVER (PARTITION BY start, device_id, metric) AS mean FROM sized
), merged AS (
    SELECT start, device_id, metric, last(unit ORDER BY minute) FILTER (unit IS NOT NULL) AS unit,
        any_value(n)::BIGINT AS reading_count, any_value(mean) AS value_mean, min(value_min) AS value_min,
        max(value_max) AS value_max, any_value(size) AS size, sum(out_of_range_count)::BIGINT AS out_of_range_count,
        {{minutes}} * last(expected_count ORDER BY minute) FILTER (expected_count IS NOT NULL) AS expected_count,
        count(*) AS minutes_with_readings,
        sqrt(sum(reading_count * (value_mean - mean) ** 2 + (reading_count - 1) * coalesce(value_stddev, 0) ** 2)
            FILTER (size < {_LARGEST}) / nullif(any_value(n) - 1, 0)) AS value_stddev
    FROM weighed GROUP BY start, device_id, metric
), ranked AS (
    SELECT {{start}} AS start, device_id, metric, count(*) AS n, list_sort(list(value)) AS ordered
    FROM measured GROUP BY ALL
), alerted AS (
    SELECT {{alerted}} AS start, device_id, metric, count(*) AS alert_count FROM gold.alerts GROUP BY ALL
)
SELECT m.*, coalesce(a.alert_count, 0) AS alert_count, ordered[(50 * r.n + 99) // 100] AS value_p50,
    ordered[(95 * r.n + 99) // 100] AS value_p95,
    r.n IS NOT DISTINCT FROM m.reading_count
        AND NOT EXISTS (FROM replaying WHERE high > m.start AND low < m.start + {{width}}) AS is_ranked
FROM merged AS m LEFT JOIN ranked AS r ON {_MET.format("m", "r")} LEFT JOIN alerted AS a ON {_MET.format("m", "a")}
"""  # noqa: S608 (our own names)


def _recompute(books: Books, minutes: int) -> None:
    names = {
        "start": start_of("minute", minutes),
        "alerted": start_of("epoch_us(first_event_time)", minutes),
        "minutes": minutes,
        "width": minutes * MINUTE_MICROS,
    }
    books.run(_RECOMPUTED.format(**names))


_EQUAL = (
    *("unit", "reading_count", "value_min", "value_max", "out_of_range_count", "expected_count"),
    *("minutes_with_readings", "alert_count"),
)
_PERCENT = "least(100.0, g.reading_count * 100.0 / g.expected_count)"
# What each column of gold must be, as a condition and as what it should say.
_COMPARED = {
    **{name: (f"g.{name} IS NOT DISTINCT FROM s.{name}", f"s.{name}") for name in _EQUAL},
    "value_mean": (
        "(g.value_mean = s.value_mean OR abs(g.value_mean - s.value_mean) <= 1e-9 * s.size)",
        "s.value_mean",
    ),
    "value_stddev": (
        f"(g.value_stddev IS NOT DISTINCT FROM s.value_stddev OR s.size >= {_LARGEST} "
        "OR abs(g.value_stddev - s.value_stddev) <= greatest(1e-6 * s.value_stddev, 1e-10 * s.size))",
        "s.value_stddev",
    ),
    **{
        name: (f"(NOT s.is_ranked OR g.{name} IS NOT DISTINCT FROM s.{name})", f"s.{name}")
        for name in ("value_p50", "value_p95")
    },
    "completeness_percent": (
        f"CASE WHEN g.expected_count IS NULL THEN g.completeness_percent IS NULL "
        f"ELSE abs(g.completeness_percent - {_PERCENT}) <= 1e-9 * {_PERCENT} END",
        _PERCENT,
    ),
    "missing_minutes": (
        "CASE WHEN g.expected_count IS NULL THEN g.missing_minutes IS NULL ELSE g.missing_minutes = "
        "greatest(0, least({minutes}, floor(least(1e6, g.expected_count))) - g.minutes_with_readings) END",
        "greatest(0, least({minutes}, floor(least(1e6, g.expected_count))) - g.minutes_with_readings)",
    ),
}
_IS_SAME = " AND ".join(f"coalesce({condition}, false)" for condition, _ in _COMPARED.values())
_TOLD = ", ".join(
    f"CASE WHEN NOT coalesce({condition}, false) THEN concat('{name} ', coalesce(g.{name}::VARCHAR, 'null'), "
    f"', recomputed ', coalesce(({expected})::VARCHAR, 'null')) END"
    for name, (condition, expected) in _COMPARED.items()
)
_ITEM = f"concat_ws(' ', {moment_text('start')}, device_id, metric)"
_WRONG = f"""
INSERT INTO wrong
SELECT '{{place}}', kind, start, {_ITEM}, detail FROM (
    SELECT coalesce(g.start, s.start) AS start, coalesce(g.device_id, s.device_id) AS device_id,
        coalesce(g.metric, s.metric) AS metric,
        CASE WHEN g.start IS NULL THEN 'missing' WHEN s.start IS NULL THEN 'foreign' ELSE 'different' END AS kind,
        CASE WHEN g.start IS NOT NULL AND s.start IS NOT NULL THEN concat_ws('; ', {_TOLD})
            ELSE coalesce(g.reading_count, s.reading_count) || ' readings' END AS detail
    FROM recomputed_rollup AS s FULL JOIN shown_rollup AS g ON {_MET.format("s", "g")} WHERE NOT ({_IS_SAME})
)
UNION ALL
SELECT '{{place}}', 'repeated', start, {_ITEM}, count(*) || ' rows' FROM shown_rollup
GROUP BY start, device_id, metric HAVING count(*) > 1
"""  # noqa: S608 (our own names)


def _compare(books: Books, table: Table, chunk: Chunk) -> None:
    """Adds what is wrong with a chunk of a roll-up to the table `wrong`."""
    books.run(
        f"CREATE OR REPLACE TEMP TABLE shown_rollup AS SELECT epoch_us(bucket) AS start, * "  # noqa: S608 (our own names)
        f"FROM {books.source(table, chunk)}"
    )
    books.run(_WRONG.format(place=table.full_name, minutes=ROLLUP_MINUTES[table]))


def _findings(books: Books) -> Iterator[Finding]:
    for table in ROLLUP_MINUTES:
        for kind, what in _KINDS.items():
            rows = books.rows(
                "SELECT item, detail, count(*) OVER () FROM wrong WHERE place = ? AND kind = ? "  # noqa: S608
                f"ORDER BY start, item LIMIT {FIRST}",
                [table.full_name, kind],
            )
            if rows:
                name = "hours" if table == GOLD_READINGS_1HOUR else "days"
                yield Finding(what.format(name), rows[0][2], tuple(Named(at, detail) for at, detail, _ in rows))

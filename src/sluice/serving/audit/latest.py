"""gold/latest_readings against silver: the value with the greatest event time, ties by the greatest coordinates."""

from __future__ import annotations

from sluice.errors import BooksUnreadable
from sluice.schemas import (
    ERROR,
    GOLD_HELD,
    GOLD_LATEST_READINGS,
    HELD_OPEN,
    HELD_REJECTED,
    METRICS,
    READING_METRIC,
    SILVER_READINGS,
)
from sluice.serving.audit.books import Books
from sluice.serving.audit.days import DAY_MICROS, MINUTE_MICROS, moment_text
from sluice.serving.audit.findings import Outcome
from sluice.serving.audit.minutes import MOST_ROWS

_ORDER = 'event_us DESC, topic DESC, topic_generation DESC, partition DESC, "offset" DESC'
_COLUMNS = 'device_id, event_us, quality_flag, topic, topic_generation, partition, "offset"'
_SAME = "l.device_id = e.device_id AND l.metric IS NOT DISTINCT FROM e.metric"


def check_latest(books: Books) -> Outcome:
    """Each device's latest values are those of silver; uses the table `last_seen` that the check of minutes leaves.

    Raises:
        BooksUnreadable: that check could not be made.
    """
    if not books.has(GOLD_LATEST_READINGS, SILVER_READINGS):
        return Outcome(skipped="gold has no tables yet")
    if not books.number("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'last_seen'"):
        raise BooksUnreadable("the last minute of each device is not known", "see gold.minutes")
    _find_expected(books)
    books.run(
        f"CREATE OR REPLACE TEMP TABLE latest AS SELECT device_id, metric, value, epoch_us(event_time) AS event_us, "  # noqa: S608
        f"quality_flag FROM {GOLD_LATEST_READINGS.full_name}"
    )
    problems = [
        *books.finding("latest readings that gold does not have", _MISSING),
        *books.finding("latest readings that differ from silver", _different(books.scoped)),
        # With a part of silver alone it cannot be told.
        *([] if books.scoped else books.finding("latest readings of gold that silver has no value for", _FOREIGN)),
        *books.finding("latest readings that stand in gold more than once", _REPEATED),
    ]
    counts = {
        "latest": books.number("SELECT count(*) FROM expected"),
        "pending": books.number("SELECT count(*) FROM expected WHERE unread"),
    }
    return Outcome(counts, problems)


def _find_expected(books: Books) -> None:
    """Makes the table `expected`: device, metric and the reading that silver has last of them."""
    books.run(
        "CREATE OR REPLACE TEMP TABLE expected (device_id VARCHAR, metric VARCHAR, value DOUBLE, event_us BIGINT, "
        "quality_flag VARCHAR, unread BOOL)"
    )
    days = {day for (day,) in books.rows(f"SELECT DISTINCT minute // {DAY_MICROS} FROM last_seen")}  # noqa: S608
    for chunk in books.chunks(SILVER_READINGS, MOST_ROWS, days):
        books.run(
            "CREATE OR REPLACE TEMP TABLE near AS SELECT *, epoch_us(event_time) AS event_us "  # noqa: S608
            f"FROM {books.source(SILVER_READINGS, chunk)} AS t SEMI JOIN last_seen AS l "
            f"ON l.device_id = t.device_id AND l.minute = {_MINUTE.format('epoch_us(event_time)')}"
        )
        # A minute lies in one day and has one device, so in one chunk.
        books.run(
            "INSERT INTO expected SELECT v.device_id, v.metric, v.value, v.event_us, v.quality_flag, l.unread "  # noqa: S608
            f"FROM ({_VALUES}) AS v JOIN last_seen AS l ON l.device_id = v.device_id "
            f"AND l.metric IS NOT DISTINCT FROM v.metric AND l.minute = {_MINUTE.format('v.event_us')} "
            f"QUALIFY row_number() OVER (PARTITION BY v.device_id, v.metric ORDER BY {_ORDER}) = 1"
        )


_MINUTE = f"{{}} // {MINUTE_MICROS} * {MINUTE_MICROS}"
_VALUES = " UNION ALL ".join(
    f"SELECT {_COLUMNS}, {metric} AS metric, {value} AS value FROM near WHERE {value} IS NOT NULL"  # noqa: S608
    for metric, value in (*((f"'{name}'", name) for name in METRICS), ("metric", READING_METRIC))
)
# A gate that could not decide leaves the latest readings as they were until the minute is approved or touched again.
_EXEMPT = (
    f"EXISTS (FROM {GOLD_HELD.full_name} AS h JOIN gold_ledger USING (promotion_id) WHERE verdict = '{ERROR}' "
    f"AND status IN ('{HELD_OPEN}', '{HELD_REJECTED}') "
    "AND h.device_id = e.device_id AND h.metric IS NOT DISTINCT FROM e.metric)"
)
# Silver has other readings by now, and gold makes that time anew.
_REPLAYING = "EXISTS (FROM replaying WHERE {0}.event_us >= low AND {0}.event_us < high)"
_AT = "concat_ws(' ', {0}.device_id, {0}.metric)"
_SILVER_HAS = f"concat('silver has ', e.value, ' at ', {moment_text('e.event_us')})"

_MISSING = f"""
SELECT {_AT.format("e")} AS item, {_SILVER_HAS} AS detail FROM expected AS e ANTI JOIN latest AS l ON {_SAME}
WHERE NOT unread AND NOT {_EXEMPT} AND NOT {_REPLAYING.format("e")}
"""  # noqa: S608 (our own names)
_FOREIGN = f"""
SELECT {_AT.format("l")} AS item, '' AS detail FROM latest AS l ANTI JOIN expected AS e ON {_SAME}
WHERE NOT {_REPLAYING.format("l")}
"""  # noqa: S608 (our own names)
_REPEATED = """
SELECT concat_ws(' ', device_id, metric) AS item, count(*) || ' rows' AS detail FROM latest
GROUP BY device_id, metric HAVING count(*) > 1
"""


def _different(scoped: bool) -> str:
    newer = "l.event_us <= e.event_us AND" if scoped else ""
    return f"""
        SELECT {_AT.format("e")} AS item,
            concat(l.value, ' at ', {moment_text("l.event_us")}, ', ', {_SILVER_HAS}) AS detail
        FROM latest AS l JOIN expected AS e ON {_SAME}
        WHERE NOT unread AND NOT {_EXEMPT} AND {newer}
            NOT {_REPLAYING.format("l")} AND NOT {_REPLAYING.format("e")} AND
            (l.event_us, l.value, l.quality_flag) IS DISTINCT FROM (e.event_us, e.value, e.quality_flag)
    """  # noqa: S608 (our own names)

"""Event keys: each once in silver/readings, found by hashes, and named once those are equal."""

from __future__ import annotations

from sluice.schemas import SILVER_READINGS
from sluice.serving.audit.books import Books
from sluice.serving.audit.days import days_in_scope, moment_text
from sluice.serving.audit.findings import Outcome
from sluice.serving.audit.pages import source_of

_AT = f"concat(device_id, '@', {moment_text('event_us')}, ' ', event_id)"
_COORDINATES = "concat_ws(':', topic, topic_generation, partition, \"offset\")"
# So many hashes fit into memory.
_MOST_ROWS = 16_000_000


def check_keys(books: Books) -> Outcome:
    """No event key stands in silver/readings twice; as information, ids that a device used at several times.

    One pass finds, by 64-bit hashes, the ids that a device used more than once; only their rows are looked at closer.
    Equal keys have equal times, so with a scope the days that its readings touch are enough.
    """
    if not books.has(SILVER_READINGS):
        return Outcome(skipped="silver has no tables yet")
    days = days_in_scope(books)
    files = books.files(SILVER_READINGS, days)
    source, rows = source_of(SILVER_READINGS, files), sum(file.rows for file in files)
    columns = "device_id VARCHAR, event_id VARCHAR, event_us BIGINT, coordinates VARCHAR"
    books.run(f"CREATE OR REPLACE TEMP TABLE doubtful ({columns})")
    shares = max(1, -(-rows // _MOST_ROWS))
    for share in range(shares):
        of_share = f"hash(device_id, event_id) % {shares} = {share}"
        books.run(
            f"CREATE OR REPLACE TEMP TABLE suspects AS SELECT hash(device_id, event_id) AS h FROM {source} "  # noqa: S608
            f"WHERE {of_share} GROUP BY h HAVING count(*) > 1"
        )
        if books.number("SELECT count(*) FROM suspects"):
            books.run(
                f"INSERT INTO doubtful SELECT device_id, event_id, epoch_us(event_time), {_COORDINATES} "  # noqa: S608
                f"FROM {source} SEMI JOIN suspects ON h = hash(device_id, event_id)"
            )
    problems = books.finding("event keys that stand in silver.readings more than once", _REPEATED)
    notes = books.finding("event ids that a device used at more than one time", _USED_AGAIN)
    counted = books.number(f"SELECT sum(rows) FROM written WHERE place = '{SILVER_READINGS.full_name}'")  # noqa: S608
    return Outcome({"readings": counted}, problems, notes)


_REPEATED = f"""
SELECT {_AT} AS item, string_agg(coordinates, ', ' ORDER BY coordinates) AS detail
FROM doubtful GROUP BY device_id, event_us, event_id HAVING count(*) > 1
"""  # noqa: S608 (our own names)
_USED_AGAIN = """
SELECT concat_ws(' ', device_id, event_id) AS item, count(DISTINCT event_us) || ' times' AS detail
FROM doubtful GROUP BY device_id, event_id HAVING count(DISTINCT event_us) > 1
"""

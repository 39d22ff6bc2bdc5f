"""Below which offsets the books are closed: what retention let go, as ops/floors says.

    closed          per table and stream the first offset that is still on the books, `before`
    closing         promotions that read, or may have placed, a record below that, by table
    still_open      per stream the last offset of the micro-batches that read bronze records below, `upto`

What is gone cannot be compared; what is left of it is not looked for elsewhere. Floors are noted before rows go, and
read after the tables have been opened: they say at least what is gone.
"""

from __future__ import annotations

from sluice.schemas import APPROVE, BATCH, BRONZE_EVENTS, OPS_FLOORS, SILVER_DUPLICATES
from sluice.serving.audit.books import Books
from sluice.serving.audit.opening import STREAM, STREAM_NAME
from sluice.serving.audit.pages import book_files, source_in


def close_books(books: Books) -> None:
    """Makes the tables that are listed above, empty where retention has taken nothing."""
    books.run(
        'CREATE TEMP TABLE closed ("table" VARCHAR, topic VARCHAR, topic_generation INTEGER, partition INTEGER, '
        "before BIGINT, noted_at TIMESTAMPTZ)"
    )
    if OPS_FLOORS.full_name in books.lake.tables():
        files = list(book_files(books.lake.delta(OPS_FLOORS.full_name), books.lake.path / OPS_FLOORS.relative_path))
        if files:
            books.run(_CLOSED.format(source=source_in(files)))
    books.run(_CLOSING)
    books.run(
        f"CREATE TEMP TABLE still_open AS SELECT {STREAM}, max(last_offset) AS upto FROM batch_ends "  # noqa: S608
        f"SEMI JOIN (FROM closing WHERE \"table\" = '{BRONZE_EVENTS.full_name}') AS c USING (promotion_id) GROUP BY ALL"
    )


# What a person gave up has a start; retention reaches back to the beginning.
_CLOSED = f"""
INSERT INTO closed
SELECT "table", name.topic, name.generation::INTEGER, name.partition::INTEGER, max(try_cast(before AS BIGINT)),
    max("at")
FROM (SELECT regexp_extract("range", {STREAM_NAME}) AS name, * FROM {{source}})
WHERE since IS NULL AND name.topic <> '' AND try_cast(before AS BIGINT) IS NOT NULL GROUP BY ALL
"""  # noqa: S608 (our own names)
# A micro-batch reads a stream from where the one before it ended; an approval promotes what its parent read. Which
# records a replay placed the ledger does not say: of copies found by one, some may be gone.
_CLOSING = f"""
CREATE TEMP TABLE closing AS
WITH parts AS (
    SELECT promotion_id, {STREAM}, last_offset,
        coalesce(lag(last_offset) OVER (PARTITION BY {STREAM} ORDER BY seq) + 1, 0) AS first_offset
    FROM batch_ends
), reading AS (
    SELECT DISTINCT "table", promotion_id FROM parts JOIN closed USING ({STREAM}) WHERE first_offset < before
)
FROM reading
UNION SELECT "table", l.promotion_id FROM silver_rows AS l JOIN reading ON reading.promotion_id = parent_promotion_id
    WHERE kind = '{APPROVE}'
UNION SELECT "table", promotion_id FROM closed, silver_rows
    WHERE "table" = '{SILVER_DUPLICATES.full_name}' AND kind NOT IN ('{BATCH}', '{APPROVE}') AND decided_at <= noted_at
"""  # noqa: S608 (our own names)

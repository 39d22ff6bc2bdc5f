"""What all checks start from, as tables of the audit's own session: the ledgers, how far silver has read, the scope.

    silver_ledger, gold_ledger    rows of the ledgers, with the checkpoint's `generation` and whether they are in scope
    batch_ends                    per micro-batch of silver and stream the last offset it read; `seq` is its place
    read_upto                     per stream the last offset that the ledger says silver has read
    scope                         with a time to start from: per stream the first offset that is looked at
    written                       rows in the tables of silver, and in gold/held, by promotion, place and status
    flight                        promotions that the ledger did not know when it was opened, by layer
    replaced                      by promotion and place the rows that a replay from bronze took the place of; `is_done`
                                  where the ledger tells of that replay

A stream is a topic, a generation of it, and a partition. `scope` is where a floor that retention leaves would be read.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone

from sluice.errors import CheckpointLost
from sluice.schemas import (
    BRONZE_EVENTS,
    GOLD_HELD,
    GOLD_LATEST_READINGS,
    LEDGERS,
    REBUILD,
    REPLACED_ROWS,
    SILVER_DUPLICATES,
    SILVER_HELD,
    SILVER_QUARANTINE,
    SILVER_READINGS,
    Table,
)
from sluice.serving.audit.books import Books
from sluice.serving.audit.pages import BookFile, source_of
from sluice.tables.decisions import Decisions
from sluice.tables.lake import Lake

STREAM = "topic, topic_generation, partition"
# Where a record of silver can be.
PLACES = (SILVER_READINGS, SILVER_QUARANTINE, SILVER_DUPLICATES, SILVER_HELD)
_COLUMNS = (
    "promotion_id, kind, parent_promotion_id, batch_id, from_version, to_version, rows_in, rows_promoted, "
    "rows_quarantined, rows_duplicate, rows_held, verdict, decided_at"
)
# How the ids of replays from bronze begin.
SILVER_REBUILD = f"silver-{REBUILD}-"
_GENERATION = "regexp_extract(promotion_id, '^[a-z]+-([^-]+)-[0-9]+$', 1)"
# How ledgers name a stream, as arguments of regexp_extract after the text.
STREAM_NAME = "'^(.*):([0-9]+):([0-9]+)$', ['topic', 'generation', 'partition']"
_DAY_SECONDS = 86_400


def open_books(books: Books, since: datetime | None) -> None:
    """Makes the tables that are listed above, and a view of each table of the lake; with a scope they hold no more.

    Args:
        since: UTC; only records that bronze ingested from then on are looked at, and those that silver read together
            with them. None looks at all.
    """
    books.scoped = since is not None
    _read_ledgers(books)
    if since is not None:
        _draw_scope(books, since)
    _mark_scope(books, since)
    for table in (BRONZE_EVENTS, *PLACES):
        books.show(table, _source(books, table, since is not None))
    for table in (GOLD_HELD, GOLD_LATEST_READINGS):
        books.show(table, source_of(table, books.files(table)))
    _count_written(books)


def _read_ledgers(books: Books) -> None:
    for layer, table in LEDGERS.items():
        books.run(
            f"CREATE TEMP TABLE {layer}_rows AS SELECT {_COLUMNS}, offsets, rule_counts, {_GENERATION} AS generation "  # noqa: S608
            f"FROM {source_of(table, books.files(table))}"
        )
        later = books.later_ledger(table)
        books.run(
            f"CREATE TEMP TABLE {layer}_later AS "  # noqa: S608 (our own names)
            f"SELECT promotion_id FROM {source_of(table, later.files if later else ())}"
        )
    books.run(_BATCH_ENDS)
    books.run(
        f"CREATE TEMP TABLE read_upto AS SELECT {STREAM}, max(last_offset) AS last_offset "  # noqa: S608
        "FROM batch_ends GROUP BY ALL"
    )


# Batches follow each other within a checkpoint; a later checkpoint has later decisions.
_BATCH_ENDS = f"""
CREATE TEMP TABLE batch_ends AS
WITH begun AS (
    SELECT *, min(decided_at) OVER (PARTITION BY generation) AS began FROM silver_rows WHERE kind = 'batch'
), numbered AS (
    SELECT promotion_id, offsets, row_number() OVER (ORDER BY began, generation, batch_id) AS seq FROM begun
), entries AS (
    SELECT seq, promotion_id, unnest(map_entries(offsets)) AS entry FROM numbered
), named AS (
    SELECT seq, promotion_id, entry.value AS last_offset,
        regexp_extract(entry.key, {STREAM_NAME}) AS name
    FROM entries
)
SELECT seq, promotion_id, name.topic AS topic, try_cast(name.generation AS INTEGER) AS topic_generation,
    try_cast(name.partition AS INTEGER) AS partition, last_offset
FROM named
"""  # noqa: S608 (our own names)


def _draw_scope(books: Books, since: datetime) -> None:
    day = int(since.timestamp()) // _DAY_SECONDS
    files = [file for file in books.files(BRONZE_EVENTS) if file.day is None or file.day >= day]
    books.run(
        f'CREATE TEMP TABLE ingested AS SELECT {STREAM}, min("offset") AS first_offset '  # noqa: S608
        f"FROM {source_of(BRONZE_EVENTS, files)} WHERE ingested_at >= ? GROUP BY ALL",
        [since.astimezone(timezone.utc)],
    )
    books.run(_SCOPE)


# Whole micro-batches, so that the ledger's counts can be compared: from the first one that read a wanted record on.
_SCOPE = f"""
CREATE TEMP TABLE scope AS
WITH first AS (
    SELECT min(seq) AS seq FROM batch_ends JOIN ingested USING ({STREAM}) WHERE last_offset >= first_offset
), before AS (
    SELECT {STREAM}, coalesce(max(last_offset) FILTER (batch_ends.seq < first.seq) + 1, 0) AS first_offset
    FROM batch_ends, first GROUP BY ALL
)
SELECT {STREAM}, CASE WHEN first.seq IS NULL THEN ingested.first_offset
    ELSE coalesce(before.first_offset, ingested.first_offset) END AS first_offset
FROM before FULL JOIN ingested USING ({STREAM}), first
WHERE first.seq IS NOT NULL OR ingested.first_offset IS NOT NULL
"""  # noqa: S608 (our own names)


def _mark_scope(books: Books, since: datetime | None) -> None:
    ends = "SELECT promotion_id FROM batch_ends JOIN scope USING (topic, topic_generation, partition)"
    inside = "true" if since is None else f"promotion_id IN ({ends} WHERE last_offset >= first_offset)"
    books.run(
        f"CREATE TEMP TABLE silver_ledger AS WITH marked AS (SELECT *, {inside} AS inside FROM silver_rows) "  # noqa: S608
        "SELECT own.* EXCLUDE (inside, offsets, rule_counts), coalesce(parent.inside, own.inside) AS in_scope "
        "FROM marked AS own LEFT JOIN "
        "(SELECT DISTINCT promotion_id AS parent_promotion_id, inside FROM marked) AS parent "
        "USING (parent_promotion_id)"
    )
    books.run(
        "CREATE TEMP TABLE gold_ledger AS SELECT * EXCLUDE (offsets, rule_counts), true AS in_scope FROM gold_rows"
    )


def _source(books: Books, table: Table, scoped: bool) -> str:
    if not scoped:
        return source_of(table, books.files(table))
    first = books.rows("SELECT min(first_offset) FROM scope")[0][0]
    source = source_of(table, [] if first is None else _reaching(books.files(table), first))
    return f'(SELECT t.* FROM {source} AS t JOIN scope USING ({STREAM}) WHERE t."offset" >= scope.first_offset)'  # noqa: S608


def _reaching(files: Iterable[BookFile], first_offset: int) -> list[BookFile]:
    return [file for file in files if file.last_offset is None or file.last_offset >= first_offset]


def _count_written(books: Books) -> None:
    counted = [
        f"SELECT '{table.full_name}' AS place, promotion_id, {_status(table)} AS status, count(*) AS rows "  # noqa: S608
        f"FROM {table.full_name} GROUP BY ALL"
        for table in (*PLACES, GOLD_HELD)
    ]
    books.run(f"CREATE TEMP TABLE written AS {' UNION ALL '.join(counted)}")
    for layer in LEDGERS:
        books.run(
            f"CREATE TEMP TABLE {layer}_flight AS SELECT DISTINCT promotion_id FROM written "  # noqa: S608
            f"ANTI JOIN {layer}_rows USING (promotion_id) WHERE starts_with(place, '{layer}.')"
        )

    _count_replaced(books)


def _count_replaced(books: Books) -> None:
    """What replays from bronze replaced: by the ledger, and of those on their way by the decision they carry out."""
    books.run(_REPLACED)
    checkpoint = Lake(books.lake.path).checkpoint_path("silver")
    begun = books.rows("SELECT promotion_id FROM silver_flight WHERE starts_with(promotion_id, ?)", [SILVER_REBUILD])
    for (promotion_id,) in begun:
        try:
            decision = Decisions(checkpoint).find(promotion_id)
        except CheckpointLost:
            decision = None
        for name, rows in (decision.promotion["rule_counts"] if decision else {}).items():
            if name.startswith(REPLACED_ROWS):
                place, old = name.removeprefix(REPLACED_ROWS).split(":", 1)
                books.run("INSERT INTO replaced VALUES (?, ?, ?, false)", [old, place, rows])


_NOTED = f"substr(entry.key, {len(REPLACED_ROWS) + 1})"
_REPLACED = f"""
CREATE TEMP TABLE replaced AS
SELECT regexp_extract({_NOTED}, '^[^:]*:(.*)$', 1) AS promotion_id, regexp_extract({_NOTED}, '^([^:]*):', 1) AS place,
    entry.value::BIGINT AS rows, true AS is_done
FROM (
    SELECT unnest(map_entries(rule_counts)) AS entry FROM silver_rows
    WHERE starts_with(promotion_id, '{SILVER_REBUILD}')
)
WHERE starts_with(entry.key, '{REPLACED_ROWS}')
"""  # noqa: S608 (our own names)


def _status(table: Table) -> str:
    return "status" if "status" in table.column_names else "NULL::VARCHAR"

"""Every record in one place: exact sets of offsets as bits, one for each offset of a stream, compared as wholes.

A bucket is 65,536 offsets of one stream. Per bucket and place the bits say which offsets are there: what is missing,
foreign or in two places is then a matter of AND and OR, whatever the number of records.

Places beside the tables: `read` and `pending` are bronze's, before and after the last offset in the ledger; `moved`
are rows of held or quarantine that have become something else since, `approving` rows of held about which that is
not in the ledger yet; `flight` are rows of promotions that the ledger did not know when it was opened, `rebuilding`
those of them that a replay from bronze has written, which may still have the row they take the place of; `closed` are
the offsets below the first one that retention has left in bronze.
"""

from __future__ import annotations

from sluice.schemas import (
    APPROVE,
    BRONZE_EVENTS,
    HELD_APPROVED,
    REJECT,
    SILVER_HELD,
    SILVER_QUARANTINE,
    SILVER_READINGS,
    Table,
)
from sluice.serving.audit.books import Books
from sluice.serving.audit.findings import FIRST, Finding, Named, Outcome
from sluice.serving.audit.opening import PLACES, SILVER_REBUILD, STREAM

BUCKET_BITS = 16
BUCKET = 1 << BUCKET_BITS
READ, PENDING = "read", "pending"
READINGS, QUARANTINE, DUPLICATES, HELD = "readings", "quarantine", "duplicates", "held"
MOVED, APPROVING, FLIGHT, REBUILDING, CLOSED = "moved", "approving", "flight", "rebuilding", "closed"
_ALL = (READ, PENDING, READINGS, QUARANTINE, DUPLICATES, HELD, MOVED, APPROVING, FLIGHT, REBUILDING, CLOSED)

_SOMEWHERE = f"({READINGS} | {QUARANTINE} | {DUPLICATES} | {HELD})"
_NOWHERE = f"{READ} & ~({_SOMEWHERE} | {MOVED} | {FLIGHT} | {REBUILDING} | {CLOSED})"
_TWICE = (
    f"({READINGS} & ({QUARANTINE} | {DUPLICATES} | {HELD})) | ({QUARANTINE} & ({DUPLICATES} | {HELD})) | "
    # A row in flight may be about to leave held or quarantine, nothing else.
    f"({DUPLICATES} & {HELD}) | ({FLIGHT} & ({READINGS} | {DUPLICATES}))"
)
_FOREIGN = f"({_SOMEWHERE} | {MOVED} | {FLIGHT} | {REBUILDING}) & ~({READ} | {PENDING} | {CLOSED})"
_LOST = (
    f"(({MOVED} & ~({_SOMEWHERE} | {FLIGHT} | {REBUILDING})) | "
    f"({APPROVING} & ~({READINGS} | {QUARANTINE} | {DUPLICATES} | {FLIGHT}))) & ~{CLOSED}"
)
SPOTS = f"(SELECT range::INTEGER AS spot FROM range({BUCKET})) AS spots"  # noqa: S608 (our own names)
_COORDINATES = f"concat_ws(':', {STREAM}, (bucket << {BUCKET_BITS}) + spot)"


def mark_places(books: Books) -> None:
    """Makes the tables `marks` (stream, bucket, place: rows and bits) and `book` (stream, bucket: bits by place)."""
    books.run(
        "CREATE TEMP TABLE marks (topic VARCHAR, topic_generation INTEGER, partition INTEGER, bucket BIGINT, "
        "place VARCHAR, rows BIGINT, bits BIT)"
    )
    for table in (BRONZE_EVENTS, *PLACES):
        books.run(f"CREATE OR REPLACE TEMP VIEW placed_{table.name} AS {_placed(books, table)}")
        books.run(
            f'INSERT INTO marks SELECT {STREAM}, "offset" >> {BUCKET_BITS}, place, count(*), '  # noqa: S608
            f'bitstring_agg(("offset" & {BUCKET - 1})::INTEGER, 0, {BUCKET - 1}) FROM placed_{table.name} GROUP BY ALL'
        )
    # A row of held that is being approved is still held.
    books.run(
        f"INSERT INTO marks SELECT {STREAM}, bucket, '{HELD}', rows, bits FROM marks WHERE place = '{APPROVING}'"  # noqa: S608
    )
    _mark_closed(books)
    none = f"repeat('0', {BUCKET})::BIT"
    bits = ", ".join(f"coalesce(bit_or(bits) FILTER (place = '{name}'), {none}) AS {name}" for name in _ALL)
    books.run(f"CREATE TEMP TABLE book AS SELECT {STREAM}, bucket, {bits} FROM marks GROUP BY ALL")  # noqa: S608


def _mark_closed(books: Books) -> None:
    """Marks the closed offsets of buckets in which something stands."""
    low = f"least({BUCKET}, before - (bucket << {BUCKET_BITS}))::INTEGER"
    books.run(
        f"INSERT INTO marks SELECT {STREAM}, bucket, '{CLOSED}', 0, "  # noqa: S608 (our own names)
        f"(repeat('1', {low}) || repeat('0', {BUCKET} - {low}))::BIT "
        f"FROM (SELECT DISTINCT {STREAM}, bucket FROM marks) JOIN closed USING ({STREAM}) "
        f"WHERE \"table\" = '{BRONZE_EVENTS.full_name}' AND before > bucket << {BUCKET_BITS}"
    )


def count_rows(books: Books, *places: str) -> int:
    """Rows in some places together."""
    listed = ", ".join(f"'{place}'" for place in places)
    return books.number(f"SELECT sum(rows) FROM marks WHERE place IN ({listed})")  # noqa: S608 (our own names)


def check_once(books: Books) -> Outcome:
    """Each record stands in bronze once."""
    return Outcome({"records": count_rows(books, READ, PENDING)}, _repeats(books, BRONZE_EVENTS, READ, PENDING))


def check_places(books: Books) -> Outcome:
    """Each record that silver has read is in exactly one place, and no other is in any."""
    if not books.has(SILVER_READINGS):
        return Outcome(skipped="silver has no tables yet")
    problems = [
        *_finding(books, "records that are in no place", _NOWHERE),
        *_finding(books, "records that are in two places", _TWICE, _NAMES),
        *(found for table in PLACES for found in _repeats(books, table, table.name)),
        *_finding(books, "records that are in a place but not in bronze", _FOREIGN, _NAMES),
        *_finding(books, "records approved or replayed that are in no other place", _LOST),
    ]
    counts = {
        "read": count_rows(books, READ),
        **{name: count_rows(books, name) for name in (READINGS, QUARANTINE, DUPLICATES, HELD)},
        "pending": count_rows(books, PENDING),
        "in_flight": count_rows(books, FLIGHT, REBUILDING),
    }
    return Outcome(counts, problems)


# The places a record is in, for people; in flight is said of what is in none yet.
_NAMES = "concat_ws(', ', {})".format(
    ", ".join(f"CASE WHEN get_bit({name}, spot) = 1 THEN '{name}' END" for name in _ALL[2:6] + _ALL[8:9])
)


def _placed(books: Books, table: Table) -> str:
    """SQL of the stream, offset and place of each row of a table."""
    columns = f'{STREAM}, "offset"'
    if table is BRONZE_EVENTS:
        place = f"CASE WHEN \"offset\" <= last_offset THEN '{READ}' ELSE '{PENDING}' END"
        return f"SELECT {columns}, {place} AS place FROM bronze.events LEFT JOIN read_upto USING ({STREAM})"  # noqa: S608
    place = _place_of(table)
    if books.number("SELECT count(*) FROM silver_flight"):
        known = "EXISTS (FROM silver_rows AS known WHERE known.promotion_id = t.promotion_id)"
        is_rebuild = f"starts_with(t.promotion_id, '{SILVER_REBUILD}')"
        unknown = f"CASE WHEN coalesce({is_rebuild}, false) THEN '{REBUILDING}' ELSE '{FLIGHT}' END"
        place = f"CASE WHEN NOT {known} THEN {unknown} ELSE {place} END"
    return f"SELECT {columns}, {place} AS place FROM {table.full_name} AS t"  # noqa: S608 (our own names)


def _place_of(table: Table) -> str:
    if table is SILVER_HELD:
        decided = f"kind IN ('{APPROVE}', '{REJECT}') AND parent_promotion_id = t.promotion_id"
        moved = f"CASE WHEN EXISTS (FROM silver_rows WHERE {decided}) THEN '{MOVED}' ELSE '{APPROVING}' END"
        return f"CASE WHEN status = '{HELD_APPROVED}' THEN {moved} ELSE '{HELD}' END"
    if table is SILVER_QUARANTINE:
        return f"CASE WHEN status = 'replayed' THEN '{MOVED}' ELSE '{QUARANTINE}' END"
    return f"'{table.name}'"


def _finding(books: Books, what: str, bits: str, detail: str = "''") -> list[Finding]:
    """The offsets whose bits are set, counted, and the first of them named."""
    books.run(f"CREATE OR REPLACE TEMP TABLE found AS SELECT *, {bits} AS found FROM book WHERE bit_count({bits}) > 0")  # noqa: S608
    count = books.number("SELECT sum(bit_count(found)) FROM found")
    if not count:
        return []
    # Each of them has one at least.
    first = f"(FROM found ORDER BY {STREAM}, bucket LIMIT {FIRST})"
    named = books.rows(
        f"SELECT {_COORDINATES}, {detail} FROM {first}, {SPOTS} "  # noqa: S608 (our own names)
        f"WHERE get_bit(found, spot) = 1 ORDER BY {STREAM}, bucket, spot LIMIT {FIRST}"
    )
    return [Finding(what, count, tuple(Named(*row) for row in named))]


def _repeats(books: Books, table: Table, *places: str) -> list[Finding]:
    """Coordinates that stand in a table more than once."""
    listed = ", ".join(f"'{place}'" for place in places)
    more = f"FROM marks WHERE place IN ({listed}) AND rows > bit_count(bits)"
    count = books.number(f"SELECT sum(rows - bit_count(bits)) {more}")
    if not count:
        return []
    buckets = f"SELECT {STREAM}, bucket {more} ORDER BY ALL LIMIT {FIRST}"
    rows = books.rows(
        f"SELECT concat_ws(':', {STREAM}, \"offset\"), count(*) || ' rows' FROM placed_{table.name} AS t "  # noqa: S608
        f"SEMI JOIN ({buckets}) AS b ON t.topic = b.topic AND t.topic_generation = b.topic_generation "
        f'AND t.partition = b.partition AND t."offset" >> {BUCKET_BITS} = b.bucket '
        f'WHERE t.place IN ({listed}) GROUP BY {STREAM}, "offset" HAVING count(*) > 1 '
        f'ORDER BY {STREAM}, "offset" LIMIT {FIRST}'
    )
    what = f"rows too many in {table.full_name}: their record stands there already"
    return [Finding(what, count, tuple(Named(*row) for row in rows))]

"""Offsets of a stream that bronze does not have between its first and its last record, and those given up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sluice.schemas import BRONZE_EVENTS
from sluice.serving.audit.books import Books
from sluice.serving.audit.opening import STREAM, STREAM_NAME
from sluice.serving.audit.pages import book_files, source_in
from sluice.serving.audit.places import BUCKET, BUCKET_BITS, PENDING, READ, SPOTS

_FLOORS = "ops.floors"


class Gap(NamedTuple):
    """Offsets of one stream that bronze does not have, both ends included."""

    topic: str
    generation: int
    partition: int
    first: int
    last: int

    @property
    def size(self) -> int:
        """How many offsets."""
        return self.last - self.first + 1


class Stream(NamedTuple):
    """A stream of bronze with its first and its last offset."""

    topic: str
    generation: int
    partition: int
    first: int
    last: int


def first_gaps(books: Books, order: str, most: int) -> list[Gap]:
    """At most so many gaps, in an order of SQL."""
    return [Gap(*gap) for gap in books.rows(f"FROM gaps ORDER BY {order} LIMIT {most}")]


def find_gaps(books: Books) -> list[Stream]:
    """Makes the table `gaps` (stream, first, last); gives the streams of bronze with their first and last offsets."""
    books.run(
        f'CREATE OR REPLACE TEMP TABLE ends AS SELECT {STREAM}, min("offset") AS first, max("offset") AS last '  # noqa: S608
        f"FROM {BRONZE_EVENTS.full_name} GROUP BY ALL"
    )
    books.run(_GAPS)
    return [Stream(*row) for row in books.rows("FROM ends ORDER BY ALL")]


# Offsets missing in a bucket that has some, whole buckets that are missing between two, and both where they touch.
_GAPS = f"""
CREATE OR REPLACE TEMP TABLE gaps AS
WITH landed AS (
    SELECT {STREAM}, bucket, bit_or(bits) AS bits, lag(bucket) OVER (PARTITION BY {STREAM} ORDER BY bucket) AS before
    FROM marks WHERE place IN ('{READ}', '{PENDING}') GROUP BY {STREAM}, bucket
), bounded AS (
    SELECT {STREAM}, bucket, bits, greatest(first, bucket << {BUCKET_BITS}) AS low,
        least(last, (bucket << {BUCKET_BITS}) + {BUCKET - 1}) AS high
    FROM landed JOIN ends USING ({STREAM})
), missing AS (
    SELECT {STREAM}, (bucket << {BUCKET_BITS}) + spot AS missed, low, high
    FROM bounded, {SPOTS} WHERE bit_count(bits) < high - low + 1 AND get_bit(bits, spot) = 0
), parts AS (
    SELECT {STREAM}, min(missed) AS first, max(missed) AS last FROM (
        SELECT *, missed - row_number() OVER (PARTITION BY {STREAM} ORDER BY missed) AS island FROM missing
        WHERE missed BETWEEN low AND high
    ) GROUP BY {STREAM}, island
    UNION ALL
    SELECT {STREAM}, (before + 1) << {BUCKET_BITS}, (bucket << {BUCKET_BITS}) - 1 FROM landed WHERE bucket > before + 1
), begun AS (
    SELECT *, first IS DISTINCT FROM lag(last) OVER (PARTITION BY {STREAM} ORDER BY first) + 1 AS is_new FROM parts
), numbered AS (
    SELECT *, count_if(is_new) OVER (PARTITION BY {STREAM} ORDER BY first) AS number FROM begun
)
SELECT {STREAM}, min(first) AS first, max(last) AS last FROM numbered GROUP BY {STREAM}, number
"""  # noqa: S608 (our own names)


def given_up(books: Books) -> list[Gap]:
    """Offsets that bronze will never have and a person accepted that: rows of ops/floors, where there is one.

    Their `range` names a stream, as the ledger does; from `since` (null: from the beginning) up to, and without,
    `before`. Floors that retention sets, by dates, are not read here.
    """
    if _FLOORS not in books.lake.tables():
        return []
    files = book_files(books.lake.delta(_FLOORS), books.lake.path / _FLOORS.replace(".", "/"))
    rows = books.rows(
        f"""
        SELECT name.topic, name.generation::INTEGER, name.partition::INTEGER,
            coalesce(try_cast(since AS BIGINT), 0), try_cast(before AS BIGINT) - 1
        FROM (SELECT regexp_extract("range", {STREAM_NAME}) AS name, * FROM {source_in(files)})
        WHERE "table" = '{BRONZE_EVENTS.full_name}' AND name.topic <> '' AND try_cast(before AS BIGINT) IS NOT NULL
        """  # noqa: S608 (our own names)
    )
    return [Gap(*row) for row in rows]


def leave_out(books: Books, accepted: Iterable[Gap]) -> int:
    """Takes offsets that were given up out of the table `gaps`; gives how many it had of them."""
    before = books.number(_MISSING)
    for other in accepted:
        same = "topic = ? AND topic_generation = ? AND partition = ? AND last >= ? AND first <= ?"
        found = [Gap(*row) for row in books.rows(f"FROM gaps WHERE {same}", other)]
        books.run(f"DELETE FROM gaps WHERE {same}", other)  # noqa: S608 (our own names)
        for part in without(found, [other]):
            books.run("INSERT INTO gaps VALUES (?, ?, ?, ?, ?)", part)
    return before - books.number(_MISSING)


_MISSING = "SELECT sum(last - first + 1) FROM gaps"


def without(gaps: Iterable[Gap], accepted: Iterable[Gap]) -> Iterator[Gap]:
    """What of the gaps was not given up."""
    left = list(gaps)
    for other in accepted:
        left = [part for gap in left for part in _parts(gap, other)]
    yield from left


def _parts(gap: Gap, other: Gap) -> Iterator[Gap]:
    if gap[:3] != other[:3] or gap.last < other.first or other.last < gap.first:
        yield gap
        return
    if gap.first < other.first:
        yield gap._replace(last=other.first - 1)
    if other.last < gap.last:
        yield gap._replace(first=other.last + 1)

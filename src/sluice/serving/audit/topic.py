"""Bronze against its topic: offsets that bronze does not have, and whether a reader would see a record there.

A gap is no loss by itself: transactions leave markers, aborted ones leave nothing, compaction takes records away. So
gaps are read again from the topic, as a read-committed consumer does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple, Protocol

from sluice.errors import SluiceError
from sluice.schemas import BRONZE_EVENTS
from sluice.serving.audit.books import Books
from sluice.serving.audit.findings import FIRST, Finding, Named, Outcome
from sluice.serving.audit.opening import STREAM
from sluice.serving.audit.places import BUCKET, BUCKET_BITS, PENDING, READ, SPOTS

# So many gaps are looked up, the widest first: markers are one offset each, a lost batch is more.
MOST_GAPS = 100_000


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


class Topics(Protocol):
    """The topics that bronze was read from, as a read-committed consumer sees them."""

    def bounds(self, topic: str) -> Mapping[int, tuple[int, int]]:
        """Per partition the first offset that is still there and the one after the last; raises SluiceError."""
        ...

    def look(self, topic: str, ranges: Sequence[tuple[int, int, int]]) -> Sequence[tuple[Sequence[int], bool]]:
        """Per range (partition, first, last) the offsets of records, and whether it was read to its end.

        Raises SluiceError.
        """
        ...


class _Stream(NamedTuple):
    topic: str
    generation: int
    partition: int
    first: int
    last: int


@dataclass
class _Found:
    """What became of gaps.

    Attributes:
        compared: topics of which at least one partition could be compared.
        elsewhere: partitions that end before bronze does.
        failures: why a topic could not be read.
    """

    records: list[Gap] = field(default_factory=list)
    without: list[Gap] = field(default_factory=list)
    gone: list[Gap] = field(default_factory=list)
    left: list[Gap] = field(default_factory=list)
    compared: set[str] = field(default_factory=set)
    elsewhere: list[Named] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def check_topic(books: Books, topics: Topics | SluiceError) -> Outcome:
    """No record that a reader of the topic sees is missing in bronze before its last one.

    Args:
        topics: or why they cannot be read.
    """
    if not books.has(BRONZE_EVENTS):
        return Outcome(skipped="bronze has no table yet")
    streams = _find_gaps(books)
    missing = books.number("SELECT sum(last - first + 1) FROM gaps")
    counts = {"partitions": len(streams), "missing_offsets": missing}
    if isinstance(topics, SluiceError):
        notes = _note("offsets that bronze does not have", _gaps(books, "ALL", FIRST), missing)
        return Outcome(counts, notes=notes, skipped=topics.message)
    gaps = _gaps(books, "last - first DESC, topic, topic_generation, partition, first", MOST_GAPS)
    found = _Found()
    for topic, own in groupby(streams, key=lambda stream: stream.topic):
        _look_up(topics, list(own), [gap for gap in gaps if gap.topic == topic], found, whole=not books.scoped)
    problems = _note("records of the topic that bronze does not have", found.records)
    unseen = missing - sum(gap.size for gap in gaps) + sum(gap.size for gap in found.left)
    notes = [
        *_note("offsets at which a reader of the topic sees no record either", found.without),
        *_note("offsets that cannot be looked up: the topic no longer has them", found.gone),
        *_note("offsets that were not looked up: there was no time for more", found.left, unseen),
        *([Finding(_ELSEWHERE, len(found.elsewhere), tuple(found.elsewhere[:FIRST]))] if found.elsewhere else []),
    ]
    skipped = "; ".join(found.failures) if not found.compared else ""
    return Outcome(counts, problems, notes, skipped)


_ELSEWHERE = "partitions that end before bronze does: another topic of that name, or one that has lost its end"


def _look_up(topics: Topics, streams: list[_Stream], gaps: list[Gap], found: _Found, *, whole: bool) -> None:
    """Looks up the gaps of one topic, and what it still has before bronze's first record."""
    topic = streams[0].topic
    wanted: list[Gap] = []
    try:
        bounds = topics.bounds(topic)
        if not bounds:
            found.failures.append(f"the broker has no topic {topic}")
        current = _comparable(streams, bounds, found)
        # Bronze reads from the earliest record on, so what lies before its first one is a gap too.
        before = [Gap(*each[:3], bounds[each.partition][0], each.first - 1) for each in current.values() if whole]
        for gap in (*gaps, *(gap for gap in before if gap.size > 0)):
            stream = current.get(gap.partition)
            is_there = stream is not None and stream.generation == gap.generation
            begin = bounds[gap.partition][0] if is_there else gap.last + 1
            if gap.first < begin:
                found.gone.append(gap._replace(last=min(gap.last, begin - 1)))
            if begin <= gap.last:
                wanted.append(gap._replace(first=max(gap.first, begin)))
        answers = topics.look(topic, [(gap.partition, gap.first, gap.last) for gap in wanted])
    except SluiceError as error:
        found.failures.append(error.message)
        found.left += wanted
        return
    if current:
        found.compared.add(topic)
    for gap, (offsets, is_whole) in zip(wanted, answers, strict=True):
        found.records += [gap._replace(first=offset, last=offset) for offset in offsets]
        if not is_whole:
            found.left.append(gap)
        elif not offsets:
            found.without.append(gap)


def _comparable(streams: list[_Stream], bounds: Mapping[int, tuple[int, int]], found: _Found) -> dict[int, _Stream]:
    """By partition the streams that the topic goes on with: of its newest generation, and as long as bronze has it."""
    newest = max(stream.generation for stream in streams)
    current = {}
    for stream in streams:
        end = bounds.get(stream.partition, (0, 0))[1]
        if stream.generation == newest and end > stream.last:
            current[stream.partition] = stream
        elif stream.generation == newest and bounds:
            found.elsewhere.append(
                Named(":".join(map(str, (*stream[:3], stream.last))), f"the topic ends before {end}")
            )
    return current


def _note(what: str, gaps: list[Gap], count: int | None = None) -> list[Finding]:
    size = sum(gap.size for gap in gaps) if count is None else count
    named = (
        Named(":".join(map(str, gap[:4])), f"{gap.size:,} offsets" if gap.size > 1 else "")
        for gap in sorted(gaps)[:FIRST]
    )
    return [Finding(what, size, tuple(named))] if size else []


def _gaps(books: Books, order: str, most: int) -> list[Gap]:
    return [Gap(*gap) for gap in books.rows(f"FROM gaps ORDER BY {order} LIMIT {most}")]


def _find_gaps(books: Books) -> list[_Stream]:
    """Makes the table `gaps` (stream, first, last); gives the streams of bronze with their first and last offsets."""
    books.run(
        f'CREATE OR REPLACE TEMP TABLE ends AS SELECT {STREAM}, min("offset") AS first, max("offset") AS last '  # noqa: S608
        f"FROM {BRONZE_EVENTS.full_name} GROUP BY ALL"
    )
    books.run(_GAPS)
    return [_Stream(*row) for row in books.rows("FROM ends ORDER BY ALL")]


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

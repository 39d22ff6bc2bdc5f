"""Bronze against its topic: offsets that bronze does not have, and whether a reader would see a record there.

A gap is no loss by itself: transactions leave markers, aborted ones leave nothing, compaction takes records away. So
gaps are read again from the topic, as a read-committed consumer does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Protocol

from sluice.errors import SluiceError
from sluice.schemas import BRONZE_EVENTS
from sluice.serving.audit.books import Books
from sluice.serving.audit.findings import FIRST, Finding, Named, Outcome
from sluice.serving.audit.gaps import Gap, Stream, find_gaps, first_gaps, given_up, leave_out, without

# So many gaps are looked up, the widest first: markers are one offset each, a lost batch is more.
MOST_GAPS = 100_000


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


@dataclass
class _Found:
    """What became of gaps.

    Attributes:
        compared: topics of which at least one partition could be compared.
        elsewhere: partitions that end before bronze does.
        failures: why a topic could not be read.
    """

    records: list[Gap] = field(default_factory=list)
    empty: list[Gap] = field(default_factory=list)
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
    streams, accepted = find_gaps(books), given_up(books)
    accepted_offsets = leave_out(books, accepted)
    missing = books.number("SELECT sum(last - first + 1) FROM gaps")
    counts = {"partitions": len(streams), "missing_offsets": missing}
    if isinstance(topics, SluiceError):
        notes = _note("offsets that bronze does not have", first_gaps(books, "ALL", FIRST), missing)
        return Outcome(counts, notes=[*notes, *_note(_GIVEN_UP, [], accepted_offsets)], skipped=topics.message)
    gaps = first_gaps(books, "last - first DESC, topic, topic_generation, partition, first", MOST_GAPS)
    found = _Found()
    for topic, own in groupby(streams, key=lambda stream: stream.topic):
        mine = [gap for gap in gaps if gap.topic == topic]
        _look_up(topics, list(own), mine, found, None if books.scoped else accepted)
    problems = _note("records of the topic that bronze does not have", found.records)
    unseen = missing - sum(gap.size for gap in gaps) + sum(gap.size for gap in found.left)
    notes = [
        *_note("offsets at which a reader of the topic sees no record either", found.empty),
        *_note("offsets that cannot be looked up: the topic no longer has them", found.gone),
        *_note("offsets that were not looked up: there was no time for more", found.left, unseen),
        *_note(_GIVEN_UP, [], accepted_offsets),
        *([Finding(_ELSEWHERE, len(found.elsewhere), tuple(found.elsewhere[:FIRST]))] if found.elsewhere else []),
    ]
    skipped = "; ".join(found.failures) if not found.compared else ""
    return Outcome(counts, problems, notes, skipped)


_GIVEN_UP = "offsets that were given up, as ops.floors says"
_ELSEWHERE = "partitions that end before bronze does: another topic of that name, or one that has lost its end"


def _look_up(topics: Topics, streams: list[Stream], gaps: list[Gap], found: _Found, accepted: list[Gap] | None) -> None:
    """Looks up the gaps of one topic, and what it still has before bronze's first record.

    Args:
        accepted: what of the latter was given up; None leaves it out altogether.
    """
    topic = streams[0].topic
    wanted: list[Gap] = []
    try:
        bounds = topics.bounds(topic)
        if not bounds:
            found.failures.append(f"the broker has no topic {topic}")
        current = _comparable(streams, bounds, found)
        # Bronze reads from the earliest record on, so what lies before its first one is a gap too.
        before = [Gap(*each[:3], bounds[each.partition][0], each.first - 1) for each in current.values()]
        begun = [] if accepted is None else without((gap for gap in before if gap.size > 0), accepted)
        for gap in (*gaps, *begun):
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
        found.left += wanted or gaps
        return
    if current:
        found.compared.add(topic)
    for gap, (offsets, is_whole) in zip(wanted, answers, strict=True):
        found.records += [gap._replace(first=offset, last=offset) for offset in offsets]
        if not is_whole:
            found.left.append(gap)
        elif not offsets:
            found.empty.append(gap)


def _comparable(streams: list[Stream], bounds: Mapping[int, tuple[int, int]], found: _Found) -> dict[int, Stream]:
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

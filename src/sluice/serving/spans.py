"""What `sluice replay` is asked for: the text of --from and --to as a part of a layer. Pure."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from sluice.errors import TargetInvalid, UsageError
from sluice.serving.quarantine import at_of
from sluice.serving.target import parse_moment
from sluice.tables.selection import At
from sluice.tables.spans import Buckets, Span

_FORMS = "an RFC 3339 time with an offset, e.g. 2026-03-01T12:00:00Z, or TOPIC:PARTITION:OFFSET, e.g. iot.raw:0:1234"
_DATED = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d")
# No reading lies before the one or after the other.
_FIRST = datetime(1970, 1, 1, tzinfo=timezone.utc)
_LAST = datetime(9999, 12, 31, 23, 59, tzinfo=timezone.utc)
_MINUTE = timedelta(minutes=1)


def parse_span(start: str | None, end: str | None) -> Span:
    """The records of bronze between two times (the second not included) or two offsets (both included).

    Args:
        start, end: None for open; not both.

    Raises:
        UsageError: one is neither, or the two do not bound a part of bronze.
    """
    bounds = [None if text is None else _bound(text) for text in (start, end)]
    low, high = bounds
    if low is None and high is None:
        raise UsageError("say from where, or up to where, or both", f"--from and --to take {_FORMS}")
    if any(isinstance(each, At) for each in bounds) and any(isinstance(each, datetime) for each in bounds):
        raise UsageError("--from and --to are a time and an offset", "give two times, or two offsets of a partition")
    if isinstance(low, At) or isinstance(high, At):
        return _span_of_offsets(low if isinstance(low, At) else None, high if isinstance(high, At) else None)
    if isinstance(low, datetime) and isinstance(high, datetime) and low >= high:
        raise UsageError(f"--to {end} is not after --from {start}", "a record at --to is not included")
    return Span(since=low, until=high)


def parse_buckets(start: str | None, end: str | None) -> Buckets:
    """The minutes of gold that begin at a time or later, and before another.

    Raises:
        UsageError: they are no times, or no minute begins between them.
    """
    span = parse_span(start, end)
    if span.partition:
        raise UsageError(
            "gold has no offsets: its minutes are made of readings of any partition",
            "give --from and --to as times, e.g. 2026-03-01T12:00:00Z",
        )
    low, high = _next_minute(span.since or _FIRST), _next_minute(span.until or _LAST)
    if low >= high:
        raise UsageError("no minute begins between --from and --to", "gold is made of whole minutes, in UTC")
    return Buckets(((low, high),))


def _bound(text: str) -> At | datetime:
    if moment := parse_moment(text):
        return moment
    try:
        # A time without an offset could be coordinates, of a topic that is called like a day.
        if not _DATED.match(text):
            return at_of(text)
    except TargetInvalid:
        pass
    raise UsageError(f"{text!r} is neither a time nor an offset", f"write {_FORMS}")


def _span_of_offsets(first: At | None, last: At | None) -> Span:
    if first and last and first[:3] != last[:3]:
        raise UsageError(f"{first} and {last} are not of one partition", "replay each partition by itself, or by time")
    if first and last and first.offset > last.offset:
        raise UsageError(f"{last} comes before {first}", "both --from and --to are included")
    return Span(first=first, last=last)


def _next_minute(moment: datetime) -> datetime:
    """The moment, or the first full minute after it."""
    whole = moment.replace(second=0, microsecond=0)
    return whole if whole == moment or whole >= _LAST else whole + _MINUTE

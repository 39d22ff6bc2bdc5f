"""What part of a layer a replay is about, as a value and as the text that a request carries. No Spark."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sluice.errors import UsageError
from sluice.tables.selection import At


@dataclass(frozen=True)
class Span:
    """Records of bronze: by the time Kafka has of them, or by their offsets in one partition.

    Attributes:
        since, until: UTC; from the first on and before the second, None for open.
        first, last: both included, None for open; of one partition.
    """

    since: datetime | None = None
    until: datetime | None = None
    first: At | None = None
    last: At | None = None

    @property
    def partition(self) -> At | None:
        """One of the offsets that bound it, for topic, generation and partition; None for a span of times."""
        return self.first or self.last

    def as_text(self) -> str:
        """The span as JSON; equal spans have equal texts."""
        content = {
            "since": self.since.isoformat() if self.since else None,
            "until": self.until.isoformat() if self.until else None,
            "first": list(self.first) if self.first else None,
            "last": list(self.last) if self.last else None,
        }
        return json.dumps({name: value for name, value in content.items() if value}, sort_keys=True)

    def __str__(self) -> str:
        if self.partition:
            bounds = (f"from {self.first}" if self.first else "", f"to {self.last}" if self.last else "")
        else:
            bounds = (_told("from", self.since), _told("before", self.until))
        return " ".join(each for each in bounds if each)


@dataclass(frozen=True)
class Buckets:
    """Minutes of gold.

    Attributes:
        ranges: UTC, half-open, of whole minutes, in order.
        parent: the promotion of silver after which they are to be made anew; None where a person asks for them alone.
    """

    ranges: tuple[tuple[datetime, datetime], ...]
    parent: str | None = None

    def as_text(self) -> str:
        """The minutes as JSON; equal ones have equal texts."""
        ranges = [[low.isoformat(), high.isoformat()] for low, high in self.ranges]
        return json.dumps({"ranges": ranges, "parent": self.parent}, sort_keys=True)

    def __str__(self) -> str:
        if not self.ranges:
            return "no minute"
        text = f"minutes from {self.ranges[0][0].isoformat()} before {self.ranges[-1][1].isoformat()}"
        return text if len(self.ranges) == 1 else f"{text}, in {len(self.ranges)} parts"


def read_span(text: str) -> Span:
    """The span in a text that `Span.as_text` wrote.

    Raises:
        UsageError: it is none.
    """
    try:
        content: dict[str, Any] = json.loads(text)
        since, until = (_moment(content.get(name)) for name in ("since", "until"))
        first, last = (At(*content[name]) if content.get(name) else None for name in ("first", "last"))
    except (ValueError, TypeError, AttributeError):
        raise _unreadable(text) from None
    return Span(since, until, first, last)


def read_buckets(text: str) -> Buckets:
    """The minutes in a text that `Buckets.as_text` wrote.

    Raises:
        UsageError: it is none.
    """
    try:
        content: dict[str, Any] = json.loads(text)
        ranges = tuple((datetime.fromisoformat(low), datetime.fromisoformat(high)) for low, high in content["ranges"])
        return Buckets(ranges, content["parent"])
    except (ValueError, TypeError, KeyError):
        raise _unreadable(text) from None


def _told(word: str, moment: datetime | None) -> str:
    return f"{word} {moment.isoformat()}" if moment else ""


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _unreadable(text: str) -> UsageError:
    return UsageError(f"{text[:200]!r} does not say what is to be replayed", "ask for it again: sluice replay")

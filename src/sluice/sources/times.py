"""Times as people write them into files, as RFC 3339 in UTC."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sluice.errors import InputInvalid

_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?\s?(Z|[+-]\d\d:?\d\d)?",
    re.IGNORECASE | re.ASCII,
)


class OffsetMissing(ValueError):
    """A time has no offset and no time zone is assumed."""


def find_zone(name: str) -> ZoneInfo:
    """The time zone of an IANA name such as Europe/Berlin.

    Raises:
        InputInvalid: there is none of that name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InputInvalid(f"unknown time zone {name!r}", "an IANA name, e.g. Europe/Berlin or UTC") from None


class TimeReader:
    """Reads times, and counts those the zone leaves open.

    Args:
        zone: of times without an offset; None refuses them.

    Attributes:
        ambiguous: times that occur twice (clocks go back); the first occurrence is taken.
        shifted: times that do not occur (clocks go forward); moved forward by the gap.
    """

    def __init__(self, zone: ZoneInfo | None) -> None:
        self._zone = zone
        self.ambiguous = 0
        self.shifted = 0

    def read(self, text: str) -> str:
        """The time in UTC, e.g. 2015-02-04T16:51:00Z; with six decimals where it has a fraction, cut to microseconds.

        Raises:
            OffsetMissing: no offset, and no zone given.
            ValueError: not a date with a time of day as in ISO 8601.
        """
        found = _TIME.fullmatch(text.strip())
        if found is None:
            raise ValueError("no time")
        year, month, day, hour, minute, second, fraction, offset = found.groups()
        microsecond = int((fraction or "")[:6].ljust(6, "0"))
        local = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second or 0), microsecond)
        try:
            utc = local - _offset(offset) if offset else self._from_zone(local)
        except OverflowError:
            raise ValueError("no time") from None
        return f"{utc.isoformat()}Z"

    def _from_zone(self, local: datetime) -> datetime:
        if self._zone is None:
            raise OffsetMissing("time without offset")
        first, second = local.replace(tzinfo=self._zone), local.replace(tzinfo=self._zone, fold=1)
        utc = first.astimezone(timezone.utc)
        if first.utcoffset() != second.utcoffset():
            if utc.astimezone(self._zone).replace(tzinfo=None, fold=0) == local:
                self.ambiguous += 1
            else:
                self.shifted += 1
        return utc.replace(tzinfo=None)


def _offset(text: str) -> timedelta:
    if text in "Zz":
        return timedelta(0)
    hours, minutes = int(text[1:3]), int(text[-2:])
    if hours > 23 or minutes > 59:
        raise ValueError("no offset")
    return timedelta(hours=hours, minutes=minutes) * (-1 if text[0] == "-" else 1)

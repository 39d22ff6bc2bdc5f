"""Times of requests: RFC 3339 with an offset in, microseconds since 1970 UTC inside."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone

from sluice.api.problems import wrong

_RFC3339 = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(?:\.(\d{1,6}))?([Zz]|[+-]\d{2}:\d{2})", flags=re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)
SECOND, DAY = 1_000_000, 86_400_000_000


def parse_moment(name: str, text: str) -> datetime:
    """The moment a parameter's text means, in UTC.

    Raises:
        Problem: 422, it is no RFC 3339 time with an offset, or no year that can be told in UTC.
    """
    found = _RFC3339.fullmatch(text)
    if found is None:
        raise wrong(name, "give an RFC 3339 time with an offset, e.g. 2026-03-01T12:00:00Z (write + as %2B)")
    day, clock, fraction, offset = found.groups()
    zone = "+00:00" if offset in "Zz" else offset
    try:
        return datetime.fromisoformat(f"{day}T{clock}.{(fraction or '0'):0<6}{zone}").astimezone(timezone.utc)
    except (ValueError, OverflowError):
        raise wrong(name, "there is no such time") from None


def parse_day(name: str, text: str) -> date:
    """The day that a parameter's text names.

    Raises:
        Problem: 422, it names none.
    """
    try:
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, flags=re.ASCII):
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise wrong(name, "give a day, e.g. 2026-03-01") from None


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970 UTC."""
    return (moment - _EPOCH) // _MICROSECOND


def moment_of(since_1970: int) -> datetime:
    """The moment of so many microseconds."""
    return _EPOCH + since_1970 * _MICROSECOND


def time_range(
    since: str | None, until: str | None, now: datetime, default_days: float, most_days: float
) -> tuple[int, int]:
    """`[since, until)` in microseconds.

    Args:
        since: default: `default_days` before `until`.
        until: default: now.
        most_days: how much may lie between them.

    Raises:
        Problem: 422, a time is none, they are the wrong way round, or too far apart.
    """
    end = microseconds(parse_moment("until", until) if until is not None else now)
    begin = microseconds(parse_moment("since", since)) if since is not None else end - round(default_days * DAY)
    if begin >= end:
        raise wrong("since", "must lie before until")
    if end - begin > most_days * DAY:
        raise wrong("since", f"at most {most_days:g} days before until; ask for the time in parts")
    return begin, end

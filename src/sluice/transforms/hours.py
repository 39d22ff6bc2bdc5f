"""Event times as ranges of hours, by which Delta skips the files that a batch cannot touch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from functools import reduce
from itertools import pairwise
from typing import Any

from pyspark.sql import Column, Row
from pyspark.sql import functions as F

MAX_RANGES = 64
MAX_DATES = 1000
_HOUR = timedelta(hours=1)
# The first and the last hour that Python can name; the end of the last is cut short.
FIRST_HOUR = datetime(1, 1, 1, tzinfo=timezone.utc)
LAST_HOUR = datetime(9999, 12, 31, 23, tzinfo=timezone.utc)
_FIRST_SECOND, _LAST_SECOND = (
    int((hour - datetime(1970, 1, 1, tzinfo=timezone.utc)).total_seconds()) for hour in (FIRST_HOUR, LAST_HOUR)
)
# Making a moment, Python looks at the days around it too.
_MARGIN = 2 * 86_400
# Ends the names of what `readable` adds.
_AS_TEXT = " as text"

Range = tuple[datetime, datetime]


def merge_hours(starts: Iterable[datetime]) -> list[Range]:
    """Hours, given by their starts, as the fewest half-open ranges; gaps are kept while ranges are few.

    More than MAX_RANGES are joined over their smallest gaps until they are that many.
    """
    ranges: list[Range] = []
    for start in sorted(set(starts)):
        if ranges and ranges[-1][1] == start:
            ranges[-1] = (ranges[-1][0], _end_of(start))
        else:
            ranges.append((start, _end_of(start)))
    if len(ranges) <= MAX_RANGES:
        return ranges
    gaps = sorted(range(1, len(ranges)), key=lambda index: ranges[index][0] - ranges[index - 1][1], reverse=True)
    cuts = [0, *sorted(gaps[: MAX_RANGES - 1]), len(ranges)]
    return [(ranges[first][0], ranges[last - 1][1]) for first, last in pairwise(cuts)]


def _end_of(start: datetime) -> datetime:
    return start + _HOUR if start < LAST_HOUR else datetime.max.replace(tzinfo=timezone.utc)


def hour_of(time: str) -> Column:
    """The start of a time's UTC hour, in seconds since 1970; that of the first or last hour for times beyond those."""
    seconds = F.unix_seconds(F.date_trunc("hour", time))
    return F.greatest(F.least(seconds, F.lit(_LAST_SECOND)), F.lit(_FIRST_SECOND))


def moment_of(seconds: int) -> datetime:
    """The moment so many seconds after 1970, in UTC."""
    return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=seconds)


def readable(kinds: Mapping[str, str]) -> list[Column]:
    """Columns as Python can hold them: Spark's times go beyond its years 1 to 9999, and collecting one is an error.

    Args:
        kinds: Spark SQL types by column.
    """
    found = []
    for name, kind in kinds.items():
        if kind == "timestamp":
            seconds = F.unix_seconds(name)
            known = seconds.between(_FIRST_SECOND + _MARGIN, _LAST_SECOND - _MARGIN)
            found.append(F.when(known, F.col(name)).alias(name))
            found.append(F.when(~known, F.col(name).cast("string")).alias(name + _AS_TEXT))
        else:
            found.append(F.col(name))
    return found


def read_value(row: Row, name: str) -> Any:
    """A value out of a collected row of `readable` columns: a time beyond Python's is a text."""
    value = row[name]
    return row[name + _AS_TEXT] if value is None and name + _AS_TEXT in row else value


def within(ranges: list[Range], time: str, date: str) -> Column:
    """Whether a row's time lies in one of the ranges; names the partition's dates too, so that it prunes.

    Args:
        time: name of the timestamp column.
        date: name of the partition column, its UTC date.
    """
    if not ranges:
        return F.lit(False)
    dates, times = _dates(ranges), during(ranges, time)
    if dates is None:
        return times & F.col(date).between(ranges[0][0].date(), ranges[-1][1].date())
    return times & F.col(date).isin(dates)


def during(ranges: Sequence[Range], time: str) -> Column:
    """Whether a row's time lies in one of the ranges, for tables that have no partition to prune."""
    return reduce(
        Column.__or__,
        [(F.col(time) >= F.lit(low)) & (F.col(time) < F.lit(high)) for low, high in ranges],
        F.lit(False),
    )


def _dates(ranges: list[Range]) -> list[object] | None:
    dates: dict[object, None] = {}
    for low, high in ranges:
        day = low.date()
        while day <= (high - timedelta(microseconds=1)).date():
            dates[day] = None
            day += timedelta(days=1)
            if len(dates) > MAX_DATES:
                return None
    return list(dates)

"""Events, out of silver.readings: page by page, in the order of time, device and event id."""

from __future__ import annotations

from datetime import datetime

from sluice.api.asking import Question, Rows, arrow_columns, row_limit
from sluice.api.cursors import read_cursor, write_cursor
from sluice.api.json_rows import json_rows
from sluice.api.moments import DAY, microseconds, parse_moment, time_range
from sluice.api.parameters import AggregatesOf, ReadingsOf
from sluice.api.problems import Problem, wrong
from sluice.api.timed_pages import Page, Position, Wanted, read_page
from sluice.schemas import COORDINATES, METRICS, SILVER_READINGS

TABLE = SILVER_READINGS.full_name
DEFAULT_COLUMNS = ("device_id", "event_time", *METRICS, "metric", "value", "quality_flag", "customer", "site")
# Gaps between the offsets of a customer's rows would tell how many rows the others have.
FOR_ALL_CUSTOMERS = (*COORDINATES, "promotion_id")
COLUMNS = tuple(name for name in SILVER_READINGS.column_names if name != SILVER_READINGS.partition_by)
_DEFAULT_DAYS = 1.0
_CURSOR_TYPES = (int, int, int, str, (str, type(None)))


def list_readings(question: Question, given: ReadingsOf) -> Rows:
    """Events of a time, of one device or all."""
    asked, settings = question.asked, question.asked.service.settings
    columns = _columns(given.columns, asked.customers)
    since, until, after = read_place("readings", given, asked.at, _DEFAULT_DAYS, settings.max_range_days)
    wanted = Wanted(
        time="event_time",
        tie="event_id",
        columns=arrow_columns(TABLE, columns),
        since=since,
        until=until,
        limit=row_limit(given.limit, settings),
        device_id=given.device_id,
        customers=asked.customers,
        after=after,
    )
    page = read_page(asked.service.files, asked.table(TABLE), asked.snapshot.owners, wanted, question.deadline)
    return as_rows("readings", page, since, until)


def read_place(
    kind: str, given: ReadingsOf | AggregatesOf, now: datetime, default_days: float, most_days: float
) -> tuple[int, int, Position | None]:
    """The time asked for, and where in it the page begins; a cursor brings the time of its first page along.

    Raises:
        Problem: 422, the time or the cursor cannot be used.
    """
    if given.cursor is None:
        return (*time_range(given.since, given.until, now, default_days, most_days), None)
    since, until, time, device_id, tie = read_cursor(kind, given.cursor, _CURSOR_TYPES)
    begin, end = int(since or 0), int(until or 0)
    if end - begin > most_days * DAY:
        raise wrong("cursor", "it is of no page of this server")
    for name, text, known in (("since", given.since, begin), ("until", given.until, end)):
        if text is not None and microseconds(parse_moment(name, text)) != known:
            raise wrong("cursor", f"it is of another {name}; leave that out, or give the one of the first page")
    return begin, end, Position(int(time or 0), str(device_id), None if tie is None else str(tie))


def as_rows(kind: str, page: Page, since: int, until: int) -> Rows:
    """A page as an answer."""
    cursor = None if page.end is None else write_cursor(kind, (since, until, *page.end))
    return Rows(json_rows(page.rows), cursor)


def _columns(text: str | None, customers: frozenset[str] | None) -> tuple[str, ...]:
    if text is None:
        return DEFAULT_COLUMNS
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    if any(name not in COLUMNS for name in names):
        raise wrong("columns", f"names with commas between them, of {', '.join(COLUMNS)}")
    if customers is not None and (refused := [name for name in names if name in FOR_ALL_CUSTOMERS]):
        raise Problem(403, f"columns: {', '.join(refused)} is for keys of all customers")
    return names

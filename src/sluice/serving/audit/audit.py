"""The audit of a lake: all checks one after the other, each with what it proves."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from sluice.errors import SluiceError
from sluice.schemas import BRONZE_EVENTS
from sluice.serving.audit.books import Books
from sluice.serving.audit.closed import close_books
from sluice.serving.audit.devices import Registries, check_devices
from sluice.serving.audit.findings import FAILED, OK, SKIPPED, UNREADABLE, Audit, Check, Outcome
from sluice.serving.audit.keys import check_keys
from sluice.serving.audit.latest import check_latest
from sluice.serving.audit.ledger import check_gold_ledger, check_silver_ledger
from sluice.serving.audit.minutes import check_minutes
from sluice.serving.audit.opening import open_books
from sluice.serving.audit.places import PENDING, READ, check_once, check_places, count_rows, mark_places
from sluice.serving.audit.rollups import check_rollups
from sluice.serving.audit.topic import Topics, check_topic
from sluice.serving.lake import OpenLake


class _Step(NamedTuple):
    name: str
    proves: str
    carry_out: Callable[[Books], Outcome]


def audit(
    lake: OpenLake,
    topics: Topics | SluiceError,
    since: datetime | None = None,
    told: Callable[[str], object] = lambda _: None,
    registries: Registries = lambda _: None,
) -> Audit:
    """Whether the books of a lake balance, each table read at one version, whatever its jobs write meanwhile.

    Args:
        topics: what bronze was read from, or why that cannot be asked.
        since: UTC; look only at records that bronze ingested from then on.
        told: is given the name of each check before it begins.
        registries: the device registries that were ever used.

    Raises:
        BooksUnreadable: a table that all checks start from cannot be read.
    """
    began = time.monotonic()
    told("opening the tables")
    books = Books(lake)
    open_books(books, since)
    close_books(books)
    mark_places(books)
    steps = (
        _Step("bronze.once", "no record stands in bronze twice", check_once),
        _Step("bronze.topic", "bronze has every record the topic still shows", lambda b: check_topic(b, topics)),
        _Step("silver.places", "every record that silver has read is in exactly one place", check_places),
        _Step("silver.ledger", "silver's ledger adds up, and counts what is there", check_silver_ledger),
        _Step("silver.keys", "no event is in silver.readings twice", check_keys),
        _Step("gold.minutes", "every minute is what its readings give", check_minutes),
        _Step("gold.latest", "the latest readings are those of silver", check_latest),
        _Step("gold.rollups", "every hour and day is what its minutes give", check_rollups),
        _Step("gold.devices", "what is registered now stands there once", lambda b: check_devices(b, registries)),
        _Step("gold.ledger", "gold's ledger adds up, and counts what is held", check_gold_ledger),
    )
    checks = []
    for step in steps:
        told(f"{step.name}: {step.proves}")
        checks.append(_carry_out(step, books))
    pending = count_rows(books, PENDING)
    records = count_rows(books, READ) + pending if books.has(BRONZE_EVENTS) else None
    return Audit(str(lake.path), since, books.versions, records, pending, checks, time.monotonic() - began)


def _carry_out(step: _Step, books: Books) -> Check:
    began = time.monotonic()
    try:
        outcome = step.carry_out(books)
        result, reason = SKIPPED if outcome.skipped else OK, outcome.skipped
    except SluiceError as error:
        outcome, result, reason = Outcome(), UNREADABLE, error.in_one_line
    return Check(
        step.name,
        step.proves,
        FAILED if outcome.problems else result,
        time.monotonic() - began,
        outcome,
        reason,
    )

"""Whose the devices are, by what silver says of their readings: minutes and latest readings name no customer.

A device that changed hands belongs to each customer for the time in which only that customer's readings lie; where the
times of two overlap, and in every minute, hour or day that holds readings of both, it is nobody's, and only those who
may see all see it. Readings of a device that was not registered then are nobody's too.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from sluice.errors import LakeMissing
from sluice.serving.files import DataFile
from sluice.tables.reading import connect

Customers = frozenset[str] | None
# Ends of times that are open, in microseconds: far beyond the years that a reading may have.
BEGINNING, END = -(2**62), 2**62
_FILES_AT_ONCE = 500
_SPANS = """
SELECT device_id, customer, max_by(site, event_time) AS site, epoch_us(min(event_time)), epoch_us(max(event_time))
FROM read_parquet($files, hive_partitioning = false, union_by_name = true)
GROUP BY device_id, customer
"""


@dataclass(frozen=True)
class Span:
    """From when to when readings of a device are one customer's.

    Attributes:
        customer: None for those of the time in which the device was not registered.
        first, last: event times of the earliest and the latest, microseconds since 1970 UTC.
    """

    customer: str | None
    site: str | None
    first: int
    last: int


@dataclass(frozen=True)
class Interval:
    """A time in which a device is one customer's alone, `[since, until)` in microseconds."""

    customer: str | None
    site: str | None
    since: int
    until: int


class Owners:
    """Every device that silver knows, with its spans."""

    def __init__(self, spans: Mapping[str, Sequence[Span]]) -> None:
        self._spans = spans

    @property
    def devices(self) -> Iterable[str]:
        """The ids of all devices."""
        return self._spans.keys()

    def seen_by(self, customers: Customers) -> tuple[str, ...]:
        """The ids of devices that are, or were, of one of the customers, in order; of all for None."""
        return _seen_by(self, customers)

    def newest(self, device_id: str) -> Span | None:
        """The span of a device's latest reading; None for a device that silver does not know."""
        return max(self._spans.get(device_id, ()), key=lambda span: span.last, default=None)

    def sole_customer(self, device_id: str) -> str | None:
        """The customer of a device that never was another's."""
        spans = self._spans.get(device_id, ())
        return spans[0].customer if len(spans) == 1 else None

    def intervals(self, device_id: str, customers: frozenset[str]) -> list[Interval]:
        """The times in which a device is of one of the customers alone, the earliest first."""
        spans = sorted(self._spans.get(device_id, ()), key=lambda span: span.first)
        found = []
        for place, span in enumerate(spans):
            if span.customer not in customers:
                continue
            others = [*spans[:place], *spans[place + 1 :]]
            # Another's readings that lie around a span leave nothing of it.
            since = max((each.last + 1 for each in others if each.first <= span.last), default=BEGINNING)
            until = min((each.first for each in others if each.first > span.last), default=END)
            if since <= span.last and since < until:
                found.append(Interval(span.customer, span.site, since, until))
        return found

    def owner_at(self, device_id: str, moment: int) -> Span | None:
        """Whose a device's reading of that time is; None where no customer, or more than one, can be meant."""
        spans = self._spans.get(device_id, ())
        if len(spans) == 1:
            return spans[0]
        around = [span for span in spans if span.first <= moment <= span.last]
        return around[0] if len(around) == 1 else None


NO_OWNERS = Owners({})


class OwnerIndex:
    """Reads the spans out of silver's files, each file once; all anew when files went, as readings may then have."""

    def __init__(self) -> None:
        self._read: frozenset[Path] = frozenset()
        self._spans: dict[str, dict[str | None, Span]] = {}

    def update(self, files: Iterable[DataFile]) -> Owners:
        """The owners as a version of silver's readings has them.

        Raises:
            LakeMissing: a file went away.
        """
        present = frozenset(file.path for file in files)
        known = self._spans if self._read <= present else {}
        fresh = sorted(present - self._read if self._read <= present else present)
        spans = {device: dict(each) for device, each in known.items()} if fresh else known
        for start in range(0, len(fresh), _FILES_AT_ONCE):
            _merge(spans, _read_spans(fresh[start : start + _FILES_AT_ONCE]))
        self._read, self._spans = present, spans
        return Owners({device: tuple(each.values()) for device, each in spans.items()})


def _read_spans(files: Sequence[Path]) -> list[tuple[str, Span]]:
    connection = connect()
    try:
        rows = connection.execute(_SPANS, {"files": [str(path) for path in files]}).fetchall()
    except duckdb.IOException:
        raise LakeMissing("a file of silver.readings went away while it was read", "it is read again") from None
    finally:
        connection.close()
    return [(device, Span(customer, site, first, last)) for device, customer, site, first, last in rows]


def _merge(spans: dict[str, dict[str | None, Span]], found: Iterable[tuple[str, Span]]) -> None:
    for device, span in found:
        of_device = spans.setdefault(device, {})
        old = of_device.get(span.customer)
        if old is None:
            of_device[span.customer] = span
            continue
        site = span.site if span.last >= old.last else old.site
        of_device[span.customer] = Span(span.customer, site, min(old.first, span.first), max(old.last, span.last))


@functools.lru_cache(64)
def _seen_by(owners: Owners, customers: Customers) -> tuple[str, ...]:
    if customers is None:
        return tuple(sorted(owners.devices))
    return tuple(sorted(device for device in owners.devices if owners.intervals(device, customers)))

"""What a rule found in the tables about one subject, and the signal that follows from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from sluice.alerting.rule_types import AnyRule, Rule
from sluice.alerting.signals import CLEAR, RAISE, Signal, signal_id_of
from sluice.transforms.registry import Device


class OpenAlert(Protocol):
    """What must be known of an alert that is not resolved."""

    @property
    def rule_id(self) -> str: ...

    @property
    def subject(self) -> str: ...

    @property
    def device_id(self) -> str | None: ...

    @property
    def last_event_time(self) -> datetime: ...


# By rule and subject.
OpenAlerts = Mapping[tuple[str, str], OpenAlert]


@dataclass(frozen=True)
class Finding:
    """Whether a rule holds for a subject.

    Attributes:
        event_time: from when on it is so; the same finding made later has the same time.
    """

    subject: str
    holds: bool
    event_time: datetime
    device_id: str | None = None
    customer: str | None = None
    site: str | None = None
    metric: str | None = None
    value: float | None = None
    threshold: float | None = None


def of_device(rule: Rule, devices: Mapping[str, Device], device_id: str) -> tuple[str | None, str | None] | None:
    """The device's customer and site if the rule watches it, else None."""
    known = devices.get(device_id)
    customer, site = (known.customer, known.site) if known else (None, None)
    return (customer, site) if rule.concerns(device_id, site, customer) else None


def signals_of(rule: AnyRule, findings: Iterable[Finding], open_alerts: OpenAlerts) -> Iterator[Signal]:
    """One signal for each finding that says something new.

    A rule that holds raises if there is no open alert, or if that has seen nothing so late; one that holds no
    longer clears an open alert that is older than the finding.
    """
    for found in findings:
        known = open_alerts.get((rule.id, found.subject))
        if known is not None and found.event_time <= known.last_event_time:
            continue
        if found.holds:
            yield _signal(RAISE, rule, found)
        elif known is not None:
            yield _signal(CLEAR, rule, found)


def _signal(kind: Literal["raise", "clear"], rule: AnyRule, found: Finding) -> Signal:
    return Signal(
        signal_id=signal_id_of(kind, rule.id, found.subject, found.event_time, None),
        kind=kind,
        rule_id=rule.id,
        severity=rule.severity,
        subject=found.subject,
        event_time=found.event_time,
        device_id=found.device_id,
        customer=found.customer,
        site=found.site,
        metric=found.metric,
        value=found.value,
        threshold=found.threshold,
    )

"""The state of alerts: what a signal or an acknowledgement makes of what is known of its rule and subject. Pure.

Of a rule and a subject at most one alert is open. It fires with the first signal that raises it, may be acknowledged,
and is resolved by a signal that clears it. A signal counts if its event time is after all that was seen before of
that rule and subject: so the same signal a second time, one that comes late, and a whole stretch that is delivered
again change nothing. After a resolution signals are held back for the rule's cooldown, by the times they were sent;
what holds still is said again by whoever judges it, and counts then. The clock is only written down.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sluice.alerting.acknowledgement import Acknowledgement
from sluice.alerting.rule_types import Rule
from sluice.alerting.signals import CLEAR, RAISE, Signal, time_text
from sluice.alerting.texts import render_text
from sluice.errors import AlertUnknown, SignalInvalid
from sluice.schemas import ALERT_ACKNOWLEDGED, ALERT_FIRING, ALERT_RESOLVED

# Rule and subject.
Key = tuple[str, str]
_ID_DIGITS = 24
_SEPARATOR = "\x1f"
_TICK = timedelta(microseconds=1)
CLEARED, RULE_GONE = "cleared", "its rule is no longer defined"


@dataclass(frozen=True)
class AlertState:
    """An alert as it is now; the columns of gold/alerts.

    Attributes:
        first_event_time, last_event_time: of signals that raised it.
        signal_count: how many did.
        opened_at, updated_at: by the dispatcher's clock; `updated_at` rises with each change.
    """

    alert_id: str
    rule_id: str
    subject: str
    severity: str
    status: str
    first_event_time: datetime
    last_event_time: datetime
    signal_count: int
    opened_at: datetime
    updated_at: datetime
    device_id: str | None = None
    customer: str | None = None
    site: str | None = None
    metric: str | None = None
    threshold: float | None = None
    first_value: float | None = None
    last_value: float | None = None
    text: str | None = None
    runbook: str | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    acknowledged_why: str | None = None
    resolved_at: datetime | None = None
    resolved_why: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is not resolved."""
        return self.status != ALERT_RESOLVED

    @property
    def key(self) -> Key:
        """Its rule and subject."""
        return self.rule_id, self.subject


@dataclass(frozen=True)
class Remembered:
    """What is known of a rule and a subject.

    Attributes:
        seen_until: the latest event time of its signals; those not after it count for nothing.
        alert: the last one, open or resolved; None where nothing was raised yet.
        cooldown_until: signals sent before it raise nothing; None after no resolution.
        held_back: the event time of the last signal that the cooldown kept from raising; it counts if sent again later.
        channels: that the alert was told to last; they are told of its end even if its rule is gone by then.
        episode_id: of the alert's episode; see episodes.py.
    """

    seen_until: datetime
    alert: AlertState | None = None
    cooldown_until: datetime | None = None
    held_back: datetime | None = None
    channels: tuple[str, ...] = ()
    episode_id: str | None = None


@dataclass(frozen=True)
class Step:
    """What came of a message.

    Attributes:
        remembered: what is known from now on; None where nothing changed.
        notice: the alert, where its status changed.
    """

    remembered: Remembered | None = None
    notice: AlertState | None = None


_NOTHING = Step()


def alert_id_of(rule_id: str, subject: str, first_event_time: datetime) -> str:
    """`al-` and 24 digits of the hash of rule, subject and the event time of the first signal."""
    parts = _SEPARATOR.join((rule_id, subject, time_text(first_event_time)))
    return f"al-{hashlib.sha256(parts.encode()).hexdigest()[:_ID_DIGITS]}"


def apply_signal(known: Remembered | None, signal: Signal, rule: Rule | None, sent_at: datetime, now: datetime) -> Step:
    """What a signal makes of what is known.

    Args:
        known: of its rule and subject; None for nothing.
        rule: as it is defined; None where it is not: then the signal can only clear.
        sent_at: when it was sent, as its record says; the same whenever it is delivered.
        now: by the clock; UTC.

    Raises:
        SignalInvalid: it would raise an alert of a rule that is not defined.
    """
    if known is not None and not _counts(known, signal, sent_at):
        return _NOTHING
    seen = _seen(known, signal)
    alert = seen.alert
    if signal.kind == CLEAR:
        if alert is None or not alert.is_open:
            return Step(seen)
        return _resolved(seen, alert, CLEARED, rule, sent_at, now)
    if rule is None:
        raise SignalInvalid(f"no rule {signal.rule_id!r} is defined")
    if alert is not None and alert.is_open:
        return Step(replace(seen, alert=_gone_on(alert, signal, rule, now), channels=rule.channels))
    if seen.cooldown_until is not None and sent_at < seen.cooldown_until:
        return Step(replace(seen, held_back=signal.event_time))
    opened = _opened(signal, rule, now)
    return Step(Remembered(seen.seen_until, opened, channels=rule.channels), opened)


def apply_acknowledgement(
    known: Remembered | None, acknowledgement: Acknowledgement, rule: Rule | None, now: datetime
) -> Step:
    """What an acknowledgement makes of the alert; nothing where it is acknowledged or resolved already.

    Raises:
        AlertUnknown: the alert is not the last one of its rule and subject.
    """
    alert = None if known is None else known.alert
    if known is None or alert is None or alert.alert_id != acknowledgement.alert_id:
        raise AlertUnknown(f"there is no alert {acknowledgement.alert_id} that could be acknowledged")
    if alert.status != ALERT_FIRING:
        return _NOTHING
    told = replace(
        alert,
        status=ALERT_ACKNOWLEDGED,
        acknowledged_at=now,
        acknowledged_by=acknowledgement.by,
        acknowledged_why=acknowledgement.why,
    )
    changed = _worded(told, rule, now)
    return Step(replace(known, alert=changed), changed)


def resolve_orphan(known: Remembered, now: datetime) -> Step:
    """Resolves an open alert whose rule is not defined any more: nothing would ever clear it."""
    if known.alert is None or not known.alert.is_open:
        return _NOTHING
    return _resolved(known, known.alert, RULE_GONE, None, now, now)


def _counts(known: Remembered, signal: Signal, sent_at: datetime) -> bool:
    """Whether it is after all that was seen, or what the cooldown held back and is said again after it."""
    was_held_back = signal.kind == RAISE and signal.event_time == known.held_back
    is_over = known.cooldown_until is None or sent_at >= known.cooldown_until
    return signal.event_time > known.seen_until or (was_held_back and is_over)


def _seen(known: Remembered | None, signal: Signal) -> Remembered:
    if known is None:
        return Remembered(signal.event_time)
    # A clear after it says that what was held back holds no longer.
    held_back = known.held_back if signal.kind == RAISE else None
    return replace(known, seen_until=max(known.seen_until, signal.event_time), held_back=held_back)


def _opened(signal: Signal, rule: Rule, now: datetime) -> AlertState:
    alert = AlertState(
        alert_id=alert_id_of(signal.rule_id, signal.subject, signal.event_time),
        rule_id=signal.rule_id,
        subject=signal.subject,
        severity=rule.severity,
        status=ALERT_FIRING,
        first_event_time=signal.event_time,
        last_event_time=signal.event_time,
        signal_count=1,
        opened_at=now,
        updated_at=now - _TICK,
        device_id=signal.device_id,
        customer=signal.customer,
        site=signal.site,
        metric=signal.metric,
        threshold=signal.threshold,
        first_value=signal.value,
        last_value=signal.value,
    )
    return _worded(alert, rule, now)


def _gone_on(alert: AlertState, signal: Signal, rule: Rule, now: datetime) -> AlertState:
    gone_on = replace(
        alert,
        last_event_time=signal.event_time,
        last_value=signal.value,
        threshold=signal.threshold,
        signal_count=alert.signal_count + 1,
    )
    return _worded(gone_on, rule, now)


def _resolved(
    seen: Remembered, alert: AlertState, why: str, rule: Rule | None, sent_at: datetime, now: datetime
) -> Step:
    resolved = _worded(replace(alert, status=ALERT_RESOLVED, resolved_at=now, resolved_why=why), rule, now)
    pause = timedelta(seconds=0 if rule is None else rule.cooldown_seconds)
    return Step(replace(seen, alert=resolved, cooldown_until=sent_at + pause, held_back=None), resolved)


def _worded(alert: AlertState, rule: Rule | None, now: datetime) -> AlertState:
    """The alert with its text as of now; without its rule it keeps the one it has."""
    moved = replace(alert, updated_at=max(now, alert.updated_at + _TICK))
    if rule is None:
        return moved
    named = replace(moved, runbook=rule.runbook)
    return replace(named, text=render_text(rule.text, named))

"""Signals, rules and alerts with good defaults, so that a test shows only what is odd."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from sluice.alerting.episodes import Episode
from sluice.alerting.messages import Message
from sluice.alerting.rule_types import Threshold
from sluice.alerting.signals import Signal, signal_id_of
from sluice.alerting.state import AlertState, alert_id_of
from sluice.alerting.state_messages import Notice, notice_of

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
LATER = datetime(2026, 3, 1, 13, tzinfo=timezone.utc)


def at(seconds: float) -> datetime:
    """So many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def signal(seconds: float, kind: Any = "raise", rule_id: str = "hot", subject: str = "d1", **odd: Any) -> Signal:
    """A signal of a device that is too hot."""
    moment = at(seconds)
    known = {"device_id": subject, "site": "hall", "metric": "temperature_celsius", "value": 61.0, "threshold": 60.0}
    name = signal_id_of(kind, rule_id, subject, moment, None)
    return Signal(name, kind, rule_id, "warning", subject, moment, **{**known, **odd})


def rule(**odd: Any) -> Threshold:
    """Too hot above 60; no cooldown."""
    known = {"id": "hot", "type": "threshold", "severity": "critical", "metric": "temperature_celsius", "above": 60}
    told = {"cooldown_seconds": 0, "text": "{subject}: {value}", "channels": ["log"]}
    return Threshold.model_validate({**known, **told, **odd})


def alert(number: int = 1, **odd: Any) -> AlertState:
    """A firing alert of a device of that number."""
    subject, moment = f"d{number}", at(number)
    known: dict[str, Any] = {
        "alert_id": alert_id_of("hot", subject, moment),
        "rule_id": "hot",
        "subject": subject,
        "severity": "critical",
        "status": "firing",
        "first_event_time": moment,
        "last_event_time": moment,
        "signal_count": 1,
        "opened_at": LATER,
        "updated_at": LATER,
        "device_id": subject,
        "site": "hall",
        "text": f"{subject}: 61",
        "first_value": 61.0,
        "last_value": 61.0,
    }
    return AlertState(**{**known, **odd})


def notice(number: int = 1, *, open_count: int = 1, **odd: Any) -> Notice:
    """The notice of such an alert, to the channel hook; others of its rule are open."""
    return notice_of(alert(number, **odd), ["hook"], Episode("al-first", open_count))


def message(*notices: Notice, most_listed: int = 20) -> Message:
    """A message to the channel hook; without notices about one alert."""
    return Message("hook", notices or (notice(),), most_listed)

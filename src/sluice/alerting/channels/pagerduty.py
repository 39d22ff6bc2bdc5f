"""The channel `pagerduty`: events in the form of PagerDuty's Events API v2, which others of its kind take too."""

from __future__ import annotations

import json
from typing import Any, Literal

from sluice.alerting.channels.channel import DeliveryFailed
from sluice.alerting.http_delivery import Hook, HookSettings
from sluice.alerting.messages import Message, alert_line
from sluice.alerting.secret_sources import SecretSource
from sluice.alerting.signals import time_text
from sluice.alerting.state_messages import Notice
from sluice.alerting.targets import Resolve, resolve_host
from sluice.errors import SecretMissing
from sluice.schemas import ALERT_ACKNOWLEDGED, ALERT_FIRING, ALERT_RESOLVED

_ACTIONS = {ALERT_FIRING: "trigger", ALERT_ACKNOWLEDGED: "acknowledge", ALERT_RESOLVED: "resolve"}
_SEVERITIES = {"critical": "critical", "warning": "warning", "info": "info"}
# Of the summary of an event (https://developer.pagerduty.com/docs/send-alert-event).
_MOST_CHARACTERS = 1_024


class PagerDutySettings(HookSettings):
    """A service's integration, by its routing key."""

    type: Literal["pagerduty"]
    url: str = "https://events.pagerduty.com/v2/enqueue"
    hosts: tuple[str, ...] = ("events.pagerduty.com", "events.eu.pagerduty.com")
    routing_key: SecretSource


class PagerDutyChannel:
    """Sends one event an alert, by whose id the receiver knows it again.

    Where a message has more alerts than it lists, the rest that fire are one event together.
    """

    def __init__(self, settings: PagerDutySettings, resolve: Resolve = resolve_host) -> None:
        self._settings = settings
        self._hook = Hook(settings, resolve)
        # Of the message that is being delivered, how many events were taken: another attempt goes on after them.
        self._taken = ("", 0)

    def deliver(self, message: Message) -> None:
        """Sends the events of a message.

        Raises:
            DeliveryFailed: not all were taken.
        """
        try:
            routing_key = self._settings.routing_key.read()
        except SecretMissing as error:
            raise DeliveryFailed(error.message) from None
        message_id, taken = self._taken
        taken = taken if message_id == message.message_id else 0
        for place, event in enumerate(events_of(message)[taken:], taken):
            self._hook.post(json.dumps({"routing_key": routing_key, **event}).encode(), {})
            self._taken = (message.message_id, place + 1)
        self._taken = ("", 0)

    def close(self) -> None:
        """Has nothing open."""


def events_of(message: Message) -> list[dict[str, Any]]:
    """The events of a message, without the routing key.

    An alert that fires beyond those listed opens no incident of its own. What is acknowledged or resolved always has
    its event: nothing else closes the incident.
    """
    listed = {notice.notice_id for notice in message.listed}
    told = [
        notice
        for notice in message.notices
        if notice.notice_id in listed or notice.alert.status in (ALERT_ACKNOWLEDGED, ALERT_RESOLVED)
    ]
    events = [_event(notice) for notice in told]
    left_out = len(message.notices) - len(told)
    return events if not left_out else [*events, _summary(message, left_out)]


def _event(notice: Notice) -> dict[str, Any]:
    alert = notice.alert
    event: dict[str, Any] = {"event_action": _ACTIONS[alert.status], "dedup_key": alert.alert_id}
    if alert.status != ALERT_FIRING:
        return event
    details = {"rule": alert.rule_id, "metric": alert.metric, "value": alert.last_value, "threshold": alert.threshold}
    event["payload"] = {
        "summary": alert_line(notice)[:_MOST_CHARACTERS],
        "source": alert.subject,
        "severity": _SEVERITIES.get(alert.severity, "error"),
        "timestamp": time_text(alert.first_event_time),
        "component": alert.rule_id,
        "custom_details": details,
    }
    if alert.runbook:
        event["links"] = [{"href": alert.runbook, "text": "runbook"}]
    return event


def _summary(message: Message, left_out: int) -> dict[str, Any]:
    counts = {f"{count['rule_id']} {count['status']}": count["count"] for count in message.counts}
    payload = {
        "summary": f"{message.title}; {left_out:,} of them have no incident of their own"[:_MOST_CHARACTERS],
        "source": "sluice",
        "severity": _SEVERITIES.get(message.severity, "error"),
        "custom_details": counts,
    }
    return {"event_action": "trigger", "dedup_key": message.message_id, "payload": payload}

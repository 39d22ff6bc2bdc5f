"""The channel `pagerduty`: events in the form of PagerDuty's Events API v2, which others of its kind take too."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection
from typing import Any, Literal

from sluice.alerting.channels.channel import DeliveryFailed
from sluice.alerting.http_delivery import Hook, HookSettings
from sluice.alerting.messages import Message, alert_line
from sluice.alerting.secret_sources import SecretSource
from sluice.alerting.signals import time_text
from sluice.alerting.state import AlertState
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

    Where a message has more alerts than it lists, the rest that fire are one incident of their rule, which ends
    with the last of the rule's alerts.
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

    An alert that fires beyond those listed opens no incident of its own, but one of its episode; one that is over
    already opens none, since nothing would close it. What is acknowledged or resolved always has its event, and so has
    the end of an episode.
    """
    listed = {notice.notice_id for notice in message.listed}
    told = [
        notice
        for notice in message.notices
        if notice.alert.status in (ALERT_ACKNOWLEDGED, ALERT_RESOLVED)
        or (notice.notice_id in listed and notice.alert.alert_id not in message.over)
    ]
    return [*map(_event, told), *_episode_events(message, listed)]


def _episode_events(message: Message, listed: Collection[str]) -> list[dict[str, Any]]:
    """An event for each episode that is over, or of which alerts fire that have no incident of their own."""
    resolved = {notice.alert.alert_id for notice in message.notices if notice.alert.status == ALERT_RESOLVED}
    ended = resolved | message.over
    beyond: dict[str, list[Notice]] = defaultdict(list)
    open_counts: dict[str, int] = {}
    for notice in message.notices:
        name, alert = notice.episode.episode_id, notice.alert
        open_counts[name] = notice.episode.open_count
        if alert.status == ALERT_FIRING and notice.notice_id not in listed and alert.alert_id not in ended:
            beyond[name].append(notice)
    # Kept apart from the key of the alert that the episode began with.
    keys = {name: f"episode-{name}" for name in open_counts}
    over = [_resolve(keys[name]) for name, count in open_counts.items() if count == 0]
    return [*over, *(_together(keys[name], notices) for name, notices in beyond.items())]


def _resolve(key: str) -> dict[str, Any]:
    return {"event_action": "resolve", "dedup_key": key}


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
    return {**event, **_links(alert)}


def _together(key: str, notices: list[Notice]) -> dict[str, Any]:
    """One incident for alerts of a rule that have none of their own."""
    first = notices[0].alert
    payload = {
        "summary": f"[{first.severity}] {first.rule_id}: {len(notices):,} more alerts, listed by: sluice alerts ls",
        "source": "sluice",
        "severity": _SEVERITIES.get(first.severity, "error"),
        "timestamp": time_text(min(notice.alert.first_event_time for notice in notices)),
        "component": first.rule_id,
        "custom_details": {"rule": first.rule_id, "alerts": len(notices)},
    }
    return {"event_action": "trigger", "dedup_key": key, "payload": payload, **_links(first)}


def _links(alert: AlertState) -> dict[str, Any]:
    return {"links": [{"href": alert.runbook, "text": "runbook"}]} if alert.runbook else {}

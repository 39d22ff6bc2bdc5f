"""A person's acknowledgement, sent to the dispatcher, and its answer: the alert's state."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sluice.alerting.acknowledgement import Acknowledgement, encode_acknowledgement
from sluice.alerting.dispatcher import read_state
from sluice.alerting.running import OWNER
from sluice.alerting.views import find_alert, read_alerts
from sluice.errors import AlertUnknown, RequestUnanswered
from sluice.schemas import ALERT_FIRING, ALERT_RESOLVED
from sluice.settings import Settings
from sluice.sources.kafka import record_sender
from sluice.sources.kafka_records import OutgoingRecord
from sluice.tables.lake import Lake, layer_owner

_LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Acknowledged:
    """What became of an acknowledgement.

    Attributes:
        done: whether the alert is acknowledged now; else it waits for the dispatcher.
        message: for people.
    """

    alert_id: str
    done: bool
    message: str


def acknowledge(
    settings: Settings, find_broker: Callable[[], str], alert_id: str, by: str, why: str, wait_seconds: float
) -> Acknowledged:
    """Sends an acknowledgement, and waits for what comes of it if the dispatcher runs here.

    Raises:
        AlertUnknown: there is no such alert, or it is resolved.
        BrokerDown, TopicMissing: it cannot be sent.
        RequestUnanswered: the dispatcher runs and has not answered in time; the message stays.
    """
    bootstrap_servers = find_broker()
    row = find_alert(read_alerts(settings, find_broker), alert_id)
    found = str(row["alert_id"])
    if row["status"] == ALERT_RESOLVED:
        raise AlertUnknown(f"the alert {found} is resolved already", "there is nothing to acknowledge")
    if row["status"] != ALERT_FIRING:
        return Acknowledged(found, True, f"{found} was acknowledged already by {row['acknowledged_by']}")
    _send(settings, bootstrap_servers, row, by, why)
    if layer_owner(Lake(settings.lake.path), OWNER) is None:
        return Acknowledged(
            found, False, f"{found}: sent; sluice dispatch does not run here, and takes it once it does"
        )
    deadline = time.monotonic() + wait_seconds
    while time.monotonic() < deadline:
        for remembered in read_state(settings, bootstrap_servers).values():
            alert = remembered.alert
            if alert is not None and alert.alert_id == found and alert.status != ALERT_FIRING:
                return Acknowledged(found, True, f"{found} is {alert.status}")
        time.sleep(_LOOK_SECONDS)
    raise RequestUnanswered(
        f"{found}: sent, and not answered within {wait_seconds:g} s", "sluice alerts show tells when it is acknowledged"
    )


def _send(settings: Settings, bootstrap_servers: str, row: dict[str, Any], by: str, why: str) -> None:
    subject = str(row["subject"])
    told = Acknowledgement(str(row["alert_id"]), str(row["rule_id"]), subject, by, why)
    sender = record_sender(bootstrap_servers, settings.alerts.topic, settings.kafka.options)
    try:
        sender.send([OutgoingRecord(subject.encode(), encode_acknowledgement(told), [])])
    finally:
        sender.close()

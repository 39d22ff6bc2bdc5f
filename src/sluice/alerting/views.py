"""Alerts for people: the rows of gold/alerts, and over them what the topic of state says by now.

The table has every alert there ever was and needs no broker; the topic knows the newest of each rule and subject, up to
the moment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sluice.alerting.alert_log import row_of
from sluice.alerting.dispatcher import read_state
from sluice.errors import AlertUnknown, BrokerDown, LakeMissing, TopicMissing
from sluice.schemas import GOLD_ALERTS
from sluice.serving.lake import open_lake
from sluice.settings import Settings

_LEAST_DIGITS = 6


@dataclass(frozen=True)
class AlertFilter:
    """Which alerts are meant; None for all."""

    status: str | None = None
    rule: str | None = None
    device: str | None = None

    def takes(self, row: dict[str, Any]) -> bool:
        """Whether a row of gold/alerts is among them; a device is also found as subject."""
        return (
            (self.status is None or row["status"] == self.status)
            and (self.rule is None or row["rule_id"] == self.rule)
            and (self.device is None or self.device in (row["device_id"], row["subject"]))
        )


@dataclass(frozen=True)
class AlertView:
    """Alerts as far as they are known.

    Attributes:
        rows: columns of gold/alerts, the newest first.
        missing: what could not be asked, for people; empty where all was.
    """

    rows: Sequence[dict[str, Any]]
    missing: str = ""


def read_alerts(settings: Settings, find_broker: Callable[[], str]) -> AlertView:
    """All alerts.

    Raises:
        LakeMissing: there is neither the table nor a broker that knows any.
    """
    known: dict[str, dict[str, Any]] = {}
    without_table: LakeMissing | None = None
    try:
        table = open_lake(settings.lake.path).arrow(GOLD_ALERTS.full_name)
        known = {row["alert_id"]: row for row in table.to_pylist()}
    except LakeMissing as error:
        without_table = error
    try:
        state = read_state(settings, find_broker())
    except (BrokerDown, TopicMissing) as error:
        if without_table is not None:
            raise LakeMissing(
                f"no alert is known: {without_table.message}; {error.message}", "sluice dispatch keeps alerts"
            ) from None
        return AlertView(_newest_first(known), f"as gold/alerts has them; {error.message}")
    for remembered in state.values():
        if remembered.alert is not None:
            row = row_of(remembered.alert)
            old = known.get(row["alert_id"])
            if old is None or row["updated_at"] >= old["updated_at"]:
                known[row["alert_id"]] = row
    return AlertView(_newest_first(known))


def find_alert(view: AlertView, alert_id: str) -> dict[str, Any]:
    """The alert of that id, or the only one whose id begins so.

    Raises:
        AlertUnknown: there is none, or more than one.
    """
    exact = [row for row in view.rows if row["alert_id"] == alert_id]
    digits = alert_id.removeprefix("al-")
    alike = [row for row in view.rows if row["alert_id"].removeprefix("al-").startswith(digits)]
    found = exact or (alike if len(digits) >= _LEAST_DIGITS else [])
    if not found:
        raise AlertUnknown(f"there is no alert {alert_id}", "sluice alerts ls shows them")
    if len(found) > 1:
        raise AlertUnknown(f"{len(found)} alerts begin with {alert_id}", "write more of it")
    return found[0]


def _newest_first(known: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(known.values(), key=lambda row: (row["opened_at"], row["alert_id"]), reverse=True)

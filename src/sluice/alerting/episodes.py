"""Episodes of a rule: from its first open alert until none of its alerts is open.

Where one message stands for many alerts, whoever is told can only be told that they are over when the last of them is:
that is the end of the episode, which a notice names.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sluice.alerting.state import AlertState, Remembered
from sluice.schemas import ALERT_FIRING, ALERT_RESOLVED

_CHANGES = {ALERT_FIRING: 1, ALERT_RESOLVED: -1}


@dataclass(frozen=True)
class Episode:
    """An episode as it is after a notice.

    Attributes:
        episode_id: the id of the alert that it began with.
        open_count: how many alerts of the rule are open; 0 ends it.
    """

    episode_id: str
    open_count: int


class Episodes:
    """The episodes that go on, by rule.

    Args:
        known: what is remembered of all rules and subjects. Alerts opened before episodes were remembered are one of
            their rule.
    """

    def __init__(self, known: Iterable[Remembered]) -> None:
        self._by_rule: dict[str, Episode] = {}
        for remembered in known:
            alert = remembered.alert
            if alert is not None and alert.is_open:
                self._move(alert, remembered.episode_id or alert.alert_id, 1)

    def after(self, alert: AlertState) -> Episode:
        """The episode of an alert whose status has just changed to what it is."""
        return self._move(alert, alert.alert_id, _CHANGES.get(alert.status, 0))

    def _move(self, alert: AlertState, first_id: str, change: int) -> Episode:
        known = self._by_rule.get(alert.rule_id, Episode(first_id, 0))
        moved = Episode(known.episode_id, max(0, known.open_count + change))
        if moved.open_count:
            self._by_rule[alert.rule_id] = moved
        else:
            self._by_rule.pop(alert.rule_id, None)
        return moved

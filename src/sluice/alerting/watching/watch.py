"""All rules over tables at one moment, as signals: what `sluice dispatch` does every `alerts.watch_seconds`."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from sluice.alerting.rule_types import (
    Anomaly,
    AnyRule,
    FlatLine,
    Gate,
    Offline,
    QualityBand,
    RateOfChange,
)
from sluice.alerting.signals import Signal
from sluice.alerting.watching.clearing import find_way_back
from sluice.alerting.watching.devices import find_bad_quality, find_offline
from sluice.alerting.watching.findings import Finding, OpenAlerts, signals_of
from sluice.alerting.watching.gates import find_refusals
from sluice.alerting.watching.minutes import find_anomalies, find_changes, find_flat_lines
from sluice.errors import LakeMissing
from sluice.serving.lake import OpenLake, open_lake
from sluice.transforms.registry import Device

_REMEMBERED = 100_000


class Watch:
    """Judges the rules of one lake again and again.

    What it remembers only keeps it from repeating itself: after a death the same signals come again, with the same
    ids. One thread's.

    Args:
        devices: the registry, by device id.
    """

    def __init__(self, lake_path: Path, rules: Sequence[AnyRule], devices: Mapping[str, Device]) -> None:
        self._lake_path, self._rules, self._devices = lake_path, rules, devices
        self._sent: OrderedDict[str, datetime] = OrderedDict()

    def find_signals(self, open_alerts: OpenAlerts, now: datetime) -> list[Signal]:
        """The signals that follow from the tables as they are now.

        A signal is not said again before its rule's cooldown is over; then it is, as what fell into a cooldown
        may hold still. Without a lake there are none.
        """
        try:
            lake = open_lake(self._lake_path)
        except LakeMissing:
            return []
        found = []
        for rule in self._rules:
            for signal in signals_of(rule, self._findings(rule, lake, open_alerts, now), open_alerts):
                if self._is_news(signal, rule, now):
                    found.append(signal)
        return found

    def _findings(self, rule: AnyRule, lake: OpenLake, open_alerts: OpenAlerts, now: datetime) -> Iterable[Finding]:
        try:
            yield from _judge(rule, lake, self._devices, open_alerts, now)
        except LakeMissing as error:
            # A table that is made anew at this moment: the next round reads it.
            logging.getLogger("sluice").warning("rule %s: %s", rule.id, error.message)

    def _is_news(self, signal: Signal, rule: AnyRule, now: datetime) -> bool:
        said = self._sent.get(signal.signal_id)
        if said is not None and (now - said).total_seconds() < rule.cooldown_seconds:
            return False
        self._sent[signal.signal_id] = now
        self._sent.move_to_end(signal.signal_id)
        while len(self._sent) > _REMEMBERED:
            self._sent.popitem(last=False)
        return True


def _judge(
    rule: AnyRule, lake: OpenLake, devices: Mapping[str, Device], open_alerts: OpenAlerts, now: datetime
) -> Iterator[Finding]:
    if isinstance(rule, RateOfChange):
        yield from find_changes(rule, lake, devices, now)
    elif isinstance(rule, FlatLine):
        yield from find_flat_lines(rule, lake, devices, now)
    elif isinstance(rule, Anomaly):
        yield from find_anomalies(rule, lake, devices, now)
    elif isinstance(rule, Offline):
        yield from find_offline(rule, lake, devices, now)
    elif isinstance(rule, QualityBand):
        yield from find_bad_quality(rule, lake, devices, now)
    elif isinstance(rule, Gate):
        yield from find_refusals(rule, lake)
    else:
        yield from find_way_back(rule, lake, devices, open_alerts)

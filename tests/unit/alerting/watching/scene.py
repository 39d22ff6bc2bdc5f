"""A rule, a registry and a lake at one moment, for the tests of rules over tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sluice.alerting.rules import parse_rules
from sluice.alerting.signals import Signal
from sluice.alerting.watching.watch import Watch
from sluice.transforms.registry import parse_registry

REGISTRY = parse_registry(
    {
        "devices": [
            {
                "device_id": f"sensor-000{number}",
                "customer": "acme",
                "site": site,
                "expected_interval_seconds": 5,
                "metrics": {"temperature_celsius": {"min": -10, "max": 45}, "battery_percent": {}},
            }
            for number, site in ((1, "berlin"), (2, "oslo"))
        ]
    }
)
DEVICES = {device.device_id: device for device in REGISTRY.devices}


@dataclass(frozen=True)
class Open:
    """An alert that is not resolved."""

    rule_id: str
    subject: str
    last_event_time: datetime

    @property
    def device_id(self) -> str:
        return self.subject


def watch(lake: Path, **rule: Any) -> Watch:
    """A watch of one rule, r."""
    entry = {"id": "r", "severity": "warning", **rule}
    return Watch(lake, parse_rules([entry], {}, "alerts.yaml"), DEVICES)


def find(lake: Path, now: datetime, *alerts: Open, **rule: Any) -> list[tuple[Any, ...]]:
    """Kind, subject, event time, value and threshold of the signals of one rule."""
    return [said(signal) for signal in watch(lake, **rule).find_signals(opened(*alerts), now)]


def opened(*alerts: Open) -> Mapping[tuple[str, str], Open]:
    """Open alerts as the watch is given them."""
    return {(alert.rule_id, alert.subject): alert for alert in alerts}


def said(signal: Signal) -> tuple[Any, ...]:
    """What a test compares of a signal."""
    return signal.kind, signal.subject, signal.event_time, signal.value, signal.threshold

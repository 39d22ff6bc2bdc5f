"""When rules of one reading hold no longer: judged of the newest reading of each device that has an open alert."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone

from sluice.alerting.rule_types import BatteryLow, OutOfRange, Status, Threshold
from sluice.alerting.watching.findings import Finding, OpenAlert, OpenAlerts
from sluice.schemas import GOLD_LATEST_READINGS, SILVER_READINGS
from sluice.serving.lake import OpenLake
from sluice.transforms.registry import Device

OfOneReading = Threshold | OutOfRange | Status | BatteryLow

_LATEST = """
SELECT device_id, value, event_time
FROM gold.latest_readings
WHERE metric = $metric AND list_contains($devices, device_id)
ORDER BY device_id
"""
_STATUS = """
SELECT device_id, status, event_time
FROM silver.readings
WHERE event_date >= CAST($since AS DATE) AND event_time > $since AND list_contains($devices, device_id)
QUALIFY row_number() OVER (
    PARTITION BY device_id ORDER BY event_time DESC, topic_generation DESC, "partition" DESC, "offset" DESC
) = 1
ORDER BY device_id
"""


def find_way_back(
    rule: OfOneReading, lake: OpenLake, devices: Mapping[str, Device], open_alerts: OpenAlerts
) -> Iterator[Finding]:
    """For each open alert of the rule whose device is back within its limits, that it is so.

    A device that is neither beyond the rule's limit nor within the clear limit says nothing (hysteresis).
    """
    concerned = {alert.subject: alert for (rule_id, _), alert in open_alerts.items() if rule_id == rule.id}
    if not concerned:
        return
    if isinstance(rule, Status):
        yield from _status(rule, lake, concerned)
        return
    metric = "battery_percent" if isinstance(rule, BatteryLow) else rule.metric
    if GOLD_LATEST_READINGS.full_name not in lake.tables():
        return
    rows = lake.sql(_LATEST, {"metric": metric, "devices": list(concerned)}).fetchall()
    for device_id, value, event_time in rows:
        within = _within(rule, devices.get(device_id))
        if within(value):
            yield Finding(device_id, False, event_time.astimezone(timezone.utc), device_id, metric=metric, value=value)


def _status(rule: Status, lake: OpenLake, concerned: Mapping[str, OpenAlert]) -> Iterator[Finding]:
    if SILVER_READINGS.full_name not in lake.tables():
        return
    since: datetime = min(alert.last_event_time for alert in concerned.values())
    rows = lake.sql(_STATUS, {"since": since, "devices": list(concerned)}).fetchall()
    for device_id, status, event_time in rows:
        if status not in rule.statuses:
            yield Finding(device_id, False, event_time.astimezone(timezone.utc), device_id)


def _within(rule: Threshold | OutOfRange | BatteryLow, device: Device | None) -> Callable[[float], bool]:
    if isinstance(rule, BatteryLow):
        level = rule.below_percent if rule.clear_above_percent is None else rule.clear_above_percent
        return lambda value: value >= level
    if isinstance(rule, Threshold):
        return _threshold_within(rule)
    ranges = [entry for entry in device.metrics if entry.name == rule.metric] if device else []
    return lambda value: all(
        (entry.minimum is None or value >= entry.minimum) and (entry.maximum is None or value <= entry.maximum)
        for entry in ranges
    )


def _threshold_within(rule: Threshold) -> Callable[[float], bool]:
    if rule.above is not None:
        upper = rule.above if rule.clear_below is None else rule.clear_below
        return lambda value: value <= upper
    lower = rule.below if rule.clear_above is None else rule.clear_above
    return lambda value: lower is not None and value >= lower

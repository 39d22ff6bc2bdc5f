"""Rules judged of `gold.latest_readings` and `gold.quality_scores`: offline devices, bad quality."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone

from sluice.alerting.rule_types import Offline, QualityBand
from sluice.alerting.watching.findings import Finding, of_device
from sluice.schemas import GOLD_LATEST_READINGS, GOLD_QUALITY_SCORES
from sluice.serving.lake import OpenLake
from sluice.transforms.registry import Device

_LAST_SEEN = "SELECT device_id, max(event_time) FROM gold.latest_readings GROUP BY device_id ORDER BY device_id"
_SCORES = """
SELECT device_id, customer, score, band, updated_at
FROM gold.quality_scores
WHERE day = CAST($now AS DATE) AND band IS NOT NULL
ORDER BY device_id
"""


def find_offline(rule: Offline, lake: OpenLake, devices: Mapping[str, Device], now: datetime) -> Iterator[Finding]:
    """For each device that ever reported whether its next reading is overdue.

    The time of a device that is offline is when that began; of one that is not, its last reading's. With
    `missed_intervals` only registered devices are judged. One that never reported is unknown to the tables.
    """
    if GOLD_LATEST_READINGS.full_name not in lake.tables():
        return
    for device_id, last in lake.sql(_LAST_SEEN).fetchall():
        place, allowed = of_device(rule, devices, device_id), _allowed(rule, devices.get(device_id))
        if place is None or allowed is None:
            continue
        seen = last.astimezone(timezone.utc)
        overdue = now - seen > allowed
        moment = seen + allowed if overdue else seen
        seconds = allowed.total_seconds()
        yield Finding(device_id, overdue, moment, device_id, *place, None, (now - seen).total_seconds(), seconds)


def _allowed(rule: Offline, device: Device | None) -> timedelta | None:
    if rule.after_seconds is not None:
        return timedelta(seconds=rule.after_seconds)
    if device is None or rule.missed_intervals is None:
        return None
    return timedelta(seconds=rule.missed_intervals * device.expected_interval_seconds)


def find_bad_quality(
    rule: QualityBand, lake: OpenLake, devices: Mapping[str, Device], now: datetime
) -> Iterator[Finding]:
    """For each device with a score today whether its band is one of the rule's."""
    if GOLD_QUALITY_SCORES.full_name not in lake.tables():
        return
    for device_id, customer, score, band, updated_at in lake.sql(_SCORES, {"now": now}).fetchall():
        site = devices[device_id].site if device_id in devices else None
        if rule.concerns(device_id, site, customer):
            moment = updated_at.astimezone(timezone.utc)
            yield Finding(device_id, band in rule.bands, moment, device_id, customer, site, None, score, None)

"""Rows of small lakes for the dashboard, over those of the readers' tests."""

from __future__ import annotations

from datetime import datetime

from tests.unit.serving.lake_builder import Row, at

REGISTRY = """devices:
- device_id: sensor-{0001..0002}
  customer: acme
  site: berlin
  metrics: {temperature_celsius: {min: -10, max: 45}, humidity_percent: {min: 5}}
- {device_id: sensor-0003, customer: acme, site: oslo, metrics: {temperature_celsius: {min: -40, max: 45}}}
- {device_id: meter-1, customer: globex, site: madrid, metrics: {power_watt: {min: 0, max: 3500}}}
"""


def latest(device_id: str, event_time: datetime, **odd: object) -> Row:
    """A row of gold.latest_readings: 20.5 °C of a device that should report every 5 s."""
    row = {"device_id": device_id, "metric": "temperature_celsius", "value": 20.5, "event_time": event_time}
    return {**row, "quality_flag": "valid", "expected_interval_seconds": 5.0, **odd}


def score(device_id: str, value: float | None, received: int, **odd: object) -> Row:
    """A row of gold.quality_scores of 2026-03-01; every dimension is the score's share."""
    share = None if value is None else value / 100
    dimensions = dict.fromkeys(("completeness", "validity", "uniqueness", "timeliness", "consistency"), share)
    row = {"day": at("00:00:00").date(), "device_id": device_id, "score": value, "received": received}
    return {**row, **dimensions, **odd}

"""Readings, the minutes that count them, and the percentiles of those by plain Python."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from .lake_builder import Row, at, minute, reading

TEMPERATURE, HUMIDITY, POWER = "temperature_celsius", "humidity_percent", "power_watt"
# Device, metric and minute.
Key = tuple[str, str, datetime]


def measure() -> tuple[list[Row], dict[Key, list[float]]]:
    """Readings of three devices over 40 minutes around noon, in no order, and what was measured in each minute."""
    dice = random.Random(11)
    rows: list[Row] = []
    values: dict[Key, list[float]] = defaultdict(list)
    for number in range(900):
        moment = at("11:40:00") + timedelta(seconds=dice.randrange(40 * 60), microseconds=dice.randrange(10**6))
        device, customer = dice.choice([("sensor-0001", "acme"), ("sensor-0002", "other"), ("meter", "acme")])
        given: dict[str, Any]
        if device == "meter":
            # A reading event may be of a canonical column's metric.
            metric, value = dice.choice([POWER, TEMPERATURE]), round(dice.gauss(0, 9), 1)
            found, given = {metric: value}, {TEMPERATURE: None, "metric": metric, "value": value}
        else:
            found = {TEMPERATURE: round(dice.gauss(20, 3), 1), HUMIDITY: dice.choice([None, 40.0, 41.5])}
            given = found
        rows.append(reading(number, moment, device_id=device, customer=customer, **given))
        for metric, value in found.items():
            if value is not None:
                values[device, metric, moment.replace(second=0, microsecond=0)].append(value)
    return rows, dict(values)


def nearest_rank(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values do not exceed."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


def minutes_of(values: dict[Key, list[float]]) -> list[Row]:
    """Rows of gold.readings_1min that count these values."""
    return [
        minute(bucket, device_id=device, metric=metric, reading_count=len(found))
        for (device, metric, bucket), found in values.items()
    ]


READINGS, VALUES = measure()
PERCENTILES = {key: (nearest_rank(found, 0.5), nearest_rank(found, 0.95)) for key, found in VALUES.items()}

"""Rules judged of `gold.readings_1min`: rate of change, flat line, anomaly. Only minutes that are over are judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np

from sluice.alerting.rule_types import Anomaly, FlatLine, RateOfChange
from sluice.alerting.watching.findings import Finding, of_device
from sluice.alerting.watching.robust import Times, Values, long_enough, robust_scores
from sluice.schemas import GOLD_READINGS_1MIN
from sluice.serving.lake import OpenLake
from sluice.transforms.registry import Device

# Conditions that were over before this are history: nobody is woken up for them.
LOOK_BACK_MINUTES = 10
_MINUTE = timedelta(minutes=1)

_CHANGES = """
SELECT later.device_id, later.bucket, later.value_mean - earlier.value_mean AS change
FROM gold.readings_1min AS later
JOIN gold.readings_1min AS earlier
  ON earlier.device_id = later.device_id AND earlier.metric = later.metric
 AND earlier.bucket = later.bucket - to_minutes($within)
WHERE later.metric = $metric AND later.bucket > $since AND later.bucket <= $newest
  AND later.bucket_date >= CAST($since AS DATE) AND earlier.bucket_date >= CAST($first AS DATE)
ORDER BY later.device_id, later.bucket
"""

_FLAT = """
WITH spans AS (
    SELECT
        device_id,
        bucket,
        min(value_min) OVER span AS least,
        max(value_max) OVER span AS greatest,
        sum(reading_count) OVER span AS readings,
        count(*) OVER span AS minutes
    FROM gold.readings_1min
    WHERE metric = $metric AND bucket > $first AND bucket <= $newest AND bucket_date >= CAST($first AS DATE)
    WINDOW span AS (PARTITION BY device_id ORDER BY bucket ROWS BETWEEN $rows PRECEDING AND CURRENT ROW)
)
SELECT device_id, bucket, least, least = greatest AND readings >= $readings AS flat
FROM spans
WHERE minutes = $rows + 1 AND bucket > $since
ORDER BY device_id, bucket
"""

_SERIES = """
SELECT device_id, CAST(epoch(bucket) / 60 AS BIGINT) AS minute, value_mean
FROM gold.readings_1min
WHERE metric = $metric AND bucket > $first AND bucket <= $newest AND bucket_date >= CAST($first AS DATE)
ORDER BY device_id, minute
"""


def newest_minute(now: datetime) -> datetime:
    """The newest minute that is over."""
    return now.replace(second=0, microsecond=0) - _MINUTE


def find_changes(rule: RateOfChange, lake: OpenLake, devices: Mapping[str, Device], now: datetime) -> Iterator[Finding]:
    """For each minute of late whether its mean differs by more than `change` from that `within_minutes` before.

    A minute without one to compare it with is not judged.
    """
    newest = newest_minute(now)
    since = newest - LOOK_BACK_MINUTES * _MINUTE
    given = {
        "metric": rule.metric,
        "within": rule.within_minutes,
        "since": since,
        "newest": newest,
        "first": since - rule.within_minutes * _MINUTE,
    }
    for device_id, bucket, change in _rows(lake, _CHANGES, given):
        if (place := of_device(rule, devices, device_id)) is not None:
            yield Finding(
                device_id, abs(change) > rule.change, _utc(bucket), device_id, *place, rule.metric, change, rule.change
            )


def find_flat_lines(rule: FlatLine, lake: OpenLake, devices: Mapping[str, Device], now: datetime) -> Iterator[Finding]:
    """For each minute of late whether it and those before, `minutes` in all, hold one value only.

    Minutes without readings are passed over, but no further back than three times `minutes`.
    """
    newest = newest_minute(now)
    since = newest - LOOK_BACK_MINUTES * _MINUTE
    given = {
        "metric": rule.metric,
        "rows": rule.minutes - 1,
        "readings": rule.min_readings,
        "since": since,
        "newest": newest,
        "first": since - 3 * rule.minutes * _MINUTE,
    }
    for device_id, bucket, value, flat in _rows(lake, _FLAT, given):
        if (place := of_device(rule, devices, device_id)) is not None:
            yield Finding(device_id, flat, _utc(bucket), device_id, *place, rule.metric, value, None)


def find_anomalies(rule: Anomaly, lake: OpenLake, devices: Mapping[str, Device], now: datetime) -> Iterator[Finding]:
    """For each minute of late whether its robust z-score has been beyond `score` for `for_minutes`."""
    newest = newest_minute(now)
    since = newest - LOOK_BACK_MINUTES * _MINUTE
    reach = rule.window_minutes + rule.for_minutes + LOOK_BACK_MINUTES
    series: dict[str, tuple[list[int], list[float]]] = {}
    given = {"metric": rule.metric, "newest": newest, "first": since - reach * _MINUTE}
    for device_id, minute, mean in _rows(lake, _SERIES, given):
        minutes, means = series.setdefault(device_id, ([], []))
        minutes.append(minute)
        means.append(mean)
    for device_id, (minutes, means) in series.items():
        if (place := of_device(rule, devices, device_id)) is None:
            continue
        times, values = np.asarray(minutes, dtype=np.int64), np.asarray(means, dtype=np.float64)
        for minute, value, holds in judge_series(rule, times, values, int(since.timestamp()) // 60):
            moment = datetime.fromtimestamp(minute * 60, timezone.utc)
            yield Finding(device_id, holds, moment, device_id, *place, rule.metric, value, rule.score)


def judge_series(rule: Anomaly, minutes: Times, values: Values, after: int) -> Iterator[tuple[int, float, bool]]:
    """Minute, value, and whether the rule holds, of each minute later than `after` that says something.

    A minute with too few before it says nothing; nor does one that is beyond, but not for long enough.

    Args:
        minutes: whole minutes since 1970, rising.
        values: the means of these minutes.
    """
    first = int(np.searchsorted(minutes, after - rule.for_minutes - LOOK_BACK_MINUTES, side="right"))
    scores = robust_scores(minutes, values, first, rule.window_minutes, rule.min_minutes)
    lasting = long_enough(minutes[first:], scores > rule.score, rule.for_minutes)
    for minute, value, score, holds in zip(minutes[first:], values[first:], scores, lasting, strict=True):
        if minute > after and (holds or score <= rule.score):
            yield int(minute), float(value), bool(holds)


def _rows(lake: OpenLake, text: str, given: Mapping[str, object]) -> list[tuple[Any, ...]]:
    if GOLD_READINGS_1MIN.full_name not in lake.tables():
        return []
    used = {name: value for name, value in given.items() if f"${name}" in text}
    return lake.sql(text, used).fetchall()


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(timezone.utc)

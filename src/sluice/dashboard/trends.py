"""Metrics over time from gold's minutes: one line a metric, broken where no reading is. Nothing is filled in."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sluice.dashboard.rows import Row, select
from sluice.dashboard.scope import Scope
from sluice.schemas import GOLD_READINGS_1MIN
from sluice.serving.lake import OpenLake

# Minutes are pruned by the partition's date and the statistics of bucket before a file is opened.
_IN_SCOPE = """bucket >= $since AND bucket < $until
    AND bucket_date >= CAST($since AS DATE) AND bucket_date <= CAST($until AS DATE)"""
_OF_DEVICES = "AND device_id IN (SELECT unnest($devices))"
_VALUES = """any_value(unit) AS unit, sum(reading_count)::BIGINT AS readings,
    sum(value_mean * reading_count) / sum(reading_count) AS mean, min(value_min) AS lowest, max(value_max) AS highest,
    sum(out_of_range_count)::BIGINT AS out_of_range"""


@dataclass(frozen=True)
class Point:
    """One bucket with readings.

    Attributes:
        bucket: its start, UTC.
        mean: of all its readings.
    """

    bucket: datetime
    readings: int
    mean: float
    lowest: float
    highest: float
    out_of_range: int


@dataclass(frozen=True)
class Trend:
    """One metric over the range of a scope.

    Attributes:
        points: in order; a bucket without readings has none.
        step: the width of a bucket.
    """

    metric: str
    unit: str | None
    points: tuple[Point, ...]
    step: timedelta

    def runs(self) -> list[list[Point]]:
        """The points in stretches without a gap."""
        runs: list[list[Point]] = []
        for point in self.points:
            if runs and point.bucket - runs[-1][-1].bucket == self.step:
                runs[-1].append(point)
            else:
                runs.append([point])
        return runs

    def gaps(self) -> list[tuple[datetime, datetime]]:
        """Start and end of each stretch without readings between the first point and the last."""
        runs = self.runs()
        return [(before[-1].bucket + self.step, after[0].bucket) for before, after in itertools.pairwise(runs)]


def read_trends(lake: OpenLake, scope: Scope) -> tuple[Trend, ...]:
    """Every metric of the scope, by name."""
    unit = "minute" if scope.step == timedelta(minutes=1) else "hour"
    sql = f"""SELECT metric, date_trunc('{unit}', bucket) AS bucket, {_VALUES}
        FROM gold.readings_1min WHERE {_where(scope)} GROUP BY 1, 2 ORDER BY 1, 2"""  # noqa: S608 (our own names)
    trends: dict[str, list[Row]] = {}
    for row in _select(lake, sql, scope):
        trends.setdefault(row["metric"], []).append(row)
    return tuple(_trend(metric, rows, scope.step) for metric, rows in trends.items())


def _trend(metric: str, rows: Sequence[Mapping[str, Any]], step: timedelta) -> Trend:
    values = ("bucket", "readings", "mean", "lowest", "highest", "out_of_range")
    return Trend(metric, rows[0]["unit"], tuple(Point(*(row[name] for name in values)) for row in rows), step)


def read_hours(lake: OpenLake, scope: Scope, limit: int) -> list[Row]:
    """Hour, device and metric with what its minutes come to, the newest hour first; at most so many rows.

    `completeness_percent` is over the minutes that hold readings; null for a device that is not registered.
    """
    sql = f"""SELECT date_trunc('hour', bucket) AS hour, device_id, metric, {_VALUES},
            count(*) AS minutes,
            least(100.0, 100.0 * sum(reading_count) / sum(expected_count)) AS completeness_percent
        FROM gold.readings_1min WHERE {_where(scope)}
        GROUP BY 1, 2, 3 ORDER BY 1 DESC, 2, 3 LIMIT {limit}"""  # noqa: S608 (our own names)
    return _select(lake, sql, scope)


def read_activity(lake: OpenLake, scope: Scope) -> list[tuple[datetime, int]]:
    """Minutes that have events, and how many: of each device the count of the metric that has most, added up.

    Gold counts readings of each metric, and an event has one of several: the greatest count is that of the events.
    """
    sql = f"""SELECT bucket, sum(events)::BIGINT AS events FROM (
            SELECT bucket, device_id, max(reading_count) AS events
            FROM gold.readings_1min WHERE {_where(scope)} GROUP BY ALL
        ) GROUP BY bucket ORDER BY bucket"""  # noqa: S608 (our own names)
    return [(row["bucket"], row["events"]) for row in _select(lake, sql, scope)]


def events_per_second(activity: Sequence[tuple[datetime, int]], minutes: int = 5) -> float | None:
    """The rate over the last whole minutes of the data; None where it has no whole minute.

    The first minute and the last one are cut off by the data's ends and do not count; one without events between them
    does.
    """
    if len(activity) < 3:
        return None
    first, last = activity[0][0] + timedelta(minutes=1), activity[-1][0]
    first = max(first, last - timedelta(minutes=minutes))
    events = sum(count for bucket, count in activity if first <= bucket < last)
    return events / (last - first).total_seconds()


def _where(scope: Scope) -> str:
    return _IN_SCOPE if scope.devices is None else f"{_IN_SCOPE} {_OF_DEVICES}"


def _select(lake: OpenLake, sql: str, scope: Scope) -> list[Row]:
    if GOLD_READINGS_1MIN.full_name not in lake.tables():
        return []
    return select(lake, sql, {"since": scope.since, "until": scope.until}, scope.devices)

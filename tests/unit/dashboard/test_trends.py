"""Lines over time from gold's minutes: exact, and broken where nothing was measured."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.serving.lake_builder import at, bronze, build_lake, minute

from sluice.dashboard.scope import Scope
from sluice.dashboard.trends import Point, events_per_second, read_activity, read_hours, read_trends
from sluice.errors import LakeMissing
from sluice.serving.lake import OpenLake, open_lake

HOUR = Scope(None, at("12:00:00"), at("13:00:00"))
HOSTILE = '"><img src=x onerror=alert(1)>'


@pytest.fixture
def lake(tmp_path: Path) -> OpenLake:
    cold = {"value_mean": 10.0, "value_min": 9.0, "value_max": 11.0}
    wet = {"metric": "humidity_percent", "unit": "%", "reading_count": 3}
    build_lake(
        tmp_path,
        {
            "gold.readings_1min": [
                minute(at("11:59:00")),
                minute(at("12:00:00"), expected_count=12.0),
                minute(at("12:00:00"), **wet),
                minute(at("12:00:00"), device_id=HOSTILE, reading_count=4, out_of_range_count=1, **cold),
                minute(at("12:01:00"), expected_count=12.0, reading_count=6),
                minute(at("12:05:00"), expected_count=12.0),
                minute(at("13:00:00")),
            ]
        },
    )
    return open_lake(tmp_path)


def test_minutes_of_all_devices_come_to_one_point_and_gaps_stay_gaps(lake: OpenLake) -> None:
    humidity, temperature = read_trends(lake, HOUR)
    assert (humidity.metric, humidity.unit, humidity.points) == (
        "humidity_percent",
        "%",
        (Point(at("12:00:00"), 3, 20.5, 20.0, 21.0, 0),),
    )
    assert temperature.points == (
        Point(at("12:00:00"), 16, (12 * 20.5 + 4 * 10.0) / 16, 9.0, 21.0, 1),
        Point(at("12:01:00"), 6, 20.5, 20.0, 21.0, 0),
        Point(at("12:05:00"), 12, 20.5, 20.0, 21.0, 0),
    )
    assert [[point.bucket for point in run] for run in temperature.runs()] == [
        [at("12:00:00"), at("12:01:00")],
        [at("12:05:00")],
    ]
    assert temperature.gaps() == [(at("12:02:00"), at("12:05:00"))]
    assert humidity.gaps() == []


def test_a_hostile_id_is_a_value_like_any(lake: OpenLake) -> None:
    (trend,) = read_trends(lake, Scope((HOSTILE,), HOUR.since, HOUR.until))
    assert trend.points == (Point(at("12:00:00"), 4, 10.0, 9.0, 11.0, 1),)


def test_no_device_has_no_lines(lake: OpenLake) -> None:
    assert read_trends(lake, Scope((), HOUR.since, HOUR.until)) == ()


def test_more_than_a_day_is_shown_by_hours(lake: OpenLake) -> None:
    days = Scope(None, at("13:00:00") - timedelta(days=2), at("14:00:00"))
    trend = read_trends(lake, days)[1]
    assert [(point.bucket, point.readings) for point in trend.points] == [
        (at("11:00:00"), 12),
        (at("12:00:00"), 34),
        (at("13:00:00"), 12),
    ]
    assert trend.gaps() == []


def test_the_hourly_table_has_the_newest_hour_first_and_judges_completeness_by_minutes_with_readings(
    lake: OpenLake,
) -> None:
    rows = read_hours(lake, Scope(("sensor-0001",), HOUR.since, at("14:00:00")), limit=2)
    assert [(row["hour"], row["metric"], row["readings"], row["minutes"]) for row in rows] == [
        (at("13:00:00"), "temperature_celsius", 12, 1),
        (at("12:00:00"), "humidity_percent", 3, 1),
    ]
    (row,) = (row for row in read_hours(lake, HOUR, limit=10) if row["readings"] == 30)
    assert row == {
        "hour": at("12:00:00"),
        "device_id": "sensor-0001",
        "metric": "temperature_celsius",
        "unit": "°C",
        "readings": 30,
        "mean": 20.5,
        "lowest": 20.0,
        "highest": 21.0,
        "out_of_range": 0,
        "minutes": 3,
        "completeness_percent": 100 * 30 / 36,
    }


def test_events_of_a_minute_are_counted_by_the_metric_that_has_most(lake: OpenLake) -> None:
    assert read_activity(lake, HOUR) == [(at("12:00:00"), 16), (at("12:01:00"), 6), (at("12:05:00"), 12)]


@pytest.mark.parametrize(
    ("activity", "rate"),
    [
        ([("12:00:00", 7), ("12:01:00", 600), ("12:02:00", 9)], 10.0),
        ([("12:00:00", 7), ("12:01:00", 600), ("12:03:00", 9)], 5.0),
        ([("12:00:00", 600), *((f"12:0{minute}:00", 300) for minute in range(1, 8)), ("12:08:00", 1)], 5.0),
        ([("12:00:00", 7), ("12:01:00", 600)], None),
        ([], None),
    ],
)
def test_the_rate_is_over_the_last_whole_minutes_silent_ones_too(
    activity: list[tuple[str, int]], rate: float | None
) -> None:
    assert events_per_second([(at(moment), events) for moment, events in activity]) == rate


def test_a_file_that_went_away_is_said_in_one_line(lake: OpenLake) -> None:
    for file in lake.path.rglob("*.parquet"):
        file.unlink()
    with pytest.raises(LakeMissing, match="a file of the lake went away while it was read"):
        read_trends(lake, HOUR)


def test_a_lake_without_minutes_has_no_lines(tmp_path: Path) -> None:
    lake = open_lake(build_lake(tmp_path, {"bronze.events": [bronze(1)]}))
    assert (read_trends(lake, HOUR), read_hours(lake, HOUR, 9), read_activity(lake, HOUR)) == ((), [], [])

"""The shipped queries that are made from gold's minutes, each against plain Python over the rows that were written."""

from __future__ import annotations

import math
import random
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from .lake_builder import Row, ask, at, build_lake, minute

TEMPERATURE, HUMIDITY = "temperature_celsius", "humidity_percent"
HOSTILE = "x'; DROP TABLE gold.readings_1min; --"
# What was measured, value by value, by device, metric and minute: minutes are made from it, and so is what is expected.
Measured = dict[tuple[str, str, datetime], list[float]]
SERIES_QUERIES = ("hourly", "daily_summary", "completeness", "correlation", "anomalies", "silent_devices")


def measure() -> Measured:
    dice = random.Random(7)
    return {
        (device, metric, at("22:00:00") + timedelta(minutes=number)): [
            round(dice.gauss(20, 3), 2) for _ in range(dice.choice([1, 2, 12]))
        ]
        for device in ("sensor-0001", HOSTILE)
        for metric in (TEMPERATURE, HUMIDITY)
        for number in range(0, 150, 7)
    }


def minutes_of(measured: Measured, **odd: object) -> list[Row]:
    return [
        minute(
            bucket,
            device_id=device,
            metric=metric,
            unit="°C" if metric == TEMPERATURE else "%",
            reading_count=len(values),
            value_mean=statistics.fmean(values),
            value_min=min(values),
            value_max=max(values),
            value_stddev=statistics.stdev(values) if len(values) > 1 else None,
            out_of_range_count=len(values) // 6,
            **odd,
        )
        for (device, metric, bucket), values in measured.items()
    ]


MEASURED = measure()


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_lake(tmp_path_factory.mktemp("lake"), {"gold.readings_1min": minutes_of(MEASURED)})


def near(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows that are compared to nine digits where they hold floats."""
    return [
        {key: pytest.approx(value, rel=1e-9) if isinstance(value, float) else value for key, value in row.items()}
        for row in rows
    ]


def summary(values: Sequence[float]) -> dict[str, Any]:
    return {
        "reading_count": len(values),
        "value_mean": statistics.fmean(values),
        "value_min": min(values),
        "value_max": max(values),
        "value_stddev": statistics.stdev(values) if len(values) > 1 else None,
    }


def test_hours_are_what_their_readings_tell_not_their_minutes(lake: Path) -> None:
    hours: dict[tuple[datetime, str], list[list[float]]] = defaultdict(list)
    for (device, metric, bucket), values in MEASURED.items():
        if metric == HUMIDITY:
            hours[bucket.replace(minute=0), device].append(values)

    assert ask(lake, "hourly", metric=HUMIDITY) == near(
        {
            "hour": hour,
            "device_id": device,
            "unit": "%",
            "minutes": len(lists),
            **summary([value for values in lists for value in values]),
            "out_of_range_count": sum(len(values) // 6 for values in lists),
        }
        for (hour, device), lists in sorted(hours.items())
    )
    assert {row["device_id"] for row in ask(lake, "hourly", device_id=HOSTILE)} == {HOSTILE}
    bounded = ask(lake, "hourly", since="2026-03-01T23:00:00Z", until="2026-03-01T23:08:00Z", device_id="sensor-0001")
    assert [(row["hour"], row["minutes"]) for row in bounded] == [(at("23:00:00"), 1)]


def test_an_hour_of_one_reading_has_no_standard_deviation_and_one_of_large_equal_values_has_0(tmp_path: Path) -> None:
    large = 1e12 + 0.1
    measured: Measured = {
        ("one", TEMPERATURE, at("12:00:00")): [5.0],
        ("large", TEMPERATURE, at("12:00:00")): [large] * 3,
        ("large", TEMPERATURE, at("12:01:00")): [large] * 2,
    }
    lake = build_lake(tmp_path, {"gold.readings_1min": minutes_of(measured)})

    assert [(row["device_id"], row["value_stddev"]) for row in ask(lake, "hourly")] == [
        ("large", pytest.approx(0, abs=1e-3)),
        ("one", None),
    ]


def test_the_daily_summary_is_over_all_devices_and_ends_at_midnight(lake: Path) -> None:
    days: dict[tuple[Any, str], list[tuple[str, list[float]]]] = defaultdict(list)
    for (device, metric, bucket), values in MEASURED.items():
        days[bucket.date(), metric].append((device, values))

    assert ask(lake, "daily_summary") == near(
        {
            "day": day,
            "metric": metric,
            "unit": "°C" if metric == TEMPERATURE else "%",
            "devices": len({device for device, _ in found}),
            **summary([value for _, values in found for value in values]),
            "out_of_range_count": sum(len(values) // 6 for _, values in found),
        }
        for (day, metric), found in sorted(days.items())
    )
    assert {row["devices"] for row in ask(lake, "daily_summary", device_id=HOSTILE, metric=HUMIDITY)} == {1}


def test_completeness_lists_silent_hours_and_expects_nothing_of_what_has_not_come_yet(tmp_path: Path) -> None:
    # Registered to report every 30 s; the newest minute is 13:29, so 30 minutes of its hour have passed.
    rows = [
        minute(at(time), device_id=device, reading_count=count, expected_count=expected)
        for device, time, count, expected in (
            ("steady", "10:00:00", 60, 2.0),
            ("steady", "12:59:00", 999, 2.0),
            ("steady", "13:29:00", 30, 2.0),
            ("seldom", "11:30:00", 1, 0.5),
            ("stranger", "11:30:00", 7, None),
        )
    ]
    lake = build_lake(tmp_path, {"gold.readings_1min": rows})

    def told(**given: str) -> list[tuple[Any, ...]]:
        rows = ask(lake, "completeness", **given)
        return [
            (row["hour"].hour, row["device_id"], row["readings"], row["expected"], row["completeness_percent"])
            for row in rows
        ]

    assert told() == [
        (10, "seldom", 0, 30, 0),
        (10, "steady", 60, 120, 50),
        (11, "seldom", 1, 30, pytest.approx(100 / 30)),
        (11, "steady", 0, 120, 0),
        (12, "seldom", 0, 30, 0),
        (12, "steady", 999, 120, 100),
        (13, "seldom", 0, 15, 0),
        (13, "steady", 30, 60, 50),
    ]
    assert told(hours="1", until="2026-03-01T13:00:00Z") == [(12, "steady", 999, 120, 100)]
    assert told(hours="2", device_id="steady") == [(12, "steady", 999, 120, 100), (13, "steady", 30, 60, 50)]


def test_correlation_is_pearsons_over_minutes_that_have_both(lake: Path) -> None:
    means = {key: statistics.fmean(values) for key, values in MEASURED.items()}
    expected = []
    for device in ("sensor-0001", HOSTILE):
        buckets = [bucket for own, metric, bucket in means if (own, metric) == (device, TEMPERATURE)]
        pairs = [(means[device, TEMPERATURE, bucket], means[device, HUMIDITY, bucket]) for bucket in buckets]
        expected.append((device, len(pairs), statistics.correlation(*zip(*pairs, strict=True))))
    expected.sort(key=lambda row: -abs(row[2]))

    answer = ask(lake, "correlation")

    assert [tuple(row.values()) for row in answer] == [
        (device, minutes, pytest.approx(value, abs=1e-9)) for device, minutes, value in expected
    ]


def test_correlation_is_unknown_where_nothing_varies_and_survives_huge_values(tmp_path: Path) -> None:
    pairs = {
        "constant": [(1.0, 1.0), (1.0, 2.0)],
        "huge": [(1e300, -1e300), (-1e300, 1e300), (0.0, 0.0)],
        "once": [(1.0, 2.0)],
    }
    rows = [
        minute(at(f"12:0{number}:00"), device_id=device, metric=metric, value_mean=value)
        for device, found in pairs.items()
        for number, pair in enumerate(found)
        for metric, value in zip((TEMPERATURE, HUMIDITY), pair, strict=True)
    ]
    rows.append(minute(at("12:09:00"), device_id="huge", value_mean=4.0))

    answer = ask(build_lake(tmp_path, {"gold.readings_1min": rows}), "correlation")

    assert [tuple(row.values()) for row in answer] == [
        ("huge", 3, pytest.approx(-1)),
        ("constant", 2, None),
        ("once", 1, None),
    ]


def score(values: Sequence[float], value: float) -> float | None:
    middle = statistics.median(values)
    deviations = [abs(each - middle) for each in values]
    mad, mean = (round(each(deviations), 12) for each in (statistics.median, statistics.fmean))
    if mad:
        return 0.6745 * (value - middle) / mad
    return (value - middle) / (1.253314 * mean) if mean else None


def test_anomalies_are_scored_against_their_own_device_and_metric(tmp_path: Path) -> None:
    series = {
        "spiky": [20.0, 20.1, 19.9, 20.2, 19.8, 35.0, 20.0, 12.0],
        # More than half have the median itself.
        "mostly_flat": [5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 9.0],
        "flat": [7.0] * 8,
        # Equal readings whose means differ by rounding alone, and one minute that is another.
        "rounded_flat": [0.3, 0.1 + 0.2, 0.3, 0.1 + 0.2, 0.3, 0.1 + 0.2, 0.3, 0.1 + 0.2],
        "rounded": [36.5, *[36.6, 36.60000000000001] * 4],
        "wide": [1.0, 30.0, 12.0, 44.0, 25.0, 8.0, 19.0, 50.0],
    }
    rows = [
        minute(at(f"12:0{number}:00"), device_id=device, value_mean=value)
        for device, values in series.items()
        for number, value in enumerate(values)
    ]
    lake = build_lake(tmp_path, {"gold.readings_1min": rows})
    scored = [
        (score(values, value), at(f"12:0{number}:00"), device, value)
        for device, values in series.items()
        for number, value in enumerate(values)
    ]

    for threshold in (3.5, 0.5):
        expected = sorted(
            ((known, *rest) for known, *rest in scored if known is not None and abs(known) >= threshold),
            key=lambda row: (-abs(row[0]), row[1], row[2]),
        )
        answer = ask(lake, "anomalies", threshold=str(threshold))
        assert [(row["score"], row["bucket"], row["device_id"], row["value_mean"]) for row in answer] == [
            (pytest.approx(known), *rest) for known, *rest in expected
        ]
    assert [row["device_id"] for row in ask(lake, "anomalies")] == ["spiky", "spiky", "rounded", "mostly_flat"]


def test_a_device_is_silent_from_so_many_minutes_on_by_its_newest_metric(tmp_path: Path) -> None:
    rows = [
        {"device_id": device, "metric": metric, "event_time": at(time), "expected_interval_seconds": interval}
        for device, metric, time, interval in (
            ("half", TEMPERATURE, "11:00:00", 5.0),
            ("half", HUMIDITY, "11:55:00", 5.0),
            ("exactly", TEMPERATURE, "11:50:00", 60.0),
            ("long", TEMPERATURE, "10:00:00", None),
            ("ahead", TEMPERATURE, "12:04:00", 5.0),
            (HOSTILE, TEMPERATURE, "10:00:00", 3600.0),
        )
    ]
    lake = build_lake(tmp_path, {"gold.latest_readings": rows})
    columns = ("device_id", "last_event_time", "minutes_silent", "expected_interval_seconds", "intervals_missed")

    assert ask(lake, "silent_devices", at="2026-03-01T12:00:00Z") == [
        dict(zip(columns, row, strict=True))
        for row in (
            ("long", at("10:00:00"), 120, None, None),
            (HOSTILE, at("10:00:00"), 120, 3600, 2),
            ("exactly", at("11:50:00"), 10, 60, 10),
        )
    ]
    assert len(ask(lake, "silent_devices", at="2026-03-01T12:00:00Z", minutes="5")) == 4
    assert len(ask(lake, "silent_devices")) == 5


@pytest.mark.parametrize("name", SERIES_QUERIES)
def test_of_empty_tables_the_answer_is_empty(tmp_path: Path, name: str) -> None:
    assert ask(build_lake(tmp_path, {"gold.readings_1min": [], "gold.latest_readings": []}), name) == []


def test_sums_beyond_what_a_float_holds_stop_no_query(tmp_path: Path) -> None:
    rows = [minute(at(f"12:0{number}:00"), value_mean=1.7e308, value_stddev=1e200) for number in range(3)]
    lake = build_lake(tmp_path, {"gold.readings_1min": rows})

    assert [row["value_mean"] for row in ask(lake, "hourly")] == [math.inf]
    assert [row["value_mean"] for row in ask(lake, "daily_summary")] == [math.inf]
    assert ask(lake, "anomalies") == []

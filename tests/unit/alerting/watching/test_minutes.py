"""Rate of change, flat line and anomaly, of minutes."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from tests.unit.alerting.watching.scene import Open, find
from tests.unit.serving.lake_builder import Row, at, build_lake, minute

NOW = at("12:30:20")
CHANGE = {"type": "rate_of_change", "metric": "temperature_celsius", "change": 5, "within_minutes": 2}
FLAT = {"type": "flat_line", "metric": "temperature_celsius", "minutes": 3, "min_readings": 6}
ANOMALY = {"type": "anomaly", "metric": "temperature_celsius", "window_minutes": 20, "score": 5, "min_minutes": 10}


def means(*values: float, until: str = "12:29:00", device_id: str = "sensor-0001") -> list[Row]:
    """Minutes one after the other with these means, the last at `until`."""
    first = at(until) - timedelta(minutes=len(values) - 1)
    return [
        minute(
            first + timedelta(minutes=place), device_id=device_id, value_mean=value, value_min=value, value_max=value
        )
        for place, value in enumerate(values)
    ]


def lake_of(tmp_path: Path, rows: list[Row]) -> Path:
    return build_lake(tmp_path / "lake", {"gold.readings_1min": rows})


def test_a_minute_that_differs_from_the_one_two_before_by_more_than_the_change_raises(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, means(20, 21, 25, 26.5))
    assert find(lake, NOW, **CHANGE) == [("raise", "sensor-0001", at("12:29:00"), 5.5, 5)]


def test_a_fall_is_a_change_as_well(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, means(20, 21, 12))
    assert find(lake, NOW, **CHANGE) == [("raise", "sensor-0001", at("12:29:00"), -8, 5)]


def test_a_minute_without_one_to_compare_with_is_not_judged(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, means(1, until="12:26:00") + means(99, until="12:29:00"))
    assert find(lake, NOW, **CHANGE) == []


def test_the_minute_that_is_not_over_is_not_judged(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, means(20, 20, 50, until="12:30:00"))
    assert find(lake, NOW, **CHANGE) == []
    assert [found[0] for found in find(lake, at("12:31:00"), **CHANGE)] == ["raise"]


def test_history_raises_nothing(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, means(20, 20, 50, until="12:19:00"))
    assert find(lake, NOW, **CHANGE) == []


def test_a_calm_minute_clears_an_open_alert_and_only_a_later_one_does(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, means(20, 21, 22))
    assert find(lake, NOW, Open("r", "sensor-0001", at("12:28:00")), **CHANGE) == [
        ("clear", "sensor-0001", at("12:29:00"), 2, 5)
    ]
    assert find(lake, NOW, Open("r", "sensor-0001", at("12:29:00")), **CHANGE) == []
    assert find(lake, NOW, **CHANGE) == []


def test_three_minutes_of_one_value_are_a_flat_line(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, means(20, 21, 21, 21))
    assert find(lake, NOW, **FLAT) == [("raise", "sensor-0001", at("12:29:00"), 21, None)]


def test_a_minute_that_moves_within_itself_is_not_flat_though_its_mean_is_the_same(tmp_path: Path) -> None:
    rows = [*means(21, 21), minute(at("12:29:00"), value_mean=21.0, value_min=20.0, value_max=22.0)]
    rows[0]["bucket"], rows[1]["bucket"] = at("12:27:00"), at("12:28:00")  # type: ignore[index]
    assert find(lake_of(tmp_path, rows), NOW, **FLAT) == []


def test_too_few_readings_are_no_flat_line(tmp_path: Path) -> None:
    rows = [{**row, "reading_count": 1} for row in means(21, 21, 21)]
    assert find(lake_of(tmp_path, rows), NOW, **FLAT) == []


def test_minutes_without_readings_are_passed_over(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, means(21, until="12:25:00") + means(21, 21))
    assert [found[:3] for found in find(lake, NOW, **FLAT)] == [("raise", "sensor-0001", at("12:29:00"))]


def test_a_value_far_from_the_median_of_those_before_is_an_anomaly(tmp_path: Path) -> None:
    # Median 20, median absolute deviation 1: 28 lies 8 / 1.4826 = 5.40 from it, 27 only 4.72.
    lake = lake_of(tmp_path, means(*[19, 20, 21] * 5, 28) + means(*[19, 20, 21] * 5, 27, device_id="sensor-0002"))
    assert find(lake, NOW, **ANOMALY) == [("raise", "sensor-0001", at("12:29:00"), 28, 5)]


def test_with_too_few_minutes_before_there_is_no_anomaly(tmp_path: Path) -> None:
    assert find(lake_of(tmp_path, means(*[19, 20, 21] * 3, 99)), NOW, **ANOMALY) == []


def test_any_other_value_after_a_constant_is_an_anomaly(tmp_path: Path) -> None:
    assert [found[3] for found in find(lake_of(tmp_path, means(*[20] * 12, 20.1)), NOW, **ANOMALY)] == [20.1]


@pytest.mark.parametrize(("lasting", "raised"), [(1, []), (2, []), (3, [at("12:29:00")])])
def test_an_anomaly_must_last(tmp_path: Path, lasting: int, raised: list[datetime]) -> None:
    lake = lake_of(tmp_path, means(*[19, 20, 21] * 5, *[90] * lasting))
    assert [found[2] for found in find(lake, NOW, **ANOMALY, for_minutes=3)] == raised


def test_an_anomaly_that_has_not_lasted_clears_nothing(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, means(*[19, 20, 21] * 5, 90))
    alert = Open("r", "sensor-0001", at("12:28:00"))
    assert find(lake, NOW, alert, **ANOMALY, for_minutes=3) == []


def test_devices_and_sites_choose(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, means(20, 20, 50) + means(20, 20, 50, device_id="sensor-0002"))
    assert [found[1] for found in find(lake, NOW, **CHANGE, sites=["oslo"])] == ["sensor-0002"]
    assert [found[1] for found in find(lake, NOW, **CHANGE, devices=["*-0001"])] == ["sensor-0001"]


def test_without_the_table_nothing_is_found(tmp_path: Path) -> None:
    lake = build_lake(tmp_path / "lake", {"gold.held": []})
    assert [find(lake, NOW, **rule) for rule in (CHANGE, FLAT, ANOMALY)] == [[], [], []]

"""Rules over devices and gates, what clears rules of one reading, and what a watch says again."""

from __future__ import annotations

from pathlib import Path

from tests.unit.alerting.watching.scene import DEVICES, Open, find, opened, watch
from tests.unit.serving.lake_builder import Row, at, build_lake, promotion, reading

NOW = at("12:30:20")
OFFLINE = {"type": "offline", "missed_intervals": 6}
HOT = {"type": "threshold", "metric": "temperature_celsius", "above": 60, "clear_below": 50}
ALERT = Open("r", "sensor-0001", at("12:20:00"))


def latest(device_id: str, time: str, value: float = 20.0, metric: str = "temperature_celsius") -> Row:
    return {"device_id": device_id, "metric": metric, "value": value, "event_time": at(time)}


def lake_of(tmp_path: Path, name: str, *rows: Row) -> Path:
    return build_lake(tmp_path / "lake", {name: rows})


def test_a_device_is_offline_once_its_intervals_are_over(tmp_path: Path) -> None:
    lake = lake_of(
        tmp_path,
        "gold.latest_readings",
        latest("sensor-0001", "12:29:00"),
        latest("sensor-0001", "12:28:00", metric="battery_percent"),
        latest("sensor-0002", "12:30:00"),
        latest("stranger", "09:00:00"),
    )
    assert find(lake, NOW, **OFFLINE) == [("raise", "sensor-0001", at("12:29:30"), 80, 30)]
    assert find(lake, NOW, type="offline", after_seconds=3600) == [("raise", "stranger", at("10:00:00"), 12620, 3600)]


def test_a_device_that_reports_again_is_online(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, "gold.latest_readings", latest("sensor-0001", "12:30:00"))
    assert find(lake, NOW, ALERT, **OFFLINE) == [("clear", "sensor-0001", at("12:30:00"), 20, 30)]


def test_a_bad_band_of_today_raises_and_a_better_one_clears(tmp_path: Path) -> None:
    score = {"day": NOW.date(), "customer": "acme", "score": 61.5, "band": "critical", "updated_at": at("12:25:00")}
    lake = lake_of(
        tmp_path,
        "gold.quality_scores",
        {**score, "device_id": "sensor-0001"},
        {**score, "device_id": "sensor-0002", "band": "good", "score": 99.0},
    )
    assert find(lake, NOW, type="quality_band", bands=["critical"]) == [
        ("raise", "sensor-0001", at("12:25:00"), 61.5, None)
    ]
    alert = Open("r", "sensor-0002", at("12:20:00"))
    assert find(lake, NOW, alert, type="quality_band", bands=["critical"], devices=["*2"]) == [
        ("clear", "sensor-0002", at("12:25:00"), 99.0, None)
    ]


def test_the_newest_batch_of_a_gate_decides(tmp_path: Path) -> None:
    rows = [
        promotion(1, batch_id=1, verdict="PROMOTE", decided_at=at("12:00:00")),
        promotion(2, batch_id=2, verdict="HOLD", rows_held=7, decided_at=at("12:01:00")),
        promotion(3, batch_id=3, verdict="EMPTY", decided_at=at("12:02:00")),
        promotion(4, kind="approve", verdict="PROMOTE", decided_at=at("12:03:00")),
    ]
    lake = lake_of(tmp_path, "ops.silver_promotions", *rows)
    assert find(lake, NOW, type="gate", when=["hold"]) == [("raise", "gate:silver", at("12:01:00"), 7, None)]
    assert find(lake, NOW, type="gate", when=["breaker_open"]) == []


def test_an_open_breaker_raises_and_a_promoted_batch_clears(tmp_path: Path) -> None:
    row = promotion(1, batch_id=1, verdict="HOLD", breaker_state="open", rows_held=7, decided_at=at("12:01:00"))
    lake = lake_of(tmp_path, "ops.silver_promotions", row)
    rule = {"type": "gate", "when": ["breaker_open"]}
    assert find(lake, NOW, **rule) == [("raise", "gate:silver", at("12:01:00"), 7, None)]
    build_lake(lake, {"ops.silver_promotions": [promotion(2, batch_id=2, decided_at=at("12:04:00"))]})
    assert find(lake, NOW, Open("r", "gate:silver", at("12:01:00")), **rule) == [
        ("clear", "gate:silver", at("12:04:00"), 0, None)
    ]


def test_between_the_limit_and_the_way_back_nothing_is_said(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, "gold.latest_readings", latest("sensor-0001", "12:21:00", 55.0))
    assert find(lake, NOW, ALERT, **HOT) == []
    build_lake(tmp_path / "cool", {"gold.latest_readings": [latest("sensor-0001", "12:22:00", 50.0)]})
    assert find(tmp_path / "cool", NOW, ALERT, **HOT) == [("clear", "sensor-0001", at("12:22:00"), 50.0, None)]


def test_a_reading_older_than_the_alert_clears_nothing(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, "gold.latest_readings", latest("sensor-0001", "12:19:00", 20.0))
    assert find(lake, NOW, ALERT, **HOT) == []


def test_only_subjects_with_an_open_alert_are_cleared(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, "gold.latest_readings", latest("sensor-0002", "12:25:00", 20.0))
    assert find(lake, NOW, ALERT, **HOT) == []


def test_the_registered_range_and_the_battery_have_a_way_back(tmp_path: Path) -> None:
    lake = lake_of(
        tmp_path,
        "gold.latest_readings",
        latest("sensor-0001", "12:25:00", 45.0),
        latest("sensor-0001", "12:25:00", 15.0, "battery_percent"),
    )
    cleared = ("clear", "sensor-0001", at("12:25:00"))
    ranged = find(lake, NOW, ALERT, type="out_of_range", metric="temperature_celsius")
    assert [found[:3] for found in ranged] == [cleared]
    assert [found[:3] for found in find(lake, NOW, ALERT, type="battery_low", below_percent=10)] == [cleared]
    assert find(lake, NOW, ALERT, type="battery_low", below_percent=10, clear_above_percent=20) == []


def test_a_later_reading_with_another_status_or_none_clears(tmp_path: Path) -> None:
    rows = [
        reading(1, at("12:21:00"), status="ok"),
        reading(2, at("12:22:00"), status="error"),
        reading(3, at("12:23:00"), status="ok", device_id="sensor-0002"),
        reading(4, at("12:25:00"), status=None, device_id="sensor-0002"),
    ]
    lake = lake_of(tmp_path, "silver.readings", *rows)
    second = Open("r", "sensor-0002", at("12:20:00"))
    found = find(lake, NOW, ALERT, second, type="status", statuses=["error"])
    assert found == [("clear", "sensor-0002", at("12:25:00"), None, None)]


def test_what_was_said_is_said_again_only_after_the_cooldown(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, "gold.latest_readings", latest("sensor-0001", "12:00:00"))
    eyes = watch(lake, **OFFLINE, cooldown_seconds=60)
    times = ["12:30:00", "12:30:59", "12:31:00"]
    assert [len(eyes.find_signals({}, at(time))) for time in times] == [1, 0, 1]
    ids = {watch(lake, **OFFLINE).find_signals({}, at(time))[0].signal_id for time in times}
    assert len(ids) == 1


def test_a_signal_names_customer_and_site_of_its_device(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, "gold.latest_readings", latest("sensor-0002", "12:00:00"))
    (signal,) = watch(lake, **OFFLINE).find_signals(opened(), NOW)
    assert (signal.customer, signal.site, signal.severity) == (DEVICES["sensor-0002"].customer, "oslo", "warning")


def test_without_a_lake_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert find(tmp_path / "nowhere", NOW, **OFFLINE) == []

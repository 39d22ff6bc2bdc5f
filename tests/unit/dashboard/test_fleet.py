"""Devices with whom they belong to, online or not, and the ranges they share."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.dashboard.lake import REGISTRY, latest
from tests.unit.serving.lake_builder import at, build_lake, config, promotion

from sluice.dashboard.fleet import Device, Latest, in_scope, read_fleet, read_ranges
from sluice.serving.lake import OpenLake, open_lake


@pytest.fixture
def lake(tmp_path: Path) -> OpenLake:
    build_lake(
        tmp_path,
        {
            "gold.latest_readings": [
                latest("sensor-0002", at("12:00:00"), metric="humidity_percent", value=40.0),
                latest("sensor-0002", at("11:00:00")),
                latest("meter-1", at("12:00:00"), metric="power_watt"),
                latest("stranger", at("12:00:00"), expected_interval_seconds=None),
            ],
            "ops.silver_promotions": [
                promotion(1, registry_hash="old", decided_at=at("10:00:00")),
                promotion(2, registry_hash="new", decided_at=at("11:00:00")),
                promotion(3, registry_hash=None, kind="reject", decided_at=at("12:00:00")),
            ],
            "ops.configs": [config("registry", "old", "devices: []"), config("registry", "new", REGISTRY)],
        },
    )
    return open_lake(tmp_path)


def test_a_device_has_its_newest_readings_and_its_entry_in_the_registry_in_use(lake: OpenLake) -> None:
    meter, sensor, stranger = read_fleet(lake)
    assert sensor == Device(
        "sensor-0002",
        "acme",
        "berlin",
        5.0,
        (
            Latest("humidity_percent", 40.0, at("12:00:00"), "valid"),
            Latest("temperature_celsius", 20.5, at("11:00:00"), "valid"),
        ),
    )
    assert (meter.customer, meter.site, meter.last_seen) == ("globex", "madrid", at("12:00:00"))
    assert (stranger.customer, stranger.site, stranger.expected_interval_seconds) == (None, None, None)


@pytest.mark.parametrize(
    ("interval", "silent_seconds", "online"),
    [(5.0, 75, True), (5.0, 76, False), (60.0, 240, True), (60.0, 241, False), (None, 0, None)],
)
def test_a_device_is_online_for_three_intervals_and_a_minute(
    interval: float | None, silent_seconds: int, online: bool | None
) -> None:
    device = Device("a", None, None, interval, (Latest("m", 1.0, at("12:00:00"), None),))
    minutes, seconds = divmod(silent_seconds, 60)
    assert device.is_online(at(f"12:{minutes:02d}:{seconds:02d}")) is online


@pytest.mark.parametrize(
    ("devices", "ranges"),
    [
        (("sensor-0001",), {"temperature_celsius": (-10, 45), "humidity_percent": (5, None)}),
        (("sensor-0001", "sensor-0002", "meter-1", "stranger"), {
            "temperature_celsius": (-10, 45), "humidity_percent": (5, None), "power_watt": (0, 3500)
        }),
        (("sensor-0001", "sensor-0003"), {"humidity_percent": (5, None)}),
        (("stranger",), {}),
        ((), {}),
    ],
)  # fmt: skip
def test_a_range_is_shown_that_all_devices_share(
    lake: OpenLake, devices: tuple[str, ...], ranges: dict[str, tuple[float | None, float | None]]
) -> None:
    assert read_ranges(lake, devices) == ranges


def test_devices_out_of_the_scope_are_left_out(lake: OpenLake) -> None:
    fleet = read_fleet(lake)
    assert [device.device_id for device in in_scope(fleet, ("stranger", "gone"))] == ["stranger"]
    assert in_scope(fleet, None) == fleet


def test_a_lake_without_devices_has_none(tmp_path: Path) -> None:
    lake = open_lake(build_lake(tmp_path, {"ops.silver_promotions": [promotion(1)]}))
    assert (read_fleet(lake), read_ranges(lake, ("sensor-0001",))) == ((), {})

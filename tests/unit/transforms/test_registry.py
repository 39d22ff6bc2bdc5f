from __future__ import annotations

from typing import Any

import pytest
from pyspark.sql import SparkSession

from sluice.errors import RegistryInvalid
from sluice.settings import home, read_yaml
from sluice.transforms.contract import check_time_zone
from sluice.transforms.registry import REGISTRY_DDL, parse_registry, registry_rows

REMOVED = object()


def device(**keys: Any) -> dict[str, Any]:
    """A valid entry; REMOVED takes a key away."""
    entry = {
        "device_id": "sensor-1",
        "customer": "acme",
        "site": "berlin",
        "expected_interval_seconds": 5,
        "metrics": {"temperature_celsius": {"unit": "°C", "min": -10, "max": 45}},
        **keys,
    }
    return {key: value for key, value in entry.items() if value is not REMOVED}


def identifiers(*entries: dict[str, Any]) -> list[str]:
    return [each.device_id for each in parse_registry({"devices": list(entries)}).devices]


@pytest.mark.parametrize(
    ("written", "expanded"),
    [
        ("sensor-1", ["sensor-1"]),
        ("sensor-{8..11}", ["sensor-8", "sensor-9", "sensor-10", "sensor-11"]),
        ("sensor-{008..011}", ["sensor-008", "sensor-009", "sensor-010", "sensor-011"]),
        ("{1..2}-a", ["1-a", "2-a"]),
        ("hall-{7..7}", ["hall-7"]),
        ("a{b}c", ["a{b}c"]),
        ("温度-{1..2}", ["温度-1", "温度-2"]),
    ],
)
def test_a_range_of_ids_is_written_out_with_the_width_of_its_first(written: str, expanded: list[str]) -> None:
    assert identifiers(device(device_id=written)) == expanded


def test_a_registry_may_be_empty() -> None:
    assert parse_registry({}).devices == parse_registry({"devices": None}).devices == ()


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        ({"device": []}, "unknown key device"),
        ({"devices": {"a": 1}}, "devices must be a list"),
        ({"devices": ["sensor-1"]}, r"devices\[0\] must hold keys"),
        ({"devices": [device(), device()]}, r"devices\[1\]: sensor-1 is registered twice"),
        ({"devices": [device(device_id="s{1..5}"), device(device_id="s3")]}, r"devices\[1\]: s3 is registered twice"),
        ({"devices": [device(colour="red")]}, r"devices\[0\]: unknown key colour"),
        ({"devices": [device(device_id=REMOVED)]}, r"devices\[0\]: device_id must be a text"),
        ({"devices": [device(device_id=12)]}, "device_id must be a text"),
        ({"devices": [device(device_id="")]}, "device_id must be a text"),
        ({"devices": [device(device_id="s{9..1}")]}, r"devices\[0\] \(s\{9..1\}\): the range must rise"),
        ({"devices": [device(device_id="s{1..99999999}")]}, "the range must rise and hold at most 1000000 devices"),
        ({"devices": [device(expected_interval_seconds=REMOVED)]}, "expected_interval_seconds must be greater than 0"),
        ({"devices": [device(expected_interval_seconds=0)]}, "expected_interval_seconds must be greater than 0"),
        ({"devices": [device(expected_interval_seconds="5")]}, "expected_interval_seconds must be a number, not '5'"),
        ({"devices": [device(expected_interval_seconds=True)]}, "expected_interval_seconds must be a number"),
        ({"devices": [device(latitude=float("nan"))]}, "latitude must be a number, not nan"),
        ({"devices": [device(customer=7)]}, "customer must be a text, not 7"),
        ({"devices": [device(assume_time_zone="CEST+1")]}, "unknown time zone 'CEST\\+1'"),
        ({"devices": [device(metrics=REMOVED)]}, "metrics must hold name"),
        ({"devices": [device(metrics={})]}, "metrics must hold name"),
        ({"devices": [device(metrics={"Power": {}})]}, "metric Power: a metric's name is small letters"),
        ({"devices": [device(metrics={"a`b": {}})]}, "a metric's name is small letters"),
        ({"devices": [device(metrics={"power": None})]}, "metric power may hold unit, min and max"),
        ({"devices": [device(metrics={"power": {"maximum": 1}})]}, "metric power may hold unit, min and max"),
        ({"devices": [device(metrics={"power": {"min": 5, "max": 1}})]}, "metric power: min 5 is greater than max 1"),
        ({"devices": [device(metrics={"power": {"min": "5"}})]}, "metric power: min must be a number, not '5'"),
        ({"devices": [device(metrics={"power": {"unit": 1}})]}, "metric power: unit must be a text, not 1"),
        (
            {"devices": [device(metrics={"temperature_celsius": {"unit": "°F"}})]},
            "the unit of temperature_celsius is °C, not °F",
        ),
    ],
)
def test_a_registry_that_cannot_be_applied_whole_is_refused_by_name(content: dict[str, Any], fact: str) -> None:
    with pytest.raises(RegistryInvalid, match=fact) as refused:
        parse_registry(content, "conf/x.yaml")
    assert refused.value.message.startswith("conf/x.yaml: ")
    assert refused.value.hint


def test_only_a_device_with_one_metric_says_what_its_readings_measure(spark: SparkSession) -> None:
    one = device(
        device_id="meter", metrics={"power_watt": {"unit": "W", "max": 3500}}, assume_time_zone="Europe/Berlin"
    )
    climate = device(device_id="thermometer", customer=REMOVED, site=REMOVED)
    two = device(device_id="sensor", metrics={"humidity_percent": {"min": 5}, "battery_percent": {}})
    registry = parse_registry({"devices": [one, climate, two]})
    found = spark.createDataFrame(registry_rows(registry), REGISTRY_DDL).collect()
    assert [{name: value for name, value in row.asDict().items() if value is not None} for row in found] == [
        {
            "device_id": "meter",
            "customer": "acme",
            "site": "berlin",
            "expected_interval_seconds": 5.0,
            "assume_time_zone": "Europe/Berlin",
            "registered_metric": "power_watt",
            "value_registered_max": 3500.0,
        },
        {
            "device_id": "thermometer",
            "expected_interval_seconds": 5.0,
            "registered_metric": "temperature_celsius",
            "temperature_celsius_registered_min": -10.0,
            "temperature_celsius_registered_max": 45.0,
            "value_registered_min": -10.0,
            "value_registered_max": 45.0,
        },
        {
            "device_id": "sensor",
            "customer": "acme",
            "site": "berlin",
            "expected_interval_seconds": 5.0,
            "humidity_percent_registered_min": 5.0,
        },
    ]


def test_units_are_those_of_metrics_without_a_column_and_the_first_device_decides() -> None:
    entries = [
        device(device_id="a", metrics={"power": {"unit": "W"}, "temperature_celsius": {}}),
        device(device_id="b", metrics={"power": {"unit": "kW"}, "flow": {}}),
    ]
    assert parse_registry({"devices": entries}).units == {"power": "W"}


def test_the_shipped_registry_has_1200_devices() -> None:
    registry = parse_registry(read_yaml(home() / "conf" / "devices.yaml"))
    assert len(registry.devices) == 1200
    assert {each.customer for each in registry.devices} == {"acme", "globex"}


def test_time_zones_that_pass_are_known_to_spark(spark: SparkSession) -> None:
    zones = ["Europe/Berlin", "UTC", "Asia/Kathmandu", "EST", "Etc/GMT+5", "Pacific/Apia"]
    for zone in zones:
        check_time_zone(zone, "here")
    noon = spark.createDataFrame([(zone,) for zone in zones], "zone string").selectExpr(
        "zone", "date_format(to_utc_timestamp(timestamp'2024-01-01 12:00:00', zone), 'HH:mm') as utc"
    )
    assert [tuple(row) for row in noon.collect()] == [
        ("Europe/Berlin", "11:00"),
        ("UTC", "12:00"),
        ("Asia/Kathmandu", "06:15"),
        ("EST", "17:00"),
        ("Etc/GMT+5", "17:00"),
        ("Pacific/Apia", "23:00"),
    ]

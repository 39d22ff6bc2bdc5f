"""The values a rule saw, put together from rows, messages, contracts and registries as they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from sluice.schemas import SILVER_QUARANTINE, SILVER_READINGS
from sluice.serving.evidence import Configs, failed_rules
from sluice.serving.files import TableFiles
from sluice.serving.lake import open_lake

from .lake_builder import at, build_lake, config, suite_text

REGISTRY = """devices:
- {device_id: "sensor-{0001..0250}", metrics: {temperature_celsius: {min: -10, max: 45}, humidity_percent: {min: 5}}}
- {device_id: meter, metrics: {power_watt: {min: 0, max: 3500}}}
"""
CONTRACT = """versions:
- {version: 1, fields: {temperature: {column: temperature_celsius}, location.latitude: {column: latitude}}}
- {version: 2, fields: {temp: {column: temperature_celsius, unit: K}}}
"""


def rule(column: str, rule_id: str = "r") -> dict[str, object]:
    return {"type": "t", "kwargs": {"column": column}, "severity": "critical", "meta": {"rule_id": rule_id}}


@pytest.fixture
def configs(tmp_path: Path) -> Configs:
    names = ("temperature_celsius", "latitude", "latest_accepted_time", "temperature_celsius_registered_max")
    names += ("value_registered_max", "humidity_percent_registered_max", "age_days")
    texts = [
        config("suite", "s", suite_text(*(rule(name, name) for name in names))),
        config("contract", "c", CONTRACT),
        config("registry", "r", REGISTRY),
        config("suite", "damaged", "{"),
        config("suite", "odd", '{"expectations": [1, {"meta": null}]}'),
        config("registry", "huge", "# " + "x" * 300_000),
    ]
    return Configs(TableFiles(open_lake(build_lake(tmp_path, {"ops.configs": texts}))))


LEDGER = {"suite": "silver_readings", "suite_hash": "s", "contract_hash": "c", "registry_hash": "r"}


def seen(configs: Configs, column: str, **row: object) -> object:
    table = SILVER_QUARANTINE if "value" in row and isinstance(row["value"], bytes) else SILVER_READINGS
    (found,) = failed_rules(table, {"failed_rules": [column], **row}, LEDGER, configs)
    return found["values"][column]


def test_a_reading_shows_its_columns(configs: Configs) -> None:
    assert seen(configs, "temperature_celsius", temperature_celsius=1.5) == 1.5


def test_a_quarantined_record_shows_the_field_that_was_sent_whatever_its_version(configs: Configs) -> None:
    sent = {"sent": 5, "field": "temperature", "unit": None}
    assert seen(configs, "temperature_celsius", value=b'{"temperature": 5}') == sent
    assert seen(configs, "temperature_celsius", value=b'{"temp": 5}') == {"sent": 5, "field": "temp", "unit": "K"}
    nested = {"sent": 99, "field": "location.latitude", "unit": None}
    assert seen(configs, "latitude", value=b'{"location": {"latitude": 99}}') == nested
    assert seen(configs, "latitude", value=b"\xff") is None


def test_the_latest_accepted_time_is_five_minutes_after_kafka(configs: Configs) -> None:
    assert seen(configs, "latest_accepted_time", kafka_timestamp=at("12:00:00")) == at("12:05:00")


def test_the_age_is_in_days_before_kafka(configs: Configs) -> None:
    times = {"kafka_timestamp": at("12:00:00"), "event_time": at("00:00:00")}
    assert seen(configs, "age_days", **times) == 0.5


@pytest.mark.parametrize(
    ("column", "device", "end"),
    [
        ("temperature_celsius_registered_max", "sensor-0250", 45),
        ("temperature_celsius_registered_max", "sensor-0251", None),
        ("temperature_celsius_registered_max", "sensor-1", None),
        ("temperature_celsius_registered_max", "sensor-0001x", None),
        ("temperature_celsius_registered_max", None, None),
        ("humidity_percent_registered_max", "sensor-0001", None),
        ("value_registered_max", "meter", 3500),
        ("value_registered_max", "sensor-0001", None),
    ],
)
def test_a_registered_range_is_that_of_the_device(
    configs: Configs, column: str, device: str | None, end: object
) -> None:
    assert seen(configs, column, device_id=device) == end


def test_texts_that_are_damaged_or_gone_explain_nothing(configs: Configs) -> None:
    assert [configs.rule(digest, "r") for digest in ("damaged", "odd", "gone", None)] == [None] * 4
    assert configs.registered_end("huge", "meter", "value", "max") is None
    assert configs.fields("gone") == {}

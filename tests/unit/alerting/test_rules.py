from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from sluice.alerting.configuration import load_configuration
from sluice.alerting.rule_types import OF_ONE_READING, BatteryLow, Threshold, device_expression
from sluice.alerting.rules import parse_rules
from sluice.errors import AlertRulesInvalid
from sluice.settings import Settings, load_settings

HOT = {"id": "hot", "type": "threshold", "severity": "critical", "metric": "temperature_celsius", "above": 60}
CHANNELS = {"log": {}}


def parsed(*entries: Any) -> Any:
    return parse_rules(list(entries), CHANNELS, "alerts.yaml")


def settings_with(path: Path) -> Settings:
    return load_settings(options={"alerts.path": str(path)}, environment={})


def test_a_rule_has_its_type_and_the_defaults_of_what_is_not_written() -> None:
    low = {"id": "low", "type": "battery_low", "severity": "info", "below_percent": 10, "channels": ["log"]}
    assert parsed(HOT, low) == (
        Threshold(id="hot", type="threshold", severity="critical", metric="temperature_celsius", above=60.0),
        BatteryLow(id="low", type="battery_low", severity="info", below_percent=10.0, channels=("log",)),
    )


def test_the_shipped_rules_are_right_and_the_first_four_are_of_one_reading() -> None:
    rules = load_configuration(load_settings(environment={})).rules
    assert [rule.id for rule in rules] == [
        "temperature_high",
        "temperature_out_of_range",
        "battery_low",
        "device_error",
        "device_offline",
        "gate_refuses",
    ]
    assert [isinstance(rule, OF_ONE_READING) for rule in rules] == [True] * 4 + [False] * 2


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (
            [{**HOT, "text": "{device_id} {colour}"}],
            "alerts.yaml: rules[0] (hot): text: the text names 'colour'; known: alert_id, rule_id,"
            " severity, status, subject, device_id, customer, site, metric, value, threshold, event_time, runbook",
        ),
        (
            [{**HOT, "text": "{device_id.__class__}"}],
            "alerts.yaml: rules[0] (hot): text: the text names 'device_id.__class__'; known: alert_id,"
            " rule_id, severity, status, subject, device_id, customer, site, metric, value, threshold, event_time,"
            " runbook",
        ),
        (
            [{**HOT, "text": "{device_id"}],
            "alerts.yaml: rules[0] (hot): text: the text cannot be read: expected '}' before end of string",
        ),
        (
            [{**HOT, "text": "{device_id:.1f}"}],
            "alerts.yaml: rules[0] (hot): text: a form in the text does not fit: Unknown format code 'f'"
            " for object of type 'str'",
        ),
        (
            [{**HOT, "metric": "warmth"}],
            "alerts.yaml: rules[0] (hot): metric: 'warmth' is no metric; known: temperature_celsius,"
            " humidity_percent, pressure_hpa, battery_percent, value",
        ),
        ([HOT, HOT], "alerts.yaml: the rule id 'hot' stands there 2 times"),
        ([{**HOT, "channels": ["pager"]}], "alerts.yaml: rule hot names the channel 'pager'"),
        ([{**HOT, "abov": 1}], "alerts.yaml: rules[0] (hot): abov: there is no such key"),
        (
            [{**HOT, "above": "warm"}],
            "alerts.yaml: rules[0] (hot): above: Input should be a valid number, unable to parse string as a number",
        ),
        ([{**HOT, "above": float("nan")}], "alerts.yaml: rules[0] (hot): above: Input should be a finite number"),
        (
            [{**HOT, "severity": "grave"}],
            "alerts.yaml: rules[0] (hot): severity: Input should be 'info', 'warning' or 'critical'",
        ),
        ([{**HOT, "devices": "sensor-*"}], "alerts.yaml: rules[0] (hot): devices: Input should be a valid tuple"),
        (
            [{**HOT, "devices": []}],
            "alerts.yaml: rules[0] (hot): devices: Tuple should have at least 1 item after validation, not 0",
        ),
        (
            [{**HOT, "below": 3}],
            "alerts.yaml: rules[0] (hot): give one of above and below",
        ),
        (
            [{**HOT, "clear_below": 61}],
            "alerts.yaml: rules[0] (hot): clear_below must not be greater than above",
        ),
        (
            [{**HOT, "id": "Hot!"}],
            "alerts.yaml: rules[0] (Hot!): id: String should match pattern '^[a-z][a-z0-9_]{0,63}$'",
        ),
        (
            [{"id": "x"}],
            "alerts.yaml: rules[0] (x): the key type is missing; known types: threshold, out_of_range,"
            " status, battery_low, rate_of_change, offline, flat_line, quality_band, gate, anomaly",
        ),
        (
            [{**HOT, "type": "hotness"}],
            "alerts.yaml: rules[0] (hot): the type 'hotness' is unknown; known types:"
            " threshold, out_of_range, status, battery_low, rate_of_change, offline, flat_line, quality_band, gate,"
            " anomaly",
        ),
        (["hot"], "alerts.yaml: rules[0]: a rule must hold keys, not 'hot'"),
    ],
)
def test_what_is_wrong_is_one_line_with_file_rule_and_key(entries: list[Any], message: str) -> None:
    with pytest.raises(AlertRulesInvalid) as error:
        parsed(*entries)
    assert error.value.message == message
    assert error.value.exit_code == 2


def test_a_rule_may_be_about_what_a_device_is_registered_with(tmp_path: Path) -> None:
    path = tmp_path / "alerts.yaml"
    path.write_text("rules: [{id: power, type: out_of_range, severity: info, metric: power_watt}]")
    assert [rule.id for rule in load_configuration(settings_with(path)).rules] == ["power"]
    path.write_text("rules: [{id: power, type: out_of_range, severity: info, metric: power_volt}]")
    with pytest.raises(AlertRulesInvalid, match=r"'power_volt' is no metric; known: .*, value, power_watt"):
        load_configuration(settings_with(path))


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("rules: {}", "rules must be a list"),
        ("rule: []", "unknown key rule"),
        ("channels: [log]\nrules: []", "channels must hold names with keys"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, text: str, fact: str) -> None:
    path = tmp_path / "alerts.yaml"
    path.write_text(text)
    with pytest.raises(AlertRulesInvalid, match=re.escape(f"{path}: {fact}")):
        load_configuration(settings_with(path))


@pytest.mark.parametrize(
    ("pattern", "device", "matches"),
    [
        ("*", "", True),
        ("sensor-*", "sensor-0001", True),
        ("sensor-*", "a-sensor-0001", False),
        ("sensor-000?", "sensor-0001", True),
        ("sensor-000?", "sensor-00012", False),
        ("a.b", "axb", False),
        ("a[1]", "a1", False),
        ("a[1]", "a[1]", True),
        ("a\\d", "a\\d", True),
        ("a*z", "a\nz", True),
        ("caf?", "café", True),
        ("x?", "x😀", True),
        ("A*", "abc", False),
    ],
)
def test_only_star_and_question_mark_mean_something_in_a_pattern(pattern: str, device: str, matches: bool) -> None:
    assert bool(re.fullmatch(device_expression(pattern), device)) is matches
    rule = Threshold(
        id="hot", type="threshold", severity="info", metric="temperature_celsius", above=1.0, devices=(pattern,)
    )
    assert rule.concerns(device, None, None) is matches

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from sluice.errors import ContractInvalid
from sluice.settings import home, read_yaml
from sluice.transforms.contract import METRIC_COLUMNS, Contract, parse_contract

from .conftest import Readings
from .messages import event, micros, utc, v1

VALID: dict[str, Any] = {
    "versions": [
        {
            "version": 1,
            "number_in_event": True,
            "recognised_by": {"all": ["device_id", "timestamp"]},
            "fields": {
                "device_id": {"column": "device_id", "type": "id"},
                "timestamp": {"column": "event_time", "type": "time"},
                "temperature": {"column": "temperature_celsius", "type": "number", "unit": "°C"},
            },
        }
    ]
}
REMOVED = object()


def changed(*path: Any, to: Any) -> dict[str, Any]:
    """The valid contract with one value, found by its path, replaced, added or REMOVED."""
    content = copy.deepcopy(VALID)
    place: Any = content
    for key in path[:-1]:
        place = place[key]
    if to is REMOVED:
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return content


def version(**keys: Any) -> dict[str, Any]:
    return {**copy.deepcopy(VALID["versions"][0]), **keys}


FIELDS = ("versions", 0, "fields")
TEMPERATURE = (*FIELDS, "temperature")


def test_a_contract_of_one_version_is_read() -> None:
    (found,) = parse_contract(VALID).versions
    assert (found.number, found.number_in_event, found.all_of) == (1, True, ("device_id", "timestamp"))
    assert [field.source for field in found.fields] == ["device_id", "timestamp", "temperature"]
    assert [field.required for field in found.fields] == [True, True, False]


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        ({}, "top level: versions is missing"),
        ({**VALID, "version": 1}, "top level: unknown key version"),
        ({"versions": []}, "versions must be a list with at least one version"),
        ({"versions": {"version": 1}}, "versions must be a list"),
        ({"versions": [1]}, r"versions\[0\] must hold keys"),
        ({"versions": [version(), version()]}, r"two versions have one number: \[1, 1\]"),
        (changed("versions", 0, "number_in_event", to=REMOVED), r"versions\[0\]: number_in_event is missing"),
        (changed("versions", 0, "colour", to="red"), r"versions\[0\]: unknown key colour"),
        (changed("versions", 0, "version", to="1"), "version must be a whole number from 0, not '1'"),
        (changed("versions", 0, "version", to=True), "version must be a whole number from 0, not True"),
        (changed("versions", 0, "version", to=-1), "version must be a whole number from 0, not -1"),
        (changed("versions", 0, "version", to=2**31), "version must be a whole number from 0"),
        (changed("versions", 0, "number_in_event", to="yes"), "version 1: number_in_event must be true or false"),
        (changed("versions", 0, "recognised_by", to=[]), "version 1: recognised_by must hold all, none or any"),
        (changed("versions", 0, "recognised_by", to={"none": ["x"]}), "version 1: recognised_by needs all or any"),
        (changed("versions", 0, "recognised_by", to={"some": []}), "version 1: recognised_by: unknown key some"),
        (changed("versions", 0, "recognised_by", to={"all": "id"}), "recognised_by.all must be a list of field names"),
        (changed("versions", 0, "recognised_by", to={"any": [1]}), "recognised_by.any must be a list of field names"),
        (changed("versions", 0, "recognised_by", to={"all": ["x"]}), "version 1: recognised_by names x, which no"),
        (changed("versions", 0, "assume_time_zone", to="Mars/Olympus"), "version 1: unknown time zone 'Mars/Olympus'"),
        (changed("versions", 0, "assume_time_zone", to=1), "version 1: unknown time zone 1"),
        (changed("versions", 0, "assume_time_zone", to="../etc/passwd"), "version 1: unknown time zone"),
        (changed("versions", 0, "assume_time_zone", to="right/Europe/Berlin"), "version 1: unknown time zone"),
        (changed(*FIELDS, to={}), "version 1: fields must hold source"),
        (changed(*FIELDS, to=["device_id"]), "version 1: fields must hold source"),
        (changed(*FIELDS, "a-b", to={"column": "status", "type": "text"}), "field a-b: a field's name is letters"),
        (changed(*FIELDS, "a.b.c", to={"column": "status", "type": "text"}), "field a.b.c: .* one dot at most"),
        (changed(*FIELDS, "`x`", to={"column": "status", "type": "text"}), "field `x`: a field's name is letters"),
        (changed(*FIELDS, 5, to={"column": "status", "type": "text"}), "field 5: a field's name is letters"),
        (changed(*TEMPERATURE, to="number"), "version 1: field temperature must hold column and type"),
        (changed(*TEMPERATURE, "type", to=REMOVED), "field temperature: type is missing"),
        (changed(*TEMPERATURE, "colour", to="red"), "field temperature: unknown key colour"),
        (changed(*TEMPERATURE, "column", to="temperature"), "field temperature: unknown column 'temperature'"),
        (changed(*TEMPERATURE, "type", to="text"), "temperature_celsius takes number, not 'text'"),
        (changed(*TEMPERATURE, "required", to="yes"), "field temperature: required must be true or false"),
        (changed(*FIELDS, "device_id", "required", to=False), "field device_id: required .* true for device_id"),
        (changed(*TEMPERATURE, "unit", to="hPa"), "field temperature: unit 'hPa' cannot feed temperature_celsius"),
        (changed(*TEMPERATURE, "default", to="warm"), "default 'warm' does not fit the type number"),
        (changed(*TEMPERATURE, "default", to=True), "default True does not fit the type number"),
        (changed(*FIELDS, "device_id", "default", to="x"), "default 'x' does not fit the type id"),
        (changed(*FIELDS, "device_id", to=REMOVED), "version 1: no field feeds device_id"),
        (changed(*FIELDS, "timestamp", to=REMOVED), "version 1: no field feeds event_time"),
        (changed(*TEMPERATURE, to=REMOVED), "version 1: no field feeds a metric"),
        (
            changed(*FIELDS, "celsius", to={"column": "temperature_celsius", "type": "number"}),
            "version 1: more than one field feeds temperature_celsius",
        ),
        (
            changed(*FIELDS, "value", to={"column": "value", "type": "number"}),
            "version 1: value is fed beside a metric that has a column of its own",
        ),
        (
            changed(*FIELDS, "temperature.raw", to={"column": "humidity_percent", "type": "number"}),
            "temperature is both a value and an object",
        ),
        (
            {
                "versions": [
                    version(),
                    version(
                        version=2,
                        fields={
                            "temperature": {"column": "device_id", "type": "id"},
                            "timestamp": {"column": "event_time", "type": "time"},
                            "humidity": {"column": "humidity_percent", "type": "number"},
                        },
                    ),
                ]
            },
            "version 2: temperature is id here, number elsewhere",
        ),
    ],
)
def test_a_contract_that_cannot_be_applied_whole_is_refused_by_name(content: dict[str, Any], fact: str) -> None:
    with pytest.raises(ContractInvalid, match=fact) as refused:
        parse_contract(content, "conf/x.yaml")
    assert refused.value.message.startswith("conf/x.yaml: ")
    assert refused.value.hint


@pytest.mark.parametrize(
    ("unit", "column", "number", "converted"),
    [
        ("°F", "temperature_celsius", 212.0, 100.0),
        ("K", "temperature_celsius", 273.15, 0.0),
        ("1", "humidity_percent", 0.5, 50.0),
        ("Pa", "pressure_hpa", 101325.0, 1013.25),
        ("kPa", "pressure_hpa", 100.0, 1000.0),
        ("bar", "pressure_hpa", 1.0, 1000.0),
        ("hPa", "pressure_hpa", 1000.0, 1000.0),
    ],
)
def test_a_unit_is_converted_to_that_of_its_column(unit: str, column: str, number: float, converted: float) -> None:
    content = changed(*TEMPERATURE, to={"column": column, "type": "number", "unit": unit})
    field = parse_contract(content).versions[0].fields[2]
    assert field.factor * number + field.offset == pytest.approx(converted, abs=1e-9)


@pytest.mark.parametrize("column", METRIC_COLUMNS)
def test_every_metric_alone_makes_a_version(column: str) -> None:
    assert parse_contract(changed(*TEMPERATURE, to={"column": column, "type": "number"}))


def test_the_shipped_contract_has_the_versions_that_the_design_names(shipped_contract: Contract) -> None:
    assert [(each.number, each.number_in_event) for each in shipped_contract.versions] == [
        (1, True),
        (2, True),
        (0, False),
    ]
    assert shipped_contract.registered_numbers == (1, 2)
    assert shipped_contract.objects == ("location",)


VERSION_3 = """
version: 3
number_in_event: true
recognised_by: {all: [sensor, measured_at]}
assume_time_zone: America/New_York
fields:
  sensor: {column: device_id, type: id}
  measured_at: {column: event_time, type: time}
  env.temp_f: {column: temperature_celsius, type: number, unit: "°F", required: true}
  env.pressure_bar: {column: pressure_hpa, type: number, unit: bar}
  humidity: {column: humidity_percent, type: number, default: 50}
  state: {column: status, type: text, default: unknown}
"""


def version_3(fields: str, time: str = "2024-01-01T12:00:00Z") -> bytes:
    return f'{{"sensor":"s","measured_at":"{time}",{fields}}}'.encode()


def test_a_version_3_is_read_by_both_halves_once_the_yaml_has_it(read_messages: Callable[..., Readings]) -> None:
    content = read_yaml(home() / "conf" / "contract.yaml")
    content["versions"].append(yaml.safe_load(VERSION_3))
    one = {"device_id": "s", "event_time": micros(utc(2024, 1, 1, 12)), "schema_version": 3}
    least = event(
        **one,
        temperature_celsius=(5 / 9) * 212.0 + -160 / 9,
        humidity_percent=50.0,
        pressure_hpa=None,
        status="unknown",
    )
    all_of_it = event(**one, temperature_celsius=0.0, humidity_percent=40.0, pressure_hpa=1250.0, status="ok")
    messages = {
        version_3('"env":{"temp_f":212}'): least,
        version_3('"humidity":40,"state":"ok","env":{"temp_f":32,"pressure_bar":1.25}'): all_of_it,
        version_3('"env":{"temp_f":212},"schema_version":3'): least,
        # The zone of the version is Eastern Standard Time: five hours behind.
        version_3('"env":{"temp_f":212}', "2024-01-01T07:00:00"): least,
        version_3('"env":{"temp_f":"212"}'): "WRONG_TYPE",
        version_3('"env":{"pressure_bar":1}'): "MISSING_FIELD",
        # Finite as bar, not as hPa.
        version_3('"env":{"temp_f":1,"pressure_bar":1.5e308}'): "WRONG_TYPE",
        version_3('"env":{"temp_f":1},"device_id":"d","timestamp":"2024-01-01T12:00:00Z"'): "AMBIGUOUS_VERSION",
        version_3('"env":{"temp_f":1},"schema_version":4'): "UNKNOWN_VERSION",
        v1(): event(),
    }
    readings = read_messages(list(messages), parse_contract(content))
    decided = [row["error_code"] or {name: row[name] for name in event()} for row in readings.decided]
    assert decided == list(messages.values())
    certain = [row["is_certain"] for row in readings.parsed]
    assert certain == [True, True, True, False, False, False, False, False, False, True]
    parsed = [{name: row[name] for name in event()} for row in readings.parsed if row["is_certain"]]
    assert parsed == [outcome for outcome, sure in zip(messages.values(), certain, strict=True) if sure]

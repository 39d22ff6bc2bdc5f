from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.errors import ContractInvalid, InputInvalid
from sluice.settings import load_settings
from sluice.sources.mapping import (
    EventMapping,
    FieldSource,
    Message,
    RowMapper,
    check_times,
    contract_fields,
    message_of_line,
    parse_assignments,
    resolve_mapping,
)
from sluice.sources.rows import Number, Row
from sluice.sources.times import TimeReader, find_zone

FIELDS = {
    "device_id": "id",
    "timestamp": "time",
    "temperature": "number",
    "humidity": "number",
    "status": "text",
    "location.latitude": "number",
    "location.longitude": "number",
    "id": "id",
    "dt": "time",
    "value": "number",
}
CLIMATE = {"Date": "timestamp", "Temperature": "temperature", "Humidity": "humidity"}


def resolve(columns: tuple[str, ...], assigned: dict[str, str] | None = None, device: str | None = "d") -> EventMapping:
    return resolve_mapping("f.csv", columns, assigned or {}, device, FIELDS)


def convert(mapping: EventMapping, *cells: object) -> Message:
    return RowMapper(mapping, TimeReader(find_zone("UTC"))).message(Row(cells, b"", 0))


def test_the_contract_as_shipped_lists_the_fields_of_all_versions() -> None:
    fields = contract_fields(load_settings(environment={}).contract.path)
    assert {name: fields.get(name) for name in FIELDS} == FIELDS


def test_a_contract_of_another_form_is_named(tmp_path: object) -> None:
    path = tmp_path / "contract.yaml"  # type: ignore[operator]
    path.write_text("versions: [1]")
    with pytest.raises(ContractInvalid, match=r"lists no versions with fields"):
        contract_fields(path)


def test_mapped_columns_become_an_event_with_the_digits_as_written() -> None:
    mapping = resolve(("Date", "Temperature", "Humidity", "Light"), CLIMATE, "occupancy-1")
    assert convert(mapping, "2015-02-04 17:51:00", "22.180", " 27.0 ") == Message(
        b"occupancy-1",
        b'{"device_id":"occupancy-1","timestamp":"2015-02-04T17:51:00Z","temperature":22.180,"humidity":27.0}',
        True,
    )


def test_a_time_and_a_value_with_a_device_are_a_reading() -> None:
    expected = Message(b"machine-1", b'{"id":"machine-1","dt":"2013-12-02T21:15:00Z","value":73.9}', True)
    for assigned in ({}, {"timestamp": "dt", "value": "value"}):
        assert (
            convert(resolve(("timestamp", "value"), assigned, "machine-1"), "2013-12-02 21:15:00", "73.9") == expected
        )


def test_columns_named_like_fields_need_no_map() -> None:
    mapping = resolve(("timestamp", "light", "device_id", "humidity"), device=None)
    assert mapping == EventMapping(
        (
            FieldSource("timestamp", "timestamp", "time"),
            FieldSource("device_id", "device_id", "id"),
            FieldSource("humidity", "humidity", "number"),
        ),
        "device_id",
        None,
    )
    assert convert(mapping, "2015-02-04T17:51:00Z", "a", "5") == Message(
        b"a", b'{"timestamp":"2015-02-04T17:51:00Z","device_id":"a","humidity":5}', True
    )


def test_a_dotted_field_descends_into_an_object() -> None:
    mapping = resolve(("t", "lat", "lon"), {"t": "timestamp", "lat": "location.latitude", "lon": "location.longitude"})
    assert convert(mapping, "2015-02-04T17:51:00Z", "1.5", "-2") == Message(
        b"d", b'{"device_id":"d","timestamp":"2015-02-04T17:51:00Z","location":{"latitude":1.5,"longitude":-2}}', True
    )


def test_empty_cells_are_left_out() -> None:
    mapping = resolve(("t", "x", "y"), {"t": "timestamp", "x": "temperature", "y": "status"})
    assert convert(mapping, "2015-02-04T17:51:00Z", "", None).value == (
        b'{"device_id":"d","timestamp":"2015-02-04T17:51:00Z"}'
    )


@pytest.mark.parametrize("text", ["warm", "21,5", "NaN", "Infinity", "1e400", "1_000", "0x10", "２１", "--5", "5 C"])
def test_a_bad_number_goes_on_as_text_and_the_row_is_counted(text: str) -> None:
    mapping = resolve(("t", "x"), {"t": "timestamp", "x": "temperature"})
    message = convert(mapping, "2015-02-04T17:51:00Z", text)
    assert json.loads(message.value)["temperature"] == text
    assert not message.is_whole


def test_a_bad_time_goes_on_as_text() -> None:
    message = convert(resolve(("t", "value"), {"t": "dt", "value": "value"}), "04.02.2015", "1")
    assert message == Message(b"d", b'{"id":"d","dt":"04.02.2015","value":1}', False)


def test_a_row_that_cannot_be_split_goes_on_as_it_is() -> None:
    mapper = RowMapper(resolve(("timestamp", "value")), TimeReader(None))
    assert mapper.message(Row(None, b'"1,2,3"', 0)) == Message(b"d", b'"1,2,3"', False)


@given(st.one_of(st.floats(-1e300, 1e300), st.integers(-(10**20), 10**20)))
def test_a_number_keeps_its_value(number: float) -> None:
    mapping = resolve(("t", "x"), {"t": "timestamp", "x": "temperature"})
    for text in (f"{number}", f"{number:+}", f"{number:.3e}"):
        message = convert(mapping, "2015-02-04T17:51:00Z", text)
        assert message.is_whole
        assert float(json.loads(message.value)["temperature"]) == float(text)


@pytest.mark.parametrize(("text", "written"), [("007", b"7.0"), (".5", b"0.5"), ("5.", b"5.0"), ("+1.25", b"1.25")])
def test_a_number_json_does_not_know_is_written_as_one_it_knows(text: str, written: bytes) -> None:
    message = convert(resolve(("timestamp", "value")), "2015-02-04T17:51:00Z", text)
    assert message.value.endswith(b'"value":' + written + b"}")


@pytest.mark.parametrize(
    ("columns", "assigned", "device", "message"),
    [
        (("Date", "Temp"), CLIMATE, "d", "f.csv has no column 'Temperature'"),
        (("t", "x", "x"), {"t": "timestamp", "x": "temperature"}, "d", "f.csv has more than one column 'x'"),
        (("t", "x"), {"t": "timestamp", "x": "temprature"}, "d", "unknown field 'temprature'"),
        (("a", "b"), {}, "d", "no column is named like a field of an event; columns: a, b"),
        (("temperature",), {}, "d", "no field for the time of the event"),
        (("a", "b"), {"a": "timestamp", "b": "dt"}, "d", "2 fields for the time of the event"),
        (("timestamp", "temperature"), {}, None, "nothing names the device"),
        (("timestamp", "device_id"), {}, "d", "a column and --device both name the device"),
        (("timestamp", "id"), {"timestamp": "timestamp", "id": "id"}, None, "id does not go with timestamp"),
    ],
)
def test_a_mapping_that_makes_no_event_is_refused(
    columns: tuple[str, ...], assigned: dict[str, str], device: str | None, message: str
) -> None:
    with pytest.raises(InputInvalid) as refused:
        resolve(columns, assigned, device)
    assert message in refused.value.message


def test_assignments_are_column_equals_field() -> None:
    assert parse_assignments(["Date=timestamp", "a=b=value"]) == {"Date": "timestamp", "a=b": "value"}


@pytest.mark.parametrize("texts", [["Date"], ["=x"], ["x="], ["a=x", "a=y"], ["a=x", "b=x"]])
def test_other_assignments_are_refused(texts: list[str]) -> None:
    with pytest.raises(InputInvalid, match="not of the form column=field, each once"):
        parse_assignments(texts)


def rows(*times: object) -> list[Row]:
    return [Row([when, "1"], b"", 0) for when in times]


def test_times_without_an_offset_need_a_zone_before_anything_is_sent() -> None:
    mapping = resolve(("timestamp", "value"))
    with pytest.raises(InputInvalid, match=r"f: times without an offset, e\.g\. 2015-02-04 17:51:00"):
        check_times("f", mapping, rows("2015-02-04T17:51:00Z", "2015-02-04 17:51:00"), TimeReader(None))
    check_times("f", mapping, rows("2015-02-04 17:51:00"), TimeReader(find_zone("UTC")))


def test_a_file_without_one_time_that_can_be_read_is_refused_but_not_one_with_a_few_bad_ones() -> None:
    mapping = resolve(("timestamp", "value"))
    with pytest.raises(InputInvalid, match="f: not a time: 1423072260"):
        check_times("f", mapping, rows(Number("1423072260"), ""), TimeReader(None))
    check_times("f", mapping, rows("broken", "2015-02-04T17:51:00Z"), TimeReader(None))
    check_times("f", mapping, [Row(None, b"", 0)], TimeReader(None))


@pytest.mark.parametrize(
    ("cells", "key", "is_whole"),
    [(["a", "b"], b"a", True), ([None, "b"], b"b", True), ([Number("5"), None], None, True), (None, None, False)],
)
def test_a_line_goes_as_it_is_with_the_id_it_names_as_key(
    cells: list[object] | None, key: bytes | None, is_whole: bool
) -> None:
    assert message_of_line(Row(cells, b"line", 0)) == Message(key, b"line", is_whole)


def test_what_json_escaped_but_utf8_cannot_hold_becomes_bytes_that_are_refused_later() -> None:
    message = convert(resolve(("timestamp", "status"), device="d"), "2015-02-04T17:51:00Z", "\ud800")
    with pytest.raises(UnicodeDecodeError):
        message.value.decode()

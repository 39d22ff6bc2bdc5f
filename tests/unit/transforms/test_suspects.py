from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from pyspark.sql import Row

from sluice import schemas
from sluice.testing import utc
from sluice.transforms.parse import EVENT_COLUMNS
from sluice.transforms.suspects import MAX_DETAIL_CHARACTERS

from .conftest import Readings
from .messages import cases, content_id_of, java_text, micros, raw_v1, reading, v1, v2

CASES = cases()
# These need more than one message to come about.
DECIDED_LATER = {schemas.TIME_OUT_OF_RANGE, schemas.RULE_FAILED, schemas.DUPLICATE_CONFLICT}


REFUSED = (
    # message, code, detail, device
    (None, "EMPTY_MESSAGE", "the message is empty", None),
    (b"{", "NOT_JSON", "not one JSON value after RFC 8259", None),
    (b"[1]", "NOT_OBJECT", "a JSON value, no object: [1]", None),
    (raw_v1('"x":1,"x":2'), "DUPLICATE_FIELD", "a field stands there twice", None),
    (v1(schema_version=9), "UNKNOWN_VERSION", "schema_version 9", "sensor-0001"),
    (
        v1(timestamp=None),
        "MISSING_FIELD",
        "no version is complete; version 1 lacks timestamp; version 0 lacks id, dt, value",
        "sensor-0001",
    ),
    (v2(timestamp=None), "MISSING_FIELD", "timestamp", "sensor-0001"),
    (v1(humidity="40"), "WRONG_TYPE", "humidity: expected a number, is string", "sensor-0001"),
    (v2(location=[1]), "WRONG_TYPE", "location: expected an object, is array<bigint>", "sensor-0001"),
    (v1(device_id=5), "WRONG_TYPE", "device_id: expected a text, is bigint", None),
    (v1(device_id="s" * 300), "BAD_ID", "300 characters in device_id, at most 256", "s" * 300),
    (v1(timestamp="yesterday"), "BAD_TIME", "yesterday", "sensor-0001"),
    (v1(timestamp="2024-01-01T00:00:00"), "TIME_WITHOUT_OFFSET", "2024-01-01T00:00:00", "sensor-0001"),
    (reading(dt="2024-01-01"), "BAD_TIME", "2024-01-01", "meter-0001"),
    (v1(status="a" * 1025), "TOO_LARGE", "1025 characters in status, at most 1024", "sensor-0001"),
    (b"x" * 1_048_577, "TOO_LARGE", "1048577 bytes, at most 1048576", None),
)
# message, fields that no version knows
KNOWN = (
    (v1(colour="red", size=1), ["colour", "size"]),
    (v1(), []),
    (v1(schema_version=1, pressure=5), []),
    (v1(Humidity=1, x={"temperature": 1}), ["Humidity", "x"]),
)


# By hand: microseconds|temperature|humidity|pressure|battery|latitude|longitude|status|firmware|value|device.
CONTENTS = (
    (v1(), "1704110398000000|21.5|||||||||11:sensor-0001"),
    (v1(temperature=0, humidity=-0.0, status=""), "1704110398000000|0.0|0.0|||||0:|||11:sensor-0001"),
    (v1(temperature=12345678.5, status="a|b"), "1704110398000000|1.23456785E7||||||3:a|b|||11:sensor-0001"),
    (
        v2(event_id=None, location={"latitude": 0.0005, "longitude": -13.4}, firmware="温度"),
        "1704110398000000|21.5||||5.0E-4|-13.4||2:温度||11:sensor-0001",
    ),
    (reading(id="\U0001f321"), "1704110398000000|||||||||7.5|1:\U0001f321"),
    (v1(timestamp="1969-12-31T23:59:59.999999Z"), "-1|21.5|||||||||11:sensor-0001"),
)


SAME = (
    v1(temperature=20),
    v1(temperature=20.0, humidity=None),
    raw_v1('"temperature":2e1'),
    v1(temperature=20, colour="red", schema_version=1),
    v1(temperature=20, timestamp="2024-01-01T12:59:58.000+01:00"),
)
DIFFERENT = (
    v1(),
    v1(temperature=21.6),
    v1(humidity=21.5, temperature=None),
    v1(device_id="sensor-0002"),
    v1(timestamp="2024-01-01T11:59:58.000001Z"),
    v1(status=""),
    v1(status="21.5"),
    v2(event_id=None, firmware="21.5"),
)


@pytest.fixture(scope="module")
def everything(read_messages: Callable[..., Readings]) -> dict[str, Readings]:
    """What becomes of all messages of this module, read in one go."""
    groups = {
        "cases": [case.message for case in CASES],
        "refused": [message for message, *_ in REFUSED],
        "known": [message for message, _ in KNOWN],
        "contents": [message for message, _ in CONTENTS],
        "same": list(SAME),
        "different": list(DIFFERENT),
    }
    found = read_messages([message for messages in groups.values() for message in messages])
    parts, begin = {}, 0
    for name, messages in groups.items():
        part = slice(begin, begin + len(messages))
        parts[name] = Readings(found.parsed[part], found.decided[part])
        begin = part.stop
    return parts


@pytest.fixture(scope="module")
def readings(everything: dict[str, Readings]) -> Readings:
    return everything["cases"]


def event_of(row: Row) -> dict[str, Any]:
    return {name: row[name] for name in EVENT_COLUMNS}


@pytest.mark.parametrize("index", range(len(CASES)), ids=[case.rule for case in CASES])
def test_a_message_ends_as_its_rule_says(readings: Readings, index: int) -> None:
    case, decided = CASES[index], readings.decided[index]
    assert (decided["error_code"] or event_of(decided)) == case.outcome


@pytest.mark.parametrize("index", range(len(CASES)), ids=[case.rule for case in CASES])
def test_the_fast_parser_is_certain_only_of_events_and_reads_them_alike(readings: Readings, index: int) -> None:
    parsed, decided = readings.parsed[index], readings.decided[index]
    if parsed["is_certain"]:
        assert decided["error_code"] is None
        assert event_of(parsed) == event_of(decided)


def test_the_cases_bring_about_every_code_of_parsing() -> None:
    found = {case.outcome for case in CASES if isinstance(case.outcome, str)}
    assert found == set(schemas.ERROR_CODES) - DECIDED_LATER


def test_no_two_cases_have_one_name() -> None:
    names = [case.rule for case in CASES]
    assert sorted(set(names)) == sorted(names)


def test_a_refused_message_has_a_code_a_detail_and_of_the_event_at_most_its_device(readings: Readings) -> None:
    refused = [row for row in readings.decided if row["error_code"] is not None]
    assert len(refused) == sum(isinstance(case.outcome, str) for case in CASES)
    for row in refused:
        assert row["error_detail"] is not None
        assert len(row["error_detail"]) <= MAX_DETAIL_CHARACTERS
        assert {name for name, value in event_of(row).items() if value is not None} <= {"device_id"}


def test_an_event_has_neither_code_nor_detail(readings: Readings) -> None:
    events = [row for row, case in zip(readings.decided, CASES, strict=True) if not isinstance(case.outcome, str)]
    assert {(row["error_code"], row["error_detail"]) for row in events} == {(None, None)}


def test_a_refusal_names_what_is_wrong_and_the_device(everything: dict[str, Readings]) -> None:
    rows = everything["refused"].decided
    found = [(row["error_code"], row["error_detail"], row["device_id"], row["unknown_fields"]) for row in rows]
    assert found == [(code, detail, device, None) for _, code, detail, device in REFUSED]


def test_an_event_names_the_fields_that_no_version_knows(everything: dict[str, Readings]) -> None:
    found = [(row["error_code"], row["unknown_fields"]) for row in everything["known"].decided]
    assert found == [(None, names) for _, names in KNOWN]


def test_the_content_id_is_the_sha256_of_the_documented_text(everything: dict[str, Readings]) -> None:
    decided = everything["contents"].decided
    expected = ["sha256:" + hashlib.sha256(text.encode()).hexdigest() for _, text in CONTENTS]
    assert [row["event_id"] for row in decided] == expected
    # The oracle of the other tests writes the same text.
    assert [content_id_of(event_of(row)) for row in decided] == expected


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0.0"),
        (21.5, "21.5"),
        (-1.0, "-1.0"),
        (123.0, "123.0"),
        (0.001, "0.001"),
        (0.0005, "5.0E-4"),
        (9999999.0, "9999999.0"),
        (1e7, "1.0E7"),
        (1.25e-300, "1.25E-300"),
        (-1234567890.5, "-1.2345678905E9"),
    ],
)
def test_the_oracle_writes_numbers_as_java_does(number: float, text: str) -> None:
    assert java_text(number) == text


def test_events_with_the_same_content_in_other_words_have_one_id(everything: dict[str, Readings]) -> None:
    assert len({row["event_id"] for row in everything["same"].decided}) == 1


def test_events_that_differ_in_one_value_have_different_ids(everything: dict[str, Readings]) -> None:
    rows = everything["different"].decided
    assert len({row["event_id"] for row in rows}) == len(DIFFERENT)
    assert rows[4]["event_time"] == micros(utc(2024, 1, 1, 11, 59, 58, 1))

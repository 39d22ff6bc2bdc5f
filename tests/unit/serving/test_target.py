"""What a text to trace can mean, and in which order its meanings are tried."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from sluice.errors import TargetInvalid
from sluice.serving.target import DeviceTime, EventId, RecordAt, Target, parse_moment, read_target

NOON = datetime(2026, 3, 1, 12, 0, 5, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("text", "meanings"),
    [
        ("e1", [EventId("e1")]),
        ("sha256:00ff", [EventId("sha256:00ff")]),
        ("iot.raw:0:12", [RecordAt("iot.raw", None, 0, 12), EventId("iot.raw:0:12")]),
        ("iot.raw:2:0:12", [RecordAt("iot.raw", 2, 0, 12), EventId("iot.raw:2:0:12")]),
        ("a b:0:12", [EventId("a b:0:12")]),
        ("iot.raw:0:-1", [EventId("iot.raw:0:-1")]),
        ("iot.raw:0:9223372036854775808", [EventId("iot.raw:0:9223372036854775808")]),
        ("iot.raw:2147483648:1", [EventId("iot.raw:2147483648:1")]),
        ("s@2026-03-01T12:00:05Z", [DeviceTime("s", NOON), EventId("s@2026-03-01T12:00:05Z")]),
        ("s@2026-03-01t13:00:05+01:00", [DeviceTime("s", NOON), EventId("s@2026-03-01t13:00:05+01:00")]),
        ("a@b:1:2@2026-03-01T12:00:05Z", [DeviceTime("a@b:1:2", NOON), EventId("a@b:1:2@2026-03-01T12:00:05Z")]),
        ("s@2026-03-01T12:00:05", [EventId("s@2026-03-01T12:00:05")]),
        ("@2026-03-01T12:00:05Z", [EventId("@2026-03-01T12:00:05Z")]),
        ("s@2026-02-30T12:00:05Z", [EventId("s@2026-02-30T12:00:05Z")]),
    ],
)
def test_coordinates_come_before_times_and_those_before_ids(text: str, meanings: list[Target]) -> None:
    assert read_target(text) == meanings


def test_a_forced_kind_is_the_only_meaning() -> None:
    assert read_target("iot.raw:0:12", "id") == [EventId("iot.raw:0:12")]
    assert read_target("iot.raw:0:12", "coordinates") == [RecordAt("iot.raw", None, 0, 12)]


@pytest.mark.parametrize(
    ("text", "kind"), [("", None), ("e1", "time"), ("s@2026-03-01T12:00:05", "time"), ("e", "coordinates")]
)
def test_a_text_that_is_not_of_the_forced_kind_is_refused_with_the_form(text: str, kind: str | None) -> None:
    with pytest.raises(TargetInvalid) as refused:
        read_target(text, kind)
    assert refused.value.hint


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-01T12:00:05.123456Z", NOON.replace(microsecond=123456)),
        ("2026-03-01 17:30:05+05:30", NOON),
        ("2026-03-01T12:00:60Z", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("٢٠٢٦-03-01T12:00:05Z", None),
    ],
)
def test_times_are_rfc_3339_with_an_offset(text: str, moment: datetime | None) -> None:
    assert parse_moment(text) == moment

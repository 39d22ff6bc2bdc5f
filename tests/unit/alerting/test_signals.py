"""Signals as messages: what is written is what is read, and what is none is refused with its reason."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.alerting.examples import NOON, signal

from sluice.alerting.signals import MAX_SIGNAL_BYTES, Signal, decode_signal, encode_signal, signal_id_of, time_text
from sluice.errors import SignalInvalid

CONTENT: dict[str, Any] = {
    "signal_id": "sha256:1",
    "kind": "raise",
    "rule_id": "hot",
    "severity": "warning",
    "subject": "d1",
    "event_time": "2026-03-01T12:00:00.000001Z",
}


def refusal(**odd: Any) -> str:
    content = {key: value for key, value in {**CONTENT, **odd}.items() if value is not ...}
    with pytest.raises(SignalInvalid) as raised:
        decode_signal(json.dumps(content).encode())
    return raised.value.message


@given(
    moment=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(timezone.utc)),
    subject=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
    value=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    kind=st.sampled_from(["raise", "clear"]),
    site=st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
)
def test_what_is_written_is_what_is_read(moment: datetime, subject: str, value: Any, kind: Any, site: Any) -> None:
    written = Signal("id", kind, "hot", "info", subject, moment, site=site, value=value)
    assert decode_signal(encode_signal(written)) == written


def test_the_id_is_a_function_of_kind_rule_subject_time_and_event() -> None:
    same = signal_id_of("raise", "hot", "d1", NOON, "e1")
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5)))
    assert signal_id_of("raise", "hot", "d1", elsewhere, "e1") == same
    others = {
        signal_id_of("clear", "hot", "d1", NOON, "e1"),
        signal_id_of("raise", "cold", "d1", NOON, "e1"),
        signal_id_of("raise", "hot", "d2", NOON, "e1"),
        signal_id_of("raise", "hot", "d1", NOON + timedelta(microseconds=1), "e1"),
        signal_id_of("raise", "hot", "d1", NOON, None),
    }
    assert len({same, *others}) == 6


def test_times_are_written_in_utc_to_the_microsecond() -> None:
    assert time_text(datetime(2026, 3, 1, 14, tzinfo=timezone(timedelta(hours=2)))) == "2026-03-01T12:00:00.000000Z"


def test_what_is_null_is_not_written() -> None:
    written = json.loads(encode_signal(signal(0, site=None, value=None, threshold=None, metric=None)))
    assert sorted(written) == sorted([*CONTENT, "device_id"])


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        ({"kind": "ack"}, "kind must be raise or clear"),
        ({"rule_id": ...}, "rule_id must be a text"),
        ({"rule_id": "Hot\x1fd1"}, "rule_id is no id of a rule"),
        ({"subject": ""}, "subject must be a text"),
        ({"subject": 5}, "subject must be a text"),
        ({"subject": "\ud800"}, "subject holds half a character"),
        ({"site": ["x"]}, "site must be a text"),
        ({"event_time": "yesterday"}, "event_time must be RFC 3339"),
        ({"event_time": "2026-03-01T12:00:00"}, "event_time must have an offset"),
        ({"event_time": "0001-01-01T00:00:00+14:00"}, "event_time must be RFC 3339"),
        ({"event_time": "9999-12-31T23:59:59-14:00"}, "event_time must be RFC 3339"),
        ({"value": "61"}, "value must be a finite number"),
        ({"value": True}, "value must be a finite number"),
        ({"value": float("nan")}, "value must be a finite number"),
        ({"value": 10**400}, "value must be a finite number"),
        ({"threshold": float("inf")}, "threshold must be a finite number"),
    ],
)
def test_a_field_that_is_missing_or_wrong_is_named(odd: dict[str, Any], reason: str) -> None:
    assert refusal(**odd) == reason


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (None, "an empty message"),
        (b"", "an empty message"),
        (b"\xff\xfe", "not JSON"),
        (b"{", "not JSON"),
        (b"[" * 60_000, "not JSON"),
        (b"[]", "not an object"),
        (b"null", "not an object"),
        (b" " * (MAX_SIGNAL_BYTES + 1), "longer than 65536 bytes"),
    ],
)
def test_what_is_no_object_is_refused(message: bytes | None, reason: str) -> None:
    with pytest.raises(SignalInvalid, match=reason):
        decode_signal(message)

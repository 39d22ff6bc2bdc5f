"""State and notices as messages: written and read again, and what is none of ours refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.alerting.examples import LATER, NOON, alert, signal

from sluice.alerting.acknowledgement import Acknowledgement, decode_message, encode_acknowledgement
from sluice.alerting.episodes import Episode
from sluice.alerting.signals import encode_signal
from sluice.alerting.state import Remembered
from sluice.alerting.state_messages import (
    decode_notice,
    decode_remembered,
    encode_notice,
    encode_remembered,
    key_bytes,
    notice_of,
)
from sluice.errors import SignalInvalid
from sluice.schemas import ALERT_STATUSES, GOLD_ALERTS

FULL = alert(acknowledged_at=LATER, acknowledged_by="ann \U0001f6a8", resolved_at=LATER, threshold=-0.5, runbook="r")


@pytest.mark.parametrize(
    "remembered",
    [Remembered(NOON), Remembered(NOON, alert()), Remembered(NOON, FULL, LATER, NOON, ("log",), "al-1")],
    ids=str,
)
def test_what_is_remembered_is_read_as_it_was_written(remembered: Remembered) -> None:
    key = ("hot", "gate:silver\x1f")
    assert decode_remembered(key_bytes(key), encode_remembered(remembered)) == (key, remembered)


def test_a_message_without_a_value_forgets() -> None:
    assert decode_remembered(key_bytes(("hot", "d1")), None) == (("hot", "d1"), None)


def test_a_notice_is_read_as_it_was_written_and_each_status_has_its_own_id() -> None:
    notices = [notice_of(alert(status=status), ["log", "hook"], Episode("al-1", 2)) for status in ALERT_STATUSES]
    assert [decode_notice(encode_notice(each)) for each in notices] == notices
    assert len({each.notice_id for each in notices}) == 3
    assert notice_of(alert(signal_count=9), [], Episode("al-2", 1)).notice_id == notices[0].notice_id


@pytest.mark.parametrize(("status", "open_count"), [("firing", 1), ("resolved", 0)])
def test_what_was_written_before_there_were_episodes_is_one_of_its_own(status: str, open_count: int) -> None:
    content = json.loads(encode_notice(notice_of(alert(status=status), ["log"], Episode("al-1", 2))))
    del content["episode"]
    assert decode_notice(json.dumps(content).encode()).episode == Episode(alert().alert_id, open_count)


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b"{}", b'{"alert": 5}', b'{"seen_until": 5, "alert": null}'])
def test_what_is_none_of_ours_is_refused(value: bytes) -> None:
    with pytest.raises(SignalInvalid, match="no state of an alert"):
        decode_remembered(b"hot\x1fd1", value)
    with pytest.raises(SignalInvalid, match="no notice of an alert"):
        decode_notice(value)


def test_the_fields_of_an_alert_are_the_columns_of_its_table() -> None:
    assert {*alert().__dataclass_fields__, "alert_date"} == set(GOLD_ALERTS.column_names)


def test_an_acknowledgement_and_a_signal_are_told_apart() -> None:
    acknowledgement = Acknowledgement("al-1", "hot", "d1", "ann", "seen")
    assert decode_message(encode_acknowledgement(acknowledgement)) == acknowledgement
    assert decode_message(encode_signal(signal(0))) == signal(0)


@pytest.mark.parametrize("odd", [{"by": ""}, {"why": " "}, {"alert_id": None}, {"by": 5}, {"why": "x" * 1001}])
def test_an_acknowledgement_that_lacks_something_is_refused(odd: dict[str, Any]) -> None:
    content = {"kind": "ack", "alert_id": "al-1", "rule_id": "hot", "subject": "d1", "by": "ann", "why": "seen", **odd}
    with pytest.raises(SignalInvalid, match=f"{next(iter(odd))} must be a text"):
        decode_message(json.dumps(content).encode())

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime

import pytest

from sluice.simulator.faults import FAULT_CODES
from sluice.simulator.plan import Plan, parse_start
from sluice.simulator.stream import message_batches


def plan(faults: dict[str, float], events: int = 3000) -> Plan:
    versions = {"1": 0.3, "2": 0.5, "reading": 0.2}
    return Plan(100, parse_start("2026-01-01T00:00:00Z"), 5000, 7, versions, faults, events)


def what_is_wrong(value: bytes) -> str:
    """The first thing a reader of the contract would refuse, or nothing."""
    try:
        event = json.loads(value.decode())
    except UnicodeDecodeError:
        return "not UTF-8"
    except ValueError:
        return "not JSON"
    if "device_id" not in event and "id" not in event:
        return "no device"
    when = (event.get("timestamp") or event["dt"]).replace("Z", "+00:00")
    try:
        if datetime.fromisoformat(when).tzinfo is None:
            return "no offset"
    except ValueError:
        return "no time"
    numbers = [event[field] for field in ("temperature", "value") if field in event]
    return "" if all(isinstance(number, float) for number in numbers) else "a number as text"


def test_every_corrupt_event_is_one_no_contract_accepts_and_all_kinds_occur() -> None:
    (batch,) = message_batches(plan({"corrupt": 1.0}))
    found = {what_is_wrong(value) for value in batch.values}
    assert found == {"not UTF-8", "not JSON", "no device", "no offset", "no time", "a number as text"}


def test_no_corrupt_event_holds_a_line_break() -> None:
    (batch,) = message_batches(plan({"corrupt": 1.0}))
    assert not any(b"\n" in value for value in batch.values)


def test_the_other_events_are_whole() -> None:
    (batch,) = message_batches(plan({"corrupt": 0.2, "out_of_range": 0.2}))
    wrong = [bool(what_is_wrong(value)) for value in batch.values]
    assert wrong == (batch.faults == FAULT_CODES["corrupt"]).tolist()


def broken_rules(event: dict[str, float], limits: dict[str, tuple[float, float]]) -> list[str]:
    return [f for f, (low, high) in limits.items() if f in event and not low <= event[f] <= high]


REGISTRY = {"temperature": (-10, 45), "humidity": (5, 95), "pressure": (870, 1085), "value": (0, 3500)}
HARD = {"temperature": (-50, 100), "humidity": (0, 100)}


def test_an_event_out_of_range_breaks_one_range_and_is_counted_where_it_breaks_a_hard_limit() -> None:
    (batch,) = message_batches(plan({"out_of_range": 1.0}))
    events = [json.loads(value) for value in batch.values]
    assert all(len(broken_rules(event, REGISTRY)) == 1 for event in events)
    assert [bool(broken_rules(event, HARD)) for event in events] == batch.hard.astype(bool).tolist()
    assert 0.1 < batch.hard.mean() < 0.3


@pytest.mark.parametrize("fault", FAULT_CODES)
def test_a_fault_has_about_its_share(fault: str) -> None:
    faults = sum((batch.faults == FAULT_CODES[fault]).sum() for batch in message_batches(plan({fault: 0.1}, 20_000)))
    # A copy is a message of its own: of 11 messages one is a copy.
    expected = 20_000 / 11 if fault == "duplicate" else 2_000
    assert faults == pytest.approx(expected, rel=0.1)


def test_identities_look_like_version_4_uuids_and_are_unique() -> None:
    (batch,) = message_batches(plan({}, 8000))
    pick: Callable[[bytes], re.Match[bytes] | None] = re.compile(rb'"event_id":"([^"]*)"').search
    found = [match[1] for value in batch.values if (match := pick(value))]
    assert len(set(found)) == len(found) == 4000
    form = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
    assert all(form.fullmatch(identity) for identity in found)

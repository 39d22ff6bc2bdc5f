from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timedelta
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.simulator.faults import FAULT_CODES, NO_FAULT
from sluice.simulator.plan import VERSIONS, Plan, parse_start
from sluice.simulator.stream import message_batches

START = parse_start("2026-01-01T00:00:00Z")
ALL_FAULTS = {"late": 0.05, "duplicate": 0.05, "corrupt": 0.05, "out_of_range": 0.05}


def plan(**changes: object) -> Plan:
    values: dict[str, object] = {
        "devices": 100,
        "start_ms": START,
        "interval_ms": 5000,
        "seed": 0,
        "versions": {"1": 0.3, "2": 0.5, "reading": 0.2},
        "faults": {},
        "events": 1000,
    }
    return Plan(**{**values, **changes})  # type: ignore[arg-type]


def messages(made: Plan, batch_events: int = 8192) -> list[tuple[bytes, bytes, int]]:
    return [
        row
        for batch in message_batches(made, batch_events)
        for row in zip(batch.keys, batch.values, batch.faults.tolist(), strict=True)
    ]


def time_of(value: bytes) -> datetime:
    event = json.loads(value)
    return datetime.fromisoformat((event.get("timestamp") or event["dt"]).replace("Z", "+00:00"))


def test_the_first_events_of_a_seed_are_these_bytes() -> None:
    assert messages(plan(events=5)) == [
        (
            b"sensor-0001",
            b'{"schema_version":2,"device_id":"sensor-0001","timestamp":"2026-01-01T00:00:00.000Z",'
            b'"event_id":"173a56e2-e21b-4e65-9079-4116c405d02f","temperature":12.12,"humidity":60.61,'
            b'"pressure":1019.00,"battery_level":87.9,"location":{"latitude":52.52,"longitude":13.405}}',
            NO_FAULT,
        ),
        (
            b"sensor-0002",
            b'{"device_id":"sensor-0002","timestamp":"2026-01-01T00:00:00.050Z",'
            b'"event_id":"04d57679-d141-47a1-a775-32b734c3558b","temperature":15.25,"humidity":65.28,'
            b'"pressure":1012.46,"battery_level":97.3,"firmware":"2.4.1"}',
            NO_FAULT,
        ),
        (
            b"sensor-0003",
            b'{"device_id":"sensor-0003","timestamp":"2026-01-01T00:00:00.100Z",'
            b'"event_id":"cff79f45-26f2-4855-a355-fff35851e0cc","temperature":17.93,"humidity":47.34,'
            b'"pressure":1009.47,"battery_level":93.8}',
            NO_FAULT,
        ),
        (
            b"sensor-0004",
            b'{"schema_version":1,"device_id":"sensor-0004","timestamp":"2026-01-01T00:00:00.150Z",'
            b'"temperature":15.45,"humidity":49.95}',
            NO_FAULT,
        ),
        (b"meter-0001", b'{"id":"meter-0001","dt":"2026-01-01T00:00:00.200Z","value":667.5}', NO_FAULT),
    ]


@settings(max_examples=25, deadline=None)
@given(batch_events=st.integers(1, 3000), seed=st.integers(0, 5), events=st.integers(1, 2000))
def test_the_size_of_the_batches_changes_no_message(batch_events: int, seed: int, events: int) -> None:
    made = plan(seed=seed, events=events, faults=ALL_FAULTS)
    assert messages(made, batch_events) == messages(made)


def test_another_seed_gives_other_values_at_the_same_times() -> None:
    one, other = messages(plan()), messages(plan(seed=1))
    assert [time_of(value) for _, value, _ in one] == [time_of(value) for _, value, _ in other]
    assert not {value for _, value, _ in one} & {value for _, value, _ in other}


@settings(max_examples=25, deadline=None)
@given(events=st.integers(1, 500), share=st.sampled_from([0.1, 0.5, 1.0]), batch_events=st.integers(1, 200))
def test_exactly_as_many_messages_are_sent_as_asked_for(events: int, share: float, batch_events: int) -> None:
    made = plan(events=events, faults={"duplicate": share})
    assert sum(len(batch.values) for batch in message_batches(made, batch_events)) == events


def test_each_device_reports_once_an_interval_and_devices_take_turns() -> None:
    sent = messages(plan(devices=10, events=30))
    per_device: dict[bytes, list[datetime]] = {}
    for key, value, _ in sent:
        per_device.setdefault(key, []).append(time_of(value))
    assert len(per_device) == 10
    start = datetime.fromisoformat("2026-01-01T00:00:00+00:00")
    for number, times in enumerate(per_device.values()):
        assert times == [start + timedelta(seconds=5 * turn + number / 2) for turn in range(3)]


def test_versions_have_their_shares_and_devices_their_names() -> None:
    (batch,) = message_batches(plan(devices=1000, events=1000))
    kinds = [key.partition(b"-")[0] for key in batch.keys]
    names = Counter(zip([VERSIONS[version] for version in batch.versions], kinds, strict=True))
    assert names == {("1", b"sensor"): 300, ("2", b"sensor"): 500, ("reading", b"meter"): 200}
    assert {key for key in batch.keys if key.startswith(b"meter")} == {f"meter-{n:04d}".encode() for n in range(1, 201)}
    assert {key for key in batch.keys if key.startswith(b"sensor")} == {
        f"sensor-{n:04d}".encode() for n in range(1, 801)
    }


def test_without_faults_every_value_is_inside_the_registered_ranges() -> None:
    limits = {
        "temperature": (-10, 45),
        "humidity": (5, 95),
        "pressure": (870, 1085),
        "battery_level": (5, 100),
        "value": (0, 3500),
    }
    # 50 devices through 40 days: a report each 6 hours.
    for _, value, _ in messages(plan(devices=50, interval_ms=6 * 3600 * 1000, events=8000)):
        event = json.loads(value)
        for field, (low, high) in limits.items():
            assert low <= event.get(field, low) <= high, value


def test_late_events_keep_their_times_and_come_at_least_a_minute_later() -> None:
    faultless = [value for _, value, _ in messages(plan(events=20_000))]
    sent = messages(plan(events=20_000, faults={"late": 0.02}))
    assert sorted(value for _, value, _ in sent) == sorted(faultless)
    newest = datetime.fromisoformat("2026-01-01T00:00:00+00:00")
    delays = []
    for _, value, fault in sent[:15_000]:
        if fault == FAULT_CODES["late"]:
            delays.append((newest - time_of(value)).total_seconds())
        newest = max(newest, time_of(value))
    assert len(delays) > 20
    assert min(delays) >= 59.9


def test_events_on_time_keep_their_order() -> None:
    times = [time_of(value) for _, value, fault in messages(plan(faults=ALL_FAULTS | {"corrupt": 0})) if not fault]
    assert times == sorted(times)


def test_a_copy_is_the_same_bytes_after_its_original() -> None:
    sent = messages(plan(events=5000, faults={"duplicate": 0.03}))
    seen: set[tuple[bytes, bytes]] = set()
    copies = 0
    for key, value, fault in sent:
        if fault == FAULT_CODES["duplicate"]:
            assert (key, value) in seen
            copies += 1
        else:
            assert (key, value) not in seen
        seen.add((key, value))
    assert copies == pytest.approx(5000 * 0.03, rel=0.3)


def test_an_endless_plan_goes_on() -> None:
    taken = list(islice(message_batches(plan(events=None), 10), 50))
    assert [len(batch.values) for batch in taken] == [10] * 50

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from sluice.simulator.drive import Clock, Schedule, Tally, drive
from sluice.simulator.events import Batch
from sluice.simulator.plan import Pace, Plan, resolve_plan
from sluice.simulator.stream import message_batches

START = 1_790_000_000_000


class HandClock:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.seconds += seconds

    def as_clock(self) -> Clock:
        return Clock(lambda: self.seconds, lambda: START + self.seconds * 1000, self.sleep)


class Collected:
    """A sink that notes when each message came."""

    def __init__(self, hand: HandClock) -> None:
        self._hand = hand
        self.came: list[tuple[float, bytes]] = []
        self.pushed = 0

    def send(self, key: bytes | None, value: bytes) -> None:  # noqa: ARG002
        self.came.append((self._hand.seconds, value))

    def push(self) -> None:
        self.pushed = len(self.came)

    def close(self) -> None:
        self.push()


def run(plan: Plan, pace: Pace, stop_after: int | None = None) -> tuple[Collected, Tally]:
    hand = HandClock()
    clock, sink, tally = hand.as_clock(), Collected(hand), Tally()
    stopped = (lambda: False) if stop_after is None else (lambda: tally.events >= stop_after)
    drive(message_batches(plan, 64), sink, Schedule(plan, pace, clock), tally, stopped, clock)
    return sink, tally


def test_a_rate_spreads_the_messages_evenly() -> None:
    plan, pace = resolve_plan(now_ms=START, events=100, rate=10.0)
    sink, _ = run(plan, pace)
    assert [seconds for seconds, _ in sink.came] == pytest.approx([n / 10 for n in range(100)], abs=0.11)


def test_at_full_speed_nothing_waits() -> None:
    plan, pace = resolve_plan(now_ms=START, events=5000)
    sink, tally = run(plan, pace)
    assert {seconds for seconds, _ in sink.came} == {0.0}
    assert tally.events == 5000


def test_a_live_stream_sends_no_event_before_its_time() -> None:
    plan, pace = resolve_plan(now_ms=START, rate=50.0)
    assert plan.events is None
    sink, _ = run(plan, pace, stop_after=500)
    ahead = [n / 50 - seconds for n, (seconds, _) in enumerate(sink.came)]
    assert max(ahead) <= 1e-6
    assert min(ahead) > -0.11


def test_an_endless_stream_at_full_speed_catches_up_and_then_follows_the_clock() -> None:
    plan, pace = resolve_plan(now_ms=START, rate=0, devices=1, interval_seconds=3600)
    sink, _ = run(plan, pace, stop_after=27)
    assert [round(seconds / 3600, 2) for seconds, _ in sink.came] == [0.0] * 25 + [1.0, 2.0]


def test_before_it_sleeps_everything_taken_is_pushed() -> None:
    plan, pace = resolve_plan(now_ms=START, rate=5.0, events=2)
    sink, _ = run(plan, pace)
    assert (len(sink.came), sink.pushed) == (2, 1)


def test_the_rate_and_the_clock_change_no_byte() -> None:
    slow = run(*resolve_plan(now_ms=START, start_ms=START, events=300, rate=100.0, seed=3))[0]
    fast = run(*resolve_plan(now_ms=START + 5, start_ms=START, events=300, rate=0, seed=3))[0]
    assert [value for _, value in slow.came] == [value for _, value in fast.came]


def test_a_stop_ends_the_sending_and_the_tally_counts_what_was_sent() -> None:
    plan, pace = resolve_plan(now_ms=START, events=100_000, rate=100.0)
    sink, tally = run(plan, pace, stop_after=150)
    assert tally.events == len(sink.came)
    assert 150 <= tally.events < 170


def test_the_tally_counts_versions_faults_and_times() -> None:
    batch = Batch(
        [b"a", b"b", b"c", b"d"],
        [b"1", b"22", b"333", b"4444"],
        np.array([0, 1, 1, 2]),
        np.array([0, 1, 4, 4]),
        np.array([0, 0, 1, 0]),
        np.array([START + 1000, START, START + 3500, START + 9000]),
    )
    tally = Tally()
    tally.add(batch, 0, 1)
    tally.add(batch, 1, 3)
    assert tally.summary(1.5) == {
        "events": 3,
        "bytes": 6,
        "seconds": 1.5,
        "events_per_second": 2,
        "versions": {"1": 1, "2": 2, "reading": 0},
        "faults": {"late": 1, "duplicate": 0, "corrupt": 0, "out_of_range": 1},
        "beyond_hard_limits": 1,
        "first_event_time": "2026-09-21T14:13:20.000Z",
        "last_event_time": "2026-09-21T14:13:23.500Z",
    }


def test_a_plan_of_one_event_is_one_message() -> None:
    plan, _ = resolve_plan(now_ms=START, events=1)
    assert [len(batch.values) for batch in islice(message_batches(plan), 5)] == [1]

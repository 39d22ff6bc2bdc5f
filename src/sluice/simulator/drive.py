"""Sends a stream into a sink at its pace, and counts what was sent. The clock is handed in."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sluice.simulator.events import Batch
from sluice.simulator.faults import FAULT_CODES
from sluice.simulator.plan import VERSIONS, Pace, Plan
from sluice.simulator.randomness import Integers
from sluice.simulator.sinks import Sink
from sluice.simulator.stream import message_batches

# The longest sleep, so that a stop is noticed; and the shortest, so that a high rate comes in small groups.
_LONGEST_NAP_SECONDS = 0.1
_SHORTEST_NAP_SECONDS = 0.005
# At most so many messages between two looks at the stop.
_GROUP = 2048


@dataclass(frozen=True)
class Clock:
    """Time as the driver sees it; tests hand in their own."""

    monotonic: Callable[[], float] = time.monotonic
    wall_ms: Callable[[], float] = lambda: time.time() * 1000
    sleep: Callable[[float], None] = time.sleep


@dataclass
class Tally:
    """What was sent so far.

    Attributes:
        events: messages.
        bytes: their size without keys.
        per_version, per_fault: messages by position in VERSIONS and by fault code.
        beyond_hard_limits: of those out of range.
        first_ms, last_ms: earliest and latest event time, or None before the first message.
    """

    events: int = 0
    bytes: int = 0
    per_version: Integers = field(default_factory=lambda: np.zeros(len(VERSIONS), dtype=np.int64))
    per_fault: Integers = field(default_factory=lambda: np.zeros(len(FAULT_CODES) + 1, dtype=np.int64))
    beyond_hard_limits: int = 0
    first_ms: int | None = None
    last_ms: int | None = None

    def add(self, batch: Batch, start: int, end: int) -> None:
        """Counts messages start … end-1 of a batch."""
        self.events += end - start
        self.bytes += sum(map(len, batch.values[start:end]))
        self.per_version += np.bincount(batch.versions[start:end], minlength=len(self.per_version))
        self.per_fault += np.bincount(batch.faults[start:end], minlength=len(self.per_fault))
        self.beyond_hard_limits += int(batch.hard[start:end].sum())
        earliest, latest = int(batch.times[start:end].min()), int(batch.times[start:end].max())
        self.first_ms = earliest if self.first_ms is None else min(self.first_ms, earliest)
        self.last_ms = latest if self.last_ms is None else max(self.last_ms, latest)

    def summary(self, seconds: float) -> dict[str, Any]:
        """The counts by name, with the rate over the seconds given."""
        return {
            "events": self.events,
            "bytes": self.bytes,
            "seconds": round(seconds, 3),
            "events_per_second": round(self.events / seconds) if seconds > 0 else None,
            "versions": dict(zip(VERSIONS, self.per_version.tolist(), strict=True)),
            "faults": {fault: int(self.per_fault[code]) for fault, code in FAULT_CODES.items()},
            "beyond_hard_limits": self.beyond_hard_limits,
            "first_event_time": _rfc3339(self.first_ms),
            "last_event_time": _rfc3339(self.last_ms),
        }


class Schedule:
    """How many messages may have left by now.

    Args:
        plan: message n belongs to event n or an earlier one, whose time is start + n steps.
        pace: the rate, and whether the clock is followed.
        clock: the time; read once here for the start.
    """

    def __init__(self, plan: Plan, pace: Pace, clock: Clock) -> None:
        self._plan = plan
        self._pace = pace
        self._clock = clock
        self._began = clock.monotonic()

    def allowed(self) -> float:
        """Messages that may have left since the start; infinite where nothing holds them back."""
        by_rate = by_clock = float("inf")
        if self._pace.rate:
            by_rate = (self._clock.monotonic() - self._began) * self._pace.rate + 1
        if self._pace.follows_clock:
            by_clock = (self._clock.wall_ms() - self._plan.start_ms) / self._plan.step_ms + 1
        return min(by_rate, by_clock)

    def nap_seconds(self, sent: int) -> float:
        """How long to sleep until the next message may leave, within bounds."""
        slowest = min(self._pace.rate or float("inf"), 1000 / self._plan.step_ms)
        wait = (sent + 1 - self.allowed()) / slowest
        return min(max(wait, _SHORTEST_NAP_SECONDS), _LONGEST_NAP_SECONDS)


def drive(
    batches: Iterable[Batch],
    sink: Sink,
    schedule: Schedule,
    tally: Tally,
    stopped: Callable[[], bool],
    clock: Clock,
    on_progress: Callable[[Tally], None] = lambda _: None,
) -> None:
    """Sends the batches until they end or `stopped` says so; the sink stays open, the tally counts what it took."""
    for batch in batches:
        done = 0
        while done < len(batch.values):
            if stopped():
                return
            ready = min(schedule.allowed() - tally.events, len(batch.values) - done, _GROUP)
            if ready < 1:
                sink.push()
                clock.sleep(schedule.nap_seconds(tally.events))
                continue
            end = done + int(ready)
            for key, value in zip(batch.keys[done:end], batch.values[done:end], strict=True):
                sink.send(key, value)
            tally.add(batch, done, end)
            on_progress(tally)
            done = end


def send_plan(
    plan: Plan,
    pace: Pace,
    sink: Sink,
    clock: Clock,
    stopped: Callable[[], bool] = lambda: False,
    on_progress: Callable[[Tally], None] = lambda _: None,
) -> dict[str, Any]:
    """Sends a plan's messages as `drive` does and closes the sink; returns the summary of what was sent."""
    tally = Tally()
    began = clock.monotonic()
    drive(message_batches(plan), sink, Schedule(plan, pace, clock), tally, stopped, clock, on_progress)
    sink.close()
    return tally.summary(clock.monotonic() - began)


def _rfc3339(milliseconds: int | None) -> str | None:
    if milliseconds is None:
        return None
    return f"{np.datetime64(milliseconds, 'ms')}Z"

"""The messages of a plan in the order in which they are sent: late events later, copies after their originals.

Places are counted in events, not in seconds of the clock, so the order does not depend on the rate. Holds back in
memory what waits for its later place: at most the share of late events times their longest delay.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from sluice.simulator.events import Batch, make_events
from sluice.simulator.faults import FAULT_CODES, NO_FAULT, copies_after_events, delays_in_events
from sluice.simulator.fleet import Fleet, build_fleet
from sluice.simulator.plan import DUPLICATE, LATE, Plan
from sluice.simulator.randomness import Integers

BATCH_EVENTS = 8192


class _Displaced(NamedTuple):
    """One message that waits; ordered by place, then by number."""

    place: int
    number: int
    key: bytes
    value: bytes
    version: int
    fault: int
    hard: int
    time: int


def message_batches(plan: Plan, batch_events: int = BATCH_EVENTS) -> Iterator[Batch]:
    """All messages of the plan, exactly `plan.events` of them, or without end.

    Args:
        plan: what to send.
        batch_events: how many events are made at a time; changes the batches, never the messages or their order.
    """
    fleet = build_fleet(plan)
    waiting: list[_Displaced] = []
    left = plan.events
    first = 0
    while left is None or left > 0:
        end = first + batch_events
        made, taken = _make(plan, fleet, first, end, left)
        for message in _displace(plan, first, made, left):
            heapq.heappush(waiting, message)
        yield _merged(first, made, _due(waiting, end))
        left = None if left is None else left - taken
        first = end
    while waiting:
        yield _merged(first, _head(made, 0), [heapq.heappop(waiting) for _ in range(min(batch_events, len(waiting)))])


def _make(plan: Plan, fleet: Fleet, first: int, end: int, left: int | None) -> tuple[Batch, int]:
    """Events that give at most `left` messages, and how many messages they give."""
    made = make_events(plan, fleet, first, end)
    given = np.cumsum(1 + (made.faults == FAULT_CODES[DUPLICATE]))
    if left is None or given[-1] <= left:
        return made, int(given[-1])
    return _head(made, int(np.searchsorted(given, left)) + 1), left


def _displace(plan: Plan, first: int, made: Batch, left: int | None) -> list[_Displaced]:
    rows = np.flatnonzero((made.faults == FAULT_CODES[LATE]) | (made.faults == FAULT_CODES[DUPLICATE]))
    if not len(rows):
        return []
    index = rows + first
    is_late = made.faults[rows] == FAULT_CODES[LATE]
    places = index + np.where(is_late, delays_in_events(plan, index), copies_after_events(plan, index))
    displaced = [_take(made, row, place, first) for row, place in zip(rows.tolist(), places.tolist(), strict=True)]
    overshoot = left is not None and len(made.values) + int((~is_late).sum()) > left
    return displaced[:-1] if overshoot else displaced


def _take(made: Batch, row: int, place: int, first: int) -> _Displaced:
    numbers = (int(column[row]) for column in (made.versions, made.faults, made.hard, made.times))
    return _Displaced(place, first + row, made.keys[row], made.values[row], *numbers)


def _due(waiting: list[_Displaced], end: int) -> list[_Displaced]:
    due = []
    while waiting and waiting[0].place < end:
        due.append(heapq.heappop(waiting))
    return due


def _merged(first: int, made: Batch, due: list[_Displaced]) -> Batch:
    """Events in place with the displaced ones due among them, each after the event whose number is its place."""
    stays = made.faults != FAULT_CODES[LATE]
    if not due and stays.all() and not (made.faults == FAULT_CODES[DUPLICATE]).any():
        return made
    rows = np.flatnonzero(stays)
    kept = rows.tolist()
    places = np.searchsorted(rows + first, np.array([message.place for message in due], dtype=np.int64), side="right")
    faults = made.faults[rows]
    faults = np.where(faults == FAULT_CODES[DUPLICATE], NO_FAULT, faults)

    def column(values: Integers, name: str) -> Integers:
        return np.insert(values, places, [getattr(message, name) for message in due])

    return Batch(
        _woven([made.keys[row] for row in kept], [message.key for message in due], places.tolist()),
        _woven([made.values[row] for row in kept], [message.value for message in due], places.tolist()),
        column(made.versions[rows], "version"),
        column(faults, "fault"),
        column(made.hard[rows], "hard"),
        column(made.times[rows], "time"),
    )


def _woven(kept: list[bytes], added: list[bytes], places: list[int]) -> list[bytes]:
    woven: list[bytes] = []
    done = 0
    for value, place in zip(added, places, strict=True):
        woven += kept[done:place]
        woven.append(value)
        done = place
    return woven + kept[done:]


def _head(made: Batch, count: int) -> Batch:
    keys, values, versions, faults, hard, times = made
    return Batch(keys[:count], values[:count], versions[:count], faults[:count], hard[:count], times[:count])

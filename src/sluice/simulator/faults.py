"""What goes wrong with events: which ones, and how. A function of seed and event number."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np

from sluice.simulator.plan import FAULTS, LATE, OUT_OF_RANGE, Plan
from sluice.simulator.randomness import Floats, Integers, bits, uniform, whole

NO_FAULT = 0
FAULT_CODES = {fault: code for code, fault in enumerate(FAULTS, start=1)}
SHORTEST_DELAY_MS = 60_000
# Doublings from a minute to about four hours: delays are spread evenly over their orders of magnitude.
_DELAY_DOUBLINGS = 8
# Bounds what waits in memory for its later place.
MAX_DELAY_EVENTS = 2_000_000
COPY_WITHIN_EVENTS = 1_000
# Of the events out of range, this share is beyond the hard limits too.
BEYOND_HARD_LIMITS_SHARE = 0.2


def choose_faults(plan: Plan, index: Integers) -> Integers:
    """The fault code of every event, NO_FAULT for most; an event has at most one fault."""
    codes = np.zeros(len(index), dtype=np.int64)
    if not any(plan.faults.values()):
        return codes
    drawn = uniform(plan.seed, "fault", index)
    floor = 0.0
    for fault, code in FAULT_CODES.items():
        share = plan.faults.get(fault, 0.0)
        codes[(drawn >= floor) & (drawn < floor + share)] = code
        floor += share
    return codes


def delays_in_events(plan: Plan, index: Integers) -> Integers:
    """By how many places each late event moves back: a minute to about four hours of event time."""
    doublings = whole(plan.seed, "delay", index, 0, _DELAY_DOUBLINGS)
    delay_ms = SHORTEST_DELAY_MS * (1 << doublings) * uniform(plan.seed, "delay-part", index, 1.0, 2.0)
    places: Integers = np.ceil(delay_ms / plan.step_ms).astype(np.int64)
    return np.clip(places, 1, MAX_DELAY_EVENTS)


def copies_after_events(plan: Plan, index: Integers) -> Integers:
    """How many places after the original each copy is sent."""
    return whole(plan.seed, "copy", index, 1, COPY_WITHIN_EVENTS + 1)


def beyond_hard_limits(plan: Plan, index: Integers) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """True for the events out of range (as asked by the caller) that break a hard limit too."""
    return uniform(plan.seed, "hard", index) < BEYOND_HARD_LIMITS_SHARE


def spoil_values(plan: Plan, index: Integers, codes: Integers, values: Mapping[str, Floats]) -> None:
    """Puts values outside the registry's ranges into the events whose code says so, in place.

    Either temperature or humidity of an event leaves its range; a meter's value always does (it has no hard limit).
    """
    rows = np.flatnonzero(codes == FAULT_CODES[OUT_OF_RANGE])
    if not len(rows):
        return
    which = index[rows]
    hard = beyond_hard_limits(plan, which)
    coin = bits(plan.seed, "side", which)
    high = (coin & np.uint64(1)).astype(bool)
    on_temperature = (coin & np.uint64(2)).astype(bool)
    share = uniform(plan.seed, "excess", which)
    hot = np.where(hard, 101.0 + 99.0 * share, 46.0 + 50.0 * share)
    cold = np.where(hard, -51.0 - 40.0 * share, -11.0 - 35.0 * share)
    wet = np.where(hard, 101.0 + 60.0 * share, 95.5 + 4.0 * share)
    dry = np.where(hard, -1.0 - 50.0 * share, 4.5 - 4.0 * share)
    temperature, humidity, power = values["temperature"], values["humidity"], values["power"]
    temperature[rows] = np.where(on_temperature, np.where(high, hot, cold), temperature[rows])
    humidity[rows] = np.where(on_temperature, humidity[rows], np.where(high, wet, dry))
    power[rows] = np.where(high, 3_600.0 + 5_000.0 * share, -1.0 - 200.0 * share)


def _cut_short(value: bytes, draw: int) -> bytes:
    return value[: 1 + draw % (len(value) - 1)]


def _without_device(value: bytes, draw: int) -> bytes:  # noqa: ARG001
    return re.sub(rb'"(device_id|id)":"[^"]*",', b"", value, count=1)


def _number_as_text(value: bytes, draw: int) -> bytes:  # noqa: ARG001
    return re.sub(rb'"(temperature|value)":(-?[0-9.]+)', rb'"\1":"\2"', value, count=1)


def _impossible_time(value: bytes, draw: int) -> bytes:  # noqa: ARG001
    return re.sub(rb'"(timestamp|dt)":"(\d{4})-\d\d-\d\d', rb'"\1":"\2-13-45', value, count=1)


def _time_without_offset(value: bytes, draw: int) -> bytes:  # noqa: ARG001
    return re.sub(rb'("(?:timestamp|dt)":"[^"]*)Z"', rb'\1"', value, count=1)


def _broken_utf8(value: bytes, draw: int) -> bytes:
    return re.sub(rb'"(device_id|id)":"', lambda found: found[0] + bytes([0x80 + draw % 0x40]), value, count=1)


_CORRUPTIONS: tuple[Callable[[bytes, int], bytes], ...] = (
    _cut_short,
    _without_device,
    _number_as_text,
    _impossible_time,
    _time_without_offset,
    _broken_utf8,
)


def corrupt(plan: Plan, index: int, value: bytes) -> bytes:
    """The event as no contract accepts it: cut short, a field missing, a wrong type, a bad time, bad UTF-8."""
    where = np.array([index], dtype=np.int64)
    kind = int(whole(plan.seed, "corruption", where, 0, len(_CORRUPTIONS))[0])
    return _CORRUPTIONS[kind](value, int(whole(plan.seed, "corruption-draw", where, 0, 1 << 30)[0]))


__all__ = [
    "FAULT_CODES",
    "LATE",
    "NO_FAULT",
    "beyond_hard_limits",
    "choose_faults",
    "copies_after_events",
    "corrupt",
    "delays_in_events",
    "spoil_values",
]

"""The events of a plan, in the order of their numbers; any range of numbers can be made by itself."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sluice.simulator.faults import FAULT_CODES, beyond_hard_limits, choose_faults, corrupt, spoil_values
from sluice.simulator.fleet import Fleet
from sluice.simulator.plan import CORRUPT, OUT_OF_RANGE, VERSIONS, Plan
from sluice.simulator.randomness import Bits, Floats, Integers, bits, cycle, noise

_DAY_MS = 86_400_000.0
# The daily wave is highest in mid-afternoon.
_WARMEST_SHIFT = 0.375
_PRESSURE_DAYS = 3.0
_BATTERY_DAYS = 60.0
_BATTERY_PERCENT_A_DAY = 1.25


class Batch(NamedTuple):
    """Messages in the order in which they are sent.

    Attributes:
        keys: device ids.
        values: the messages.
        versions: position in VERSIONS.
        faults: fault codes; a copy carries `duplicate`, its original nothing.
        hard: true where a value is beyond the hard limits.
        times: event times, milliseconds since the epoch.
    """

    keys: list[bytes]
    values: list[bytes]
    versions: Integers
    faults: Integers
    hard: Integers
    times: Integers


def make_events(plan: Plan, fleet: Fleet, first: int, end: int) -> Batch:
    """Events first … end-1, each as its device sends it; faults of place (late, copies) are marked, not moved."""
    index = np.arange(first, end, dtype=np.int64)
    device = index % plan.devices
    times = plan.start_ms + index * plan.interval_ms // plan.devices
    codes = choose_faults(plan, index)
    values = _measure(plan, fleet, index, device, times)
    spoil_values(plan, index, codes, values)
    versions = fleet.versions[device]
    out_of_range = codes == FAULT_CODES[OUT_OF_RANGE]
    hard = out_of_range & (versions != VERSIONS.index("reading")) & beyond_hard_limits(plan, index)
    messages = _write(plan, fleet, index, device, times, values)
    for row in np.flatnonzero(codes == FAULT_CODES[CORRUPT]).tolist():
        messages[row] = corrupt(plan, first + row, messages[row])
    keys = [fleet.keys[number] for number in device.tolist()]
    return Batch(keys, messages, versions, codes, hard.astype(np.int64), times)


def _measure(plan: Plan, fleet: Fleet, index: Integers, device: Integers, times: Integers) -> dict[str, Floats]:
    seed = plan.seed
    days: Floats = times.astype(np.float64) / _DAY_MS
    daily = cycle(days - _WARMEST_SHIFT) * fleet.swing[device]
    weather = cycle(days / _PRESSURE_DAYS)
    used = days + fleet.battery_days[device]
    used = used - np.floor(used / _BATTERY_DAYS) * _BATTERY_DAYS
    power = fleet.power[device] * (1.0 + 0.4 * daily) + 15.0 * noise(seed, "power-noise", index)
    return {
        "temperature": fleet.temperature[device] + 5.0 * daily + 0.3 * noise(seed, "temperature-noise", index),
        "humidity": fleet.humidity[device] - 8.0 * daily + 0.8 * noise(seed, "humidity-noise", index),
        "pressure": fleet.pressure[device] + 5.0 * weather + 0.2 * noise(seed, "pressure-noise", index),
        "battery": 100.0 - _BATTERY_PERCENT_A_DAY * used,
        "power": np.clip(power, 0.0, 3400.0),
    }


def _rounded(values: Floats, places: int) -> list[float]:
    scale = 10.0**places
    # + 0.0 turns a negative zero into zero.
    rounded: list[float] = (np.rint(values * scale) / scale + 0.0).tolist()
    return rounded


def _write(
    plan: Plan, fleet: Fleet, index: Integers, device: Integers, times: Integers, values: dict[str, Floats]
) -> list[bytes]:
    written: list[bytes] = [b""] * len(index)
    stamps = np.datetime_as_string(times.astype("datetime64[ms]"), unit="ms").astype("S").tolist()
    devices = device.tolist()
    versions = fleet.versions[device]
    templates = fleet.templates
    rows = np.flatnonzero(versions == VERSIONS.index("1"))
    for row, temperature, humidity in zip(
        rows.tolist(), _rounded(values["temperature"][rows], 2), _rounded(values["humidity"][rows], 2), strict=True
    ):
        written[row] = templates[devices[row]] % (stamps[row], temperature, humidity)
    rows = np.flatnonzero(versions == VERSIONS.index("2"))
    identities = _identities(plan, index[rows], times[rows])
    measured = (_rounded(values[name][rows], 2) for name in ("temperature", "humidity", "pressure"))
    for row, identity, *numbers in zip(
        rows.tolist(), identities, *measured, _rounded(values["battery"][rows], 1), strict=True
    ):
        written[row] = templates[devices[row]] % (stamps[row], *identity, *numbers)
    rows = np.flatnonzero(versions == VERSIONS.index("reading"))
    for row, power in zip(rows.tolist(), _rounded(values["power"][rows], 1), strict=True):
        written[row] = templates[devices[row]] % (stamps[row], power)
    return written


def _identities(plan: Plan, index: Integers, times: Integers) -> list[tuple[int, ...]]:
    """The five parts of a version-4 UUID per event; of seed, number and time, so that no two runs share one."""
    high: Bits = bits(plan.seed, "event-id", index) ^ bits(plan.seed, "event-id-time", times)
    low: Bits = bits(plan.seed, "event-id-low", index) ^ bits(plan.seed, "event-id-low-time", times)

    def part(source: Bits, shift: int, mask: int) -> Bits:
        wanted: Bits = (source >> np.uint64(shift)) & np.uint64(mask)
        return wanted

    parts = (
        part(high, 32, 0xFFFFFFFF),
        part(high, 16, 0xFFFF),
        part(high, 0, 0x0FFF) | np.uint64(0x4000),
        part(low, 48, 0x3FFF) | np.uint64(0x8000),
        part(low, 0, 0xFFFFFFFFFFFF),
    )
    return list(zip(*(column.tolist() for column in parts), strict=True))

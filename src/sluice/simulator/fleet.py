"""The devices: who they are, what form they speak, and around which values they move. A function of the plan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sluice.simulator.plan import VERSIONS, Plan
from sluice.simulator.randomness import Floats, Integers, bits, uniform, whole

# Sites of conf/devices.yaml; a device keeps to one.
_SITES = ((52.52, 13.405), (59.91, 10.75), (40.42, -3.7))
_FIRMWARE = ("2.1.0", "2.3.4", "2.4.1", "3.0.0")
_STATUS = ("ok", "ok", "idle")


@dataclass(frozen=True)
class Fleet:
    """All devices; the arrays and lists are indexed by device number from 0.

    Attributes:
        versions: position in VERSIONS.
        keys: device ids as bytes: sensor-0001… for versions 1 and 2, meter-0001… for readings.
        templates: the event of each device, with a place for everything that changes from event to event.
        temperature, humidity, pressure, power: the middle of each device's values.
        swing: how strongly its values follow the time of day, about 1.
        battery_days: where in its discharge each device is at the epoch.
    """

    versions: Integers
    keys: list[bytes]
    templates: list[bytes]
    temperature: Floats
    humidity: Floats
    pressure: Floats
    power: Floats
    swing: Floats
    battery_days: Floats


def build_fleet(plan: Plan) -> Fleet:
    """The devices of a plan. Each version has its share of them, to the nearest device, spread by the seed."""
    number = np.arange(plan.devices, dtype=np.int64)
    versions = _assign_versions(plan)
    names = _names(versions)
    seed = plan.seed
    return Fleet(
        versions=versions,
        keys=[name.encode() for name in names],
        templates=_templates(seed, versions, names),
        temperature=uniform(seed, "temperature", number, 12.0, 24.0),
        humidity=uniform(seed, "humidity", number, 40.0, 65.0),
        pressure=uniform(seed, "pressure", number, 1005.0, 1021.0),
        power=uniform(seed, "power", number, 200.0, 1500.0),
        swing=uniform(seed, "swing", number, 0.6, 1.4),
        battery_days=uniform(seed, "battery", number, 0.0, 60.0),
    )


def _assign_versions(plan: Plan) -> Integers:
    number = np.arange(plan.devices, dtype=np.int64)
    shares = np.cumsum([plan.versions.get(version, 0.0) for version in VERSIONS])
    bounds = np.rint(shares * plan.devices).astype(np.int64)
    by_rank = np.searchsorted(bounds, number, side="right")
    order = np.argsort(bits(plan.seed, "version", number), kind="stable")
    assigned = np.empty(plan.devices, dtype=np.int64)
    assigned[order] = np.minimum(by_rank, len(VERSIONS) - 1)
    return assigned


def _names(versions: Integers) -> list[str]:
    is_meter = versions == VERSIONS.index("reading")
    rank = np.where(is_meter, np.cumsum(is_meter), np.cumsum(~is_meter))
    kinds = np.where(is_meter, "meter", "sensor")
    return [f"{kind}-{position:04d}" for kind, position in zip(kinds.tolist(), rank.tolist(), strict=True)]


def _templates(seed: int, versions: Integers, names: list[str]) -> list[bytes]:
    number = np.arange(len(names), dtype=np.int64)
    traits = whole(seed, "traits", number, 0, 720).tolist()
    writers = (_template_v1, _template_v2, _template_reading)
    return [
        writers[version](name, trait).encode()
        for version, name, trait in zip(versions.tolist(), names, traits, strict=True)
    ]


def _template_v1(name: str, trait: int) -> str:
    declared = '"schema_version":1,' if trait % 2 else ""
    status = f',"status":"{_STATUS[trait % 3]}"' if trait % 4 < 2 else ""
    return f'{{{declared}"device_id":"{name}","timestamp":"%bZ","temperature":%.2f,"humidity":%.2f{status}}}'


def _template_v2(name: str, trait: int) -> str:
    declared = '"schema_version":2,' if trait % 2 else ""
    latitude, longitude = _SITES[trait % 3]
    location = f',"location":{{"latitude":{latitude},"longitude":{longitude}}}' if trait % 5 < 2 else ""
    firmware = f',"firmware":"{_FIRMWARE[trait % 4]}"' if trait % 3 else ""
    return (
        f'{{{declared}"device_id":"{name}","timestamp":"%bZ","event_id":"%08x-%04x-%04x-%04x-%012x",'
        f'"temperature":%.2f,"humidity":%.2f,"pressure":%.2f,"battery_level":%.1f{location}{firmware}}}'
    )


def _template_reading(name: str, trait: int) -> str:  # noqa: ARG001 (all readings look alike)
    return f'{{"id":"{name}","dt":"%bZ","value":%.1f}}'

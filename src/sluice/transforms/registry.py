"""The device registry: who a device belongs to, what it measures, and in which ranges."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sluice.errors import ContractInvalid, RegistryInvalid
from sluice.schemas import METRIC_UNITS, METRICS
from sluice.transforms.contract import check_time_zone

MAX_DEVICES = 1_000_000
_RANGE = re.compile(r"^(?P<head>[^{}]*)\{(?P<first>\d+)\.\.(?P<last>\d+)\}(?P<tail>[^{}]*)$")
_METRIC_NAME = re.compile(r"^[a-z_][a-z0-9_]{0,63}$")

# Columns of the frame that events are joined with, see `registry_rows`.
REGISTRY_DDL = ", ".join(
    [
        "device_id string",
        "customer string",
        "site string",
        "expected_interval_seconds double",
        "assume_time_zone string",
        "registered_metric string",
        *(f"{name}_registered_{end} double" for name in (*METRICS, "value") for end in ("min", "max")),
    ]
)


@dataclass(frozen=True)
class Metric:
    """What a device measures: unit and inclusive range; an open end is None."""

    name: str
    unit: str | None
    minimum: float | None
    maximum: float | None


@dataclass(frozen=True)
class Device:
    """One registered device."""

    device_id: str
    customer: str | None
    site: str | None
    latitude: float | None
    longitude: float | None
    expected_interval_seconds: float
    metrics: tuple[Metric, ...]
    assume_time_zone: str = ""


@dataclass(frozen=True)
class Registry:
    """All registered devices."""

    devices: tuple[Device, ...]

    @property
    def units(self) -> dict[str, str]:
        """Unit of each metric that is no canonical column; the first registered device decides."""
        units: dict[str, str] = {}
        for device in self.devices:
            for metric in device.metrics:
                if metric.unit is not None and metric.name not in METRIC_UNITS:
                    units.setdefault(metric.name, metric.unit)
        return units


def parse_registry(content: Mapping[str, Any], origin: str = "the registry") -> Registry:
    """The registry in the content of conf/devices.yaml; ranges of device ids are written out.

    Raises:
        RegistryInvalid: names the file, the entry and what is unknown, missing, wrong or there twice.
    """
    try:
        if set(content) - {"devices"}:
            raise RegistryInvalid(f"unknown key {', '.join(sorted(map(str, set(content) - {'devices'})))}")
        entries = content.get("devices") or []
        if not isinstance(entries, list):
            raise RegistryInvalid("devices must be a list")
        devices: dict[str, Device] = {}
        for index, entry in enumerate(entries):
            for device in _parse_entry(entry, f"devices[{index}]"):
                if device.device_id in devices:
                    raise RegistryInvalid(f"devices[{index}]: {device.device_id} is registered twice")
                devices[device.device_id] = device
        return Registry(tuple(devices.values()))
    except (RegistryInvalid, ContractInvalid) as error:
        raise RegistryInvalid(f"{origin}: {error.message}", error.hint or "mend the file") from None


def registry_rows(registry: Registry) -> list[tuple[Any, ...]]:
    """One row per device, in the columns of REGISTRY_DDL.

    `registered_metric` and the range of `value` are those of a device with exactly one metric, which is what
    a reading event of it measures; they are null for all others.
    """
    rows = []
    for device in registry.devices:
        ranges = {metric.name: (metric.minimum, metric.maximum) for metric in device.metrics}
        only = device.metrics[0].name if len(device.metrics) == 1 else None
        ends = [end for name in METRICS for end in ranges.get(name, (None, None))]
        ends += ranges[only] if only else (None, None)
        zone = device.assume_time_zone or None
        head = (device.device_id, device.customer, device.site, device.expected_interval_seconds, zone, only)
        rows.append((*head, *ends))
    return rows


def _parse_entry(entry: Any, where: str) -> Iterator[Device]:
    if not isinstance(entry, Mapping):
        raise RegistryInvalid(f"{where} must hold keys")
    known = {
        "device_id",
        "customer",
        "site",
        "latitude",
        "longitude",
        "expected_interval_seconds",
        "metrics",
        "assume_time_zone",
    }
    if unknown := sorted(map(str, set(entry) - known)):
        raise RegistryInvalid(f"{where}: unknown key {', '.join(unknown)}", f"known: {', '.join(sorted(known))}")
    name = entry.get("device_id")
    if not isinstance(name, str) or not name:
        raise RegistryInvalid(f"{where}: device_id must be a text")
    where = f"{where} ({name})"
    interval = _number(entry.get("expected_interval_seconds"), f"{where}: expected_interval_seconds")
    if interval is None or interval <= 0:
        raise RegistryInvalid(f"{where}: expected_interval_seconds must be greater than 0")
    zone = entry.get("assume_time_zone", "")
    check_time_zone(zone, where)
    metrics = tuple(_parse_metrics(entry.get("metrics"), where))
    for device_id in _expand(name, where):
        yield Device(
            device_id,
            _text(entry.get("customer"), f"{where}: customer"),
            _text(entry.get("site"), f"{where}: site"),
            _number(entry.get("latitude"), f"{where}: latitude"),
            _number(entry.get("longitude"), f"{where}: longitude"),
            interval,
            metrics,
            zone,
        )


def _parse_metrics(entries: Any, where: str) -> Iterator[Metric]:
    if not isinstance(entries, Mapping) or not entries:
        raise RegistryInvalid(f"{where}: metrics must hold name: {{unit: …, min: …, max: …}}")
    for name, entry in entries.items():
        here = f"{where}: metric {name}"
        if not isinstance(name, str) or not _METRIC_NAME.match(name):
            raise RegistryInvalid(f"{here}: a metric's name is small letters, digits and _")
        if not isinstance(entry, Mapping) or set(entry) - {"unit", "min", "max"}:
            raise RegistryInvalid(f"{here} may hold unit, min and max")
        minimum, maximum = _number(entry.get("min"), f"{here}: min"), _number(entry.get("max"), f"{here}: max")
        if minimum is not None and maximum is not None and minimum > maximum:
            raise RegistryInvalid(f"{here}: min {minimum:g} is greater than max {maximum:g}")
        unit = _text(entry.get("unit"), f"{here}: unit")
        if name in METRIC_UNITS and unit not in (None, METRIC_UNITS[name]):
            raise RegistryInvalid(f"{here}: the unit of {name} is {METRIC_UNITS[name]}, not {unit}")
        yield Metric(name, METRIC_UNITS.get(name, unit), minimum, maximum)


def _expand(name: str, where: str) -> Iterator[str]:
    found = _RANGE.match(name)
    if not found:
        yield name
        return
    first, last = found["first"], found["last"]
    if not 0 <= int(last) - int(first) < MAX_DEVICES:
        raise RegistryInvalid(f"{where}: the range must rise and hold at most {MAX_DEVICES} devices")
    for number in range(int(first), int(last) + 1):
        yield f"{found['head']}{number:0{len(first)}d}{found['tail']}"


def _text(value: Any, where: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise RegistryInvalid(f"{where} must be a text, not {value!r}")


def _number(value: Any, where: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    raise RegistryInvalid(f"{where} must be a number, not {value!r}")

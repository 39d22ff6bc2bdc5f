"""The devices of the lake: who they belong to, what they measure, and which of them are online."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sluice.dashboard.decisions import registry_in_use
from sluice.schemas import GOLD_LATEST_READINGS
from sluice.serving.evidence import Configs
from sluice.serving.files import TableFiles
from sluice.serving.lake import OpenLake
from sluice.serving.presence import ONLINE, UNKNOWN, presence_of

Range = tuple[float | None, float | None]


@dataclass(frozen=True)
class Latest:
    """The newest reading of one metric of a device."""

    metric: str
    value: float | None
    event_time: datetime
    quality_flag: str | None


@dataclass(frozen=True)
class Device:
    """A device that has sent readings.

    Attributes:
        customer, site: as registered; None for an unknown device.
        expected_interval_seconds: None for an unknown device.
        latest: its newest reading of each metric, by name.
    """

    device_id: str
    customer: str | None
    site: str | None
    expected_interval_seconds: float | None
    latest: tuple[Latest, ...]

    @property
    def last_seen(self) -> datetime:
        """The time of its newest reading."""
        return max(each.event_time for each in self.latest)

    def is_online(self, at: datetime) -> bool | None:
        """Whether it reported lately, seen from a moment; None where nobody knows how often it should."""
        presence = presence_of(self.last_seen, self.expected_interval_seconds, at)
        return None if presence == UNKNOWN else presence == ONLINE


def read_fleet(lake: OpenLake) -> tuple[Device, ...]:
    """All devices of gold/latest_readings, by id; who they belong to as the registry in use has it."""
    files = TableFiles(lake)
    sql = """SELECT device_id, any_value(expected_interval_seconds) AS interval,
        list(struct_pack(metric, value, event_time, quality_flag) ORDER BY metric) AS latest
        FROM gold.latest_readings GROUP BY device_id ORDER BY device_id"""
    rows = files.query(sql, {}, [GOLD_LATEST_READINGS])
    digest, configs = registry_in_use(lake), Configs(files)
    fleet = []
    for row in rows:
        entry = configs.registered(digest, row["device_id"])
        latest = tuple(Latest(**each) for each in row["latest"])
        fleet.append(Device(row["device_id"], entry.get("customer"), entry.get("site"), row["interval"], latest))
    return tuple(fleet)


def read_ranges(lake: OpenLake, devices: tuple[str, ...]) -> dict[str, Range]:
    """Least and greatest registered value of each metric that has the same for all of these devices that have it."""
    configs, digest = Configs(TableFiles(lake)), registry_in_use(lake)
    # An entry of the registry stands for many devices.
    entries = {id(entry): entry for entry in (configs.registered(digest, device_id) for device_id in devices)}
    ranges: dict[str, set[Range]] = {}
    for entry in entries.values():
        for metric, described in (entry.get("metrics") or {}).items():
            ranges.setdefault(metric, set()).add((described.get("min"), described.get("max")))
    return {metric: next(iter(found)) for metric, found in ranges.items() if len(found) == 1}


def in_scope(fleet: Sequence[Device], devices: tuple[str, ...] | None) -> tuple[Device, ...]:
    """The devices with the given ids; None takes all."""
    if devices is None:
        return tuple(fleet)
    wanted = frozenset(devices)
    return tuple(device for device in fleet if device.device_id in wanted)

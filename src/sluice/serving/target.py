"""What `sluice trace` is asked for: an event's id, a device at a time, or the coordinates of a record. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone

from sluice.errors import TargetInvalid

ID, TIME, COORDINATES = "id", "time", "coordinates"
KINDS = (ID, TIME, COORDINATES)

_COORDINATES = re.compile(
    r"(?P<topic>[A-Za-z0-9._-]{1,249}):(?:(?P<generation>[0-9]{1,10}):)?(?P<partition>[0-9]{1,10}):(?P<offset>[0-9]{1,19})"
)
_DEVICE_AT = re.compile(r"(?P<device>.+)@(?P<time>[^@]+)", re.DOTALL)
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
_MOST_INT, _MOST_BIGINT = 2**31 - 1, 2**63 - 1


@dataclass(frozen=True)
class EventId:
    """An event's id as it was given by the device, or `sha256:…`; several events may carry it."""

    event_id: str
    kind = ID

    def __str__(self) -> str:
        return f"event id {self.event_id}"


@dataclass(frozen=True)
class DeviceTime:
    """All events of a device at one moment."""

    device_id: str
    event_time: datetime
    kind = TIME

    def __str__(self) -> str:
        return f"device {self.device_id} at {self.event_time.isoformat().replace('+00:00', 'Z')}"


@dataclass(frozen=True)
class RecordAt:
    """A Kafka record; without a generation those of all generations of the topic."""

    topic: str
    generation: int | None
    partition: int
    offset: int
    kind = COORDINATES

    def __str__(self) -> str:
        generation = "" if self.generation is None else f":{self.generation}"
        return f"coordinates {self.topic}{generation}:{self.partition}:{self.offset}"


Target = EventId | DeviceTime | RecordAt


def read_target(text: str, kind: str | None = None) -> list[Target]:
    """What the text can mean, in the order in which it is looked for.

    Coordinates come first (`TOPIC[:GENERATION]:PARTITION:OFFSET`), then a device and a time (what stands after the
    last `@` is an RFC 3339 time with an offset), then an event's id, which every text can be.

    Args:
        kind: id, time or coordinates: this meaning and no other.

    Raises:
        TargetInvalid: the text is empty, or not of that kind.
    """
    if not text:
        raise TargetInvalid("nothing to trace was given", "give EVENT_ID, DEVICE@TIME or TOPIC:PARTITION:OFFSET")
    if kind is None:
        return [target for target in (_READERS[each](text) for each in (COORDINATES, TIME, ID)) if target]
    found = _READERS[kind](text)
    if found is None:
        raise TargetInvalid(f"{text!r} cannot be read as {kind}", f"write {_FORMS[kind]}")
    return [found]


def _read_id(text: str) -> Target | None:
    return EventId(text)


def _read_time(text: str) -> Target | None:
    found = _DEVICE_AT.fullmatch(text)
    moment = parse_moment(found["time"]) if found else None
    return DeviceTime(found["device"], moment) if found and moment else None


def _read_coordinates(text: str) -> Target | None:
    found = _COORDINATES.fullmatch(text)
    if found is None:
        return None
    generation = None if found["generation"] is None else int(found["generation"])
    partition, offset = int(found["partition"]), int(found["offset"])
    if max(partition, generation or 0) > _MOST_INT or offset > _MOST_BIGINT:
        return None
    return RecordAt(found["topic"], generation, partition, offset)


def parse_moment(text: str) -> datetime | None:
    """An RFC 3339 time with an offset, in UTC to the microsecond; None where the text is none."""
    if not _RFC3339.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text.upper()).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None


_READERS: dict[str, Callable[[str], Target | None]] = {
    ID: _read_id,
    TIME: _read_time,
    COORDINATES: _read_coordinates,
}
_FORMS = {
    ID: "the id as it stands in silver.readings",
    TIME: "DEVICE@TIME with an RFC 3339 time and its offset, e.g. sensor-0001@2026-03-01T12:00:05Z",
    COORDINATES: "TOPIC:PARTITION:OFFSET or TOPIC:GENERATION:PARTITION:OFFSET, e.g. iot.raw:0:1234",
}

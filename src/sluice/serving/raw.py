"""What the bytes of a record say, as far as Python's JSON reader can tell: to find and show, not to judge. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from sluice.serving.target import DeviceTime, EventId, parse_moment

_MOST_BYTES = 1_048_576


def read_members(content: bytes | None) -> dict[str, Any]:
    """The members of the JSON object that the bytes are, nested ones under dotted names; empty if they are none."""
    if not content or len(content) > _MOST_BYTES:
        return {}
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return dict(_members(value, "")) if isinstance(value, Mapping) else {}


def _members(value: Mapping[str, Any], prefix: str, depth: int = 0) -> Iterator[tuple[str, Any]]:
    for name, member in value.items():
        if isinstance(member, Mapping) and depth < 8:
            yield from _members(member, f"{prefix}{name}.", depth + 1)
        else:
            yield f"{prefix}{name}", member


def needles(target: EventId | DeviceTime) -> list[list[bytes]]:
    """Byte strings: of each list a record of the target holds one, unless its JSON escapes more than it must."""
    text = target.event_id if isinstance(target, EventId) else target.device_id
    written = {json.dumps(text, ensure_ascii=ascii_only) for ascii_only in (True, False)}
    named = sorted(each[1:-1].encode("utf-8", "surrogatepass") for each in written)
    # Whatever its offset, a time has the same second.
    return [named] if isinstance(target, EventId) else [named, [f":{target.event_time:%S}".encode()]]


def speaks_of(content: bytes | None, target: EventId | DeviceTime) -> bool:
    """Whether a text of the record is the target's id, or one its device and another its time."""
    texts = [member for member in read_members(content).values() if isinstance(member, str)]
    if isinstance(target, EventId):
        return target.event_id in texts
    return target.device_id in texts and target.event_time in set(_moments(texts))


def _moments(texts: list[str]) -> Iterator[datetime]:
    for text in texts:
        if (moment := parse_moment(text)) is not None:
            yield moment

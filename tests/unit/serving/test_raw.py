"""Finding records by their bytes: what counts as speaking of an event, and that no bytes are an error."""

from __future__ import annotations

import json

import pytest

from sluice.serving.raw import needles, read_members, speaks_of
from sluice.serving.target import DeviceTime, EventId

from .lake_builder import at


def test_members_are_named_by_their_path() -> None:
    content = b'{"a": 1, "location": {"latitude": 2.5, "deep": {"er": null}}, "list": [1]}'

    assert read_members(content) == {"a": 1, "location.latitude": 2.5, "location.deep.er": None, "list": [1]}


@pytest.mark.parametrize("content", [None, b"", b"\xff", b"[1]", b"7", b"{", b"[" * 100_000, b'{"a":' * 5000])
def test_what_is_no_object_has_no_members(content: bytes | None) -> None:
    assert read_members(content) == {}


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("text", ["e1", "é€😀", 'quo"te\\', "\x1b[0m"])
def test_an_id_is_found_however_its_json_was_escaped(text: str, ascii_only: bool) -> None:
    content = json.dumps({"event_id": text}, ensure_ascii=ascii_only).encode()
    target = EventId(text)

    assert speaks_of(content, target)
    assert all(any(needle in content for needle in alternatives) for alternatives in needles(target))


def test_a_part_of_an_id_is_not_the_id() -> None:
    assert not speaks_of(b'{"event_id": "e12"}', EventId("e1"))
    assert not speaks_of(b'{"event_id": 1}', EventId("1"))


@pytest.mark.parametrize(
    ("content", "speaks"),
    [
        (b'{"id": "s", "dt": "2026-03-01T13:00:05+01:00"}', True),
        (b'{"id": "s", "dt": "2026-03-01T12:00:05.000Z"}', True),
        (b'{"id": "s", "dt": "2026-03-01T12:00:05"}', False),
        (b'{"id": "t", "dt": "2026-03-01T12:00:05Z"}', False),
        (b'{"id": "s", "dt": "2026-03-01T12:00:05.001Z"}', False),
    ],
)
def test_a_device_and_a_time_must_both_stand_there(content: bytes, speaks: bool) -> None:
    target = DeviceTime("s", at("12:00:05"))

    assert speaks_of(content, target) is speaks
    if speaks:
        assert all(any(needle in content for needle in alternatives) for alternatives in needles(target))

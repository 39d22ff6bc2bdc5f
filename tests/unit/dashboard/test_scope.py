"""Which devices and which stretch of time choices come to."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from tests.unit.serving.lake_builder import at

from sluice.dashboard.fleet import Device, Latest
from sluice.dashboard.freshness import Freshness
from sluice.dashboard.scope import RANGES, Scope, choose_devices, last_range

SEEN = (Latest("m", 1.0, at("12:00:00"), None),)
FLEET = (
    Device("a", "acme", "berlin", 5.0, SEEN),
    Device("b", "acme", "oslo", 5.0, SEEN),
    Device("c", "globex", "berlin", 5.0, SEEN),
    Device("d", None, None, None, SEEN),
)


@pytest.mark.parametrize(
    ("customer", "site", "device_id", "chosen"),
    [
        (None, None, None, None),
        ("acme", None, None, ("a", "b")),
        (None, "berlin", None, ("a", "c")),
        ("acme", "berlin", None, ("a",)),
        ("globex", "oslo", None, ()),
        (None, None, "typed by a person", ("typed by a person",)),
    ],
)
def test_choices_narrow_the_devices(
    customer: str | None, site: str | None, device_id: str | None, chosen: tuple[str, ...] | None
) -> None:
    assert choose_devices(FLEET, customer, site, device_id) == chosen


@pytest.mark.parametrize(
    ("first", "length", "since"),
    [
        (at("06:00:00"), timedelta(hours=1), at("11:05:00")),
        (at("12:01:00"), timedelta(hours=1), at("12:01:00")),
        (at("12:04:00"), timedelta(hours=1), at("12:04:00")),
        (None, timedelta(minutes=15), at("11:50:00")),
    ],
)
def test_the_last_range_ends_with_the_data_and_begins_no_earlier(
    first: datetime | None, length: timedelta, since: datetime
) -> None:
    freshness = Freshness(first_minute=first, newest_event=at("12:04:59"))
    assert last_range(freshness, length) == (since, at("12:05:00"))


def test_a_day_is_shown_by_minutes_and_more_by_hours() -> None:
    until = at("12:00:00")
    steps = {name: Scope(None, until - length, until).step for name, length in RANGES.items()}
    minute, hour = timedelta(minutes=1), timedelta(hours=1)
    assert steps == {**dict.fromkeys(RANGES, minute), "Last 7 days": hour}

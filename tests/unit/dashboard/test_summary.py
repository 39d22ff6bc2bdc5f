"""The figures on top of the page."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.unit.serving.lake_builder import at

from sluice.dashboard import summary
from sluice.dashboard.alerts import Alerts
from sluice.dashboard.fleet import Device, Latest
from sluice.dashboard.freshness import Freshness
from sluice.dashboard.quality import Quality
from sluice.serving.promotions import Hold

NOON = at("12:00:00")


def device(silent_seconds: float, interval: float | None = 5.0) -> Device:
    seen = NOON - timedelta(seconds=silent_seconds)
    return Device(f"d{silent_seconds}{interval}", None, None, interval, (Latest("m", 1.0, seen, None),))


@pytest.mark.parametrize(
    ("fleet", "value", "note", "tone"),
    [
        ([device(1), device(2)], "2 / 2", "none offline", "good"),
        ([device(1), device(2), device(99)], "2 / 3", "1 offline", "warn"),
        ([device(1), device(99), device(98)], "1 / 3", "2 offline", "bad"),
        ([device(1), device(1, None)], "1 / 2", "none offline, 1 unregistered", "good"),
        ([device(1, None)], "0 / 1", "1 unregistered", "quiet"),
        ([], "0 / 0", "", "quiet"),
    ],
)
def test_devices_online_of_all(fleet: list[Device], value: str, note: str, tone: str) -> None:
    tile = summary.devices_tile(fleet, NOON)
    assert (tile.value, tile.note, tile.tone) == (value, note, tone)


def test_every_tile_says_so_where_nothing_is_known() -> None:
    tiles = (
        summary.rate_tile([]),
        summary.quality_tile(None),
        summary.lag_tile(Freshness(), NOON),
        summary.alerts_tile(None),
        summary.holds_tile([]),
    )
    assert [(tile.value, tile.note, tile.tone) for tile in tiles] == [
        ("–", "too little data yet", "quiet"),
        ("–", "no score yet", "quiet"),
        ("–", "no records yet", "quiet"),
        ("–", "no alert log", "quiet"),
        ("0", "nothing waits", "good"),
    ]


def test_every_tile_tells_its_figure_and_its_tone() -> None:
    activity = [(at(f"12:0{minute}:00"), 6_000) for minute in range(4)]
    lagging = Freshness(received_at=at("11:50:00"), ingested_at=at("11:50:02"))
    tiles = (
        summary.rate_tile(activity),
        summary.quality_tile(Quality(NOON.date(), 88.04, {}, 3)),
        summary.lag_tile(lagging, NOON),
        summary.alerts_tile(Alerts(2, 1, ())),
        summary.alerts_tile(Alerts(0, 1, ())),
        summary.holds_tile([Hold("silver", "p1", 1_200, NOON, "batch", "HOLD", None)]),
    )
    assert [(tile.value, tile.note, tile.tone) for tile in tiles] == [
        ("100", "last 5 min of data", "quiet"),
        ("88.0", "warning, 01 Mar", "warn"),
        ("10 min", "ingested 11:50:02 UTC", "warn"),
        ("3", "2 firing, 1 acknowledged", "bad"),
        ("1", "0 firing, 1 acknowledged", "warn"),
        ("1", "1,200 rows wait", "bad"),
    ]

"""gold/devices: one row for each time in which a device and metric were registered alike."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.serving.lake_builder import append, build_lake

from sluice.pipelines import devices as devices_module
from sluice.pipelines.devices import DeviceHistory
from sluice.schemas import GOLD_DEVICES
from sluice.serving.lake import OpenLake
from sluice.tables.delta import current_version
from sluice.tables.lake import Lake
from sluice.tables.rows import create_tables
from sluice.testing import utc
from sluice.transforms.registry import parse_registry

T, P = "temperature_celsius", "power_watt"
FIRST, SECOND, THIRD = utc(2024, 1, 1), utc(2024, 2, 1), utc(2024, 3, 1)
CELSIUS = {T: {"min": -10, "max": 45}}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = Lake(build_lake(tmp_path / "lake", {}))
    for layer in ("silver", "gold"):
        create_tables(made, layer)
    return made


def device(name: str = "a", **odd: Any) -> dict[str, Any]:
    """An entry of conf/devices.yaml."""
    entry = {"device_id": name, "customer": "acme", "site": "berlin", "latitude": 52.5, "longitude": 13.4}
    return {**entry, "expected_interval_seconds": 5, "metrics": CELSIUS, **odd}


def apply(lake: Lake, now: datetime, *entries: dict[str, Any]) -> int:
    """Starts gold's job under a registry; how many rows changed."""
    history = DeviceHistory(lake, parse_registry({"devices": list(entries)}), hash_of(*entries), lambda: now)
    assert history.is_due(False)
    changed = history.bring_up_to_date()
    assert not history.is_due(True)
    return changed


def hash_of(*entries: dict[str, Any]) -> str:
    return hashlib.sha256(repr(entries).encode()).hexdigest()


def periods(lake: Lake) -> dict[tuple[str, str], list[tuple[Any, ...]]]:
    """By device and metric: customer, max, hash, and from when to when."""
    found: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
    for row in OpenLake(lake).arrow("gold.devices").to_pylist():
        names = ("customer", "max", "registry_hash", "valid_from", "valid_to")
        found.setdefault((row["device_id"], row["metric"]), []).append(tuple(row[name] for name in names))
    return found


def test_a_registry_is_there_whole_a_row_for_each_metric(lake: Lake) -> None:
    two = device("m-{1..2}", customer=None, metrics={P: {"unit": "W", "min": 0}, T: {}})
    assert apply(lake, FIRST, device(), two) == 5
    place = {"site": "berlin", "latitude": 52.5, "longitude": 13.4, "expected_interval_seconds": 5.0}
    whole = {**place, "valid_from": FIRST, "valid_to": None, "registry_hash": hash_of(device(), two)}
    assert OpenLake(lake).arrow("gold.devices").to_pylist() == [
        {**whole, "device_id": "a", "metric": T, "customer": "acme", "unit": "°C", "min": -10.0, "max": 45.0},
        *(
            {**whole, "device_id": name, "metric": metric, "customer": None, "unit": unit, "min": low, "max": None}
            for name in ("m-1", "m-2")
            for metric, unit, low in ((P, "W", 0.0), (T, "°C", None))
        ),
    ]


def test_a_change_closes_one_row_and_opens_another_and_a_removal_only_closes(lake: Lake) -> None:
    before = [device("a"), device("b"), device("gone")]
    after = [device("a"), device("b", customer="globex"), device("new")]
    apply(lake, FIRST, *before)
    assert apply(lake, SECOND, *after) == 3
    old, new = hash_of(*before), hash_of(*after)
    assert periods(lake) == {
        ("a", T): [("acme", 45.0, old, FIRST, None)],
        ("b", T): [("acme", 45.0, old, FIRST, SECOND), ("globex", 45.0, new, SECOND, None)],
        ("gone", T): [("acme", 45.0, old, FIRST, SECOND)],
        ("new", T): [("acme", 45.0, new, SECOND, None)],
    }


def test_a_registry_that_comes_back_opens_rows_of_its_own(lake: Lake) -> None:
    one, two = hash_of(device()), hash_of(device(customer="globex"))
    append(
        lake.path,
        "ops.configs",
        [
            {"kind": "registry", "hash": one, "text": "", "first_used_at": FIRST},
            {"kind": "registry", "hash": two, "text": "", "first_used_at": SECOND},
            {"kind": "contract", "hash": two, "text": "", "first_used_at": FIRST},
        ],
    )
    apply(lake, THIRD, device())
    apply(lake, THIRD, device(customer="globex"))
    apply(lake, THIRD, device())
    # A clock that was set back.
    apply(lake, FIRST, device(customer="initech"))
    instant = THIRD + timedelta(microseconds=1)
    assert periods(lake) == {
        ("a", T): [
            ("acme", 45.0, one, FIRST, SECOND),
            ("globex", 45.0, two, SECOND, THIRD),
            ("acme", 45.0, one, THIRD, instant),
            ("initech", 45.0, hash_of(device(customer="initech")), instant, None),
        ]
    }


def test_what_says_nothing_new_is_not_written(lake: Lake) -> None:
    apply(lake, FIRST, device(), device("b"))
    # Another text, and a column that the table does not have.
    assert apply(lake, SECOND, device("b"), device(assume_time_zone="Europe/Berlin")) == 0
    assert apply(lake, SECOND, device("b"), device(assume_time_zone="Europe/Berlin")) == 0
    assert current_version(lake, GOLD_DEVICES) == 1


@pytest.mark.parametrize("most", [0, 1000])
def test_others_stay_as_they_are_whatever_a_device_is_called(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(devices_module, "_MOST_NAMED", most)
    odd = ["it's", "') OR ('1'='1", "ü%_", "back\\slash", '"']
    apply(lake, FIRST, *map(device, [*odd, "quiet"]))
    for moment, name in enumerate(odd, 1):
        entries = [device(each, customer="globex" if each in odd[:moment] else "acme") for each in [*odd, "quiet"]]
        assert apply(lake, FIRST + timedelta(days=moment), *entries) == 1, name
    found = {key[0]: [row[0::3] for row in rows] for key, rows in periods(lake).items()}
    changed = {name: FIRST + timedelta(days=moment) for moment, name in enumerate(odd, 1)}
    assert found.pop("quiet") == [("acme", FIRST)]
    assert found == {name: [("acme", FIRST), ("globex", moment)] for name, moment in changed.items()}


def test_an_empty_registry_closes_all(lake: Lake) -> None:
    assert apply(lake, FIRST) == 0
    apply(lake, SECOND, device())
    apply(lake, THIRD)
    assert periods(lake) == {("a", T): [("acme", 45.0, hash_of(device()), SECOND, THIRD)]}


@pytest.mark.parametrize(("name", "versions"), [("replace_values", 1), ("write_coverage", 2)])
def test_a_death_on_the_way_is_made_good(lake: Lake, monkeypatch: pytest.MonkeyPatch, name: str, versions: int) -> None:
    class Died(Exception):
        pass

    def dying(*_: Any) -> None:
        raise Died

    apply(lake, FIRST, device())
    with monkeypatch.context() as patch:
        patch.setattr(devices_module, name, dying)
        with pytest.raises(Died):
            apply(lake, SECOND, device(customer="globex"))
    assert current_version(lake, GOLD_DEVICES) == versions
    apply(lake, SECOND, device(customer="globex"))
    assert [row[0::3] for row in periods(lake)["a", T]] == [("acme", FIRST), ("globex", SECOND)]
    assert current_version(lake, GOLD_DEVICES) == 2

"""Percentiles of minutes from the real server, against plain Python over the readings that were written."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from tests.unit.serving.lake_builder import Row, append, at, build_lake, minute, reading
from tests.unit.serving.measured_minutes import PERCENTILES, POWER, READINGS, TEMPERATURE, VALUES, Key, minutes_of

from .served import Served, serving, wait_until

DAY = "since=2026-03-01T00:00:00Z&until=2026-03-02T00:00:00Z"
PATH = f"/v1/aggregates?{DAY}&percentiles=true"
MOVED = "moved"


def key_of(row: dict[str, Any]) -> Key:
    return row["device_id"], row["metric"], datetime.fromisoformat(row["bucket"].replace("Z", "+00:00"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("percentiles")


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Served]:
    lake = build_lake(folder / "lake", {"silver.readings": READINGS[:500], "gold.readings_1min": minutes_of(VALUES)})
    append(lake, "silver.readings", READINGS[500:])
    with serving(lake, folder) as server:
        yield server


def told(items: Sequence[dict[str, Any]]) -> dict[Key, tuple[float, float]]:
    return {key_of(row): (row["value_p50"], row["value_p95"]) for row in items}


def test_percentiles_are_values_that_were_measured(served: Served) -> None:
    assert told(served.json(PATH)["items"]) == PERCENTILES
    assert {POWER, TEMPERATURE} == {metric for device, metric, _ in PERCENTILES if device == "meter"}


@pytest.mark.parametrize("limit", [1, 7])
def test_pages_hold_the_same_percentiles_as_one(served: Served, limit: int) -> None:
    path = f"{PATH}&device_id=meter"

    pages = served.pages(f"{path}&limit={limit}")

    assert [row for page in pages for row in page] == served.json(path)["items"]


def test_one_device_metric_and_part_of_a_minute(served: Served) -> None:
    since, until = at("11:50:00"), at("12:00:00")
    path = "/v1/aggregates?percentiles=true&device_id=sensor-0001&metric=temperature_celsius"

    found = served.json(f"{path}&since=2026-03-01T11:49:30Z&until=2026-03-01T12:00:00Z")["items"]

    key = ("sensor-0001", TEMPERATURE)
    assert told(found) == {
        each: PERCENTILES[each] for each in PERCENTILES if each[:2] == key and since <= each[2] < until
    }


def test_a_key_sees_percentiles_of_its_customers_devices_alone(served: Served) -> None:
    assert told(served.json(PATH, "acme")["items"]) == {
        each: PERCENTILES[each] for each in PERCENTILES if each[0] != "sensor-0002"
    }
    assert served.json(f"{PATH}&device_id=sensor-0002", "acme")["items"] == []


def test_minutes_have_percentiles_only_if_asked_and_an_hour_is_as_it_was(served: Served) -> None:
    plain = served.json(f"/v1/aggregates?{DAY}")["items"]

    assert [{name: row[name] for name in row if name[:7] != "value_p"} for row in served.json(PATH)["items"]] == plain
    hours = f"/v1/aggregates?{DAY}&interval=hour"
    assert served.json(f"{hours}&percentiles=true") == served.json(hours)
    assert served.get(f"/v1/aggregates?{DAY}&percentiles=maybe").status_code == 422


def test_a_version_of_one_table_is_refused_and_a_key_without_rows_gets_none(served: Served) -> None:
    refusal = served.get(f"{PATH}&as_of=0")

    assert (refusal.status_code, refusal.json()["detail"]) == (
        422,
        "as_of: percentiles are of two tables, and a version is one table's: give a time",
    )
    assert served.json(f"{PATH}&device_id=nobody")["items"] == []


def small_minute(count: int, bucket: str = "12:00:00", **odd: object) -> Row:
    return minute(at(bucket), reading_count=count, **odd)


def test_where_silver_has_other_readings_than_the_minute_counts_percentiles_are_null_until_it_does(
    tmp_path: Path,
) -> None:
    first = [reading(number, at(f"12:00:0{number}"), temperature_celsius=number) for number in range(4)]
    lake = build_lake(tmp_path / "lake", {"silver.readings": first, "gold.readings_1min": [small_minute(4)]})
    with serving(lake, tmp_path) as served:

        def found(extra: str = "") -> list[tuple[Any, ...]]:
            return [
                (row["reading_count"], row["value_p50"], row["value_p95"]) for row in served.json(PATH + extra)["items"]
            ]

        assert found() == [(4, 1, 3)]
        before = datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")

        append(lake, "silver.readings", [reading(9, at("12:00:59.999999"), temperature_celsius=9.5)])
        wait_until(lambda: found() == [(4, None, None)])
        DeltaTable(lake / "gold" / "readings_1min").delete()
        append(lake, "gold.readings_1min", [small_minute(5)])
        wait_until(lambda: found() == [(5, 2, 9.5)])

        # The request's own time is in whole seconds.
        wait_until(lambda: served.get(f"{PATH}&as_of={before}").status_code == 200)
        assert found(f"&as_of={before}") == [(4, 1, 3)]
        shutil.rmtree(lake / "silver" / "readings")
        append(lake, "silver.readings", [])
        wait_until(lambda: found() == [(5, None, None)])


def test_readings_of_another_customer_are_in_no_percentile_even_if_the_minute_now_is_the_keys(tmp_path: Path) -> None:
    """The device was the other's until its readings were promoted anew; as of then its readings are not acme's."""
    times = [at("12:00:00"), at("12:00:05")]
    others = [reading(number, moment, device_id=MOVED, customer="other") for number, moment in enumerate(times)]
    lake = build_lake(
        tmp_path / "lake", {"silver.readings": others, "gold.readings_1min": [small_minute(2, device_id=MOVED)]}
    )
    before = datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")
    DeltaTable(lake / "silver" / "readings").delete()
    acme = [reading(number, moment, device_id=MOVED, customer="acme") for number, moment in enumerate(times)]
    append(lake, "silver.readings", acme)
    with serving(lake, tmp_path) as served:
        assert [row["value_p50"] for row in served.json(PATH, "acme")["items"]] == [20]
        assert [row["value_p50"] for row in served.json(f"{PATH}&as_of={before}", "acme")["items"]] == [None]
        assert [row["value_p50"] for row in served.json(f"{PATH}&as_of={before}")["items"]] == [20]


def test_more_readings_than_are_ranked_at_once_are_refused(tmp_path: Path) -> None:
    counts = [small_minute(1_500_000, f"12:0{number}:00") for number in range(2)]
    lake = build_lake(
        tmp_path / "lake", {"silver.readings": [reading(1, at("12:00:00"))], "gold.readings_1min": counts}
    )
    with serving(lake, tmp_path) as served:
        refusal = served.get(PATH)

        assert (refusal.status_code, refusal.json()["detail"]) == (
            422,
            "limit: these minutes count more than 2,000,000 readings: ask for fewer at a time",
        )
        assert [len(page) for page in served.pages(f"{PATH}&limit=1")] == [1, 1]

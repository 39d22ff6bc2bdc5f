"""Hours and days are what their readings give, follow what changes, and are written only where something did."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from tests.unit.pipelines.rolled_lake import H, RolledLake, T, minutes_of, reading
from tests.unit.serving.lake_builder import append

from sluice.pipelines import rollups as rollups_module
from sluice.schemas import GOLD_READINGS_1DAY, GOLD_READINGS_1HOUR, ROLLUP_MINUTES
from sluice.testing import day, utc

NOON = utc(2024, 3, 1, 12)


@pytest.fixture
def lake(tmp_path: Path) -> RolledLake:
    return RolledLake(tmp_path / "lake")


def scattered(seed: int, start: datetime, hours: float, count: int, device: str = "a") -> list[dict[str, Any]]:
    """Readings at random seconds, some of several metrics."""
    chance = random.Random(seed)
    found = []
    for _ in range(count):
        when = start + timedelta(seconds=chance.randrange(round(hours * 3600)))
        odd: dict[str, Any] = {H: chance.uniform(20, 80)} if chance.random() < 0.3 else {}
        found.append(reading(when, round(chance.gauss(30, 10), 2), device, **odd))
    return found


def test_hours_and_days_are_those_of_all_their_readings(lake: RolledLake) -> None:
    power = [{"value": float(value), "metric": "power_watt"} for value in (4, 1, 3, 2)]
    readings = [
        # From one UTC day into the next, at both sides of midnight.
        *scattered(1, utc(2024, 3, 1, 20), 8, 700),
        reading(utc(2024, 3, 1, 23, 59, 59), 44.0),
        reading(utc(2024, 3, 2), -44.0),
        *scattered(2, utc(2024, 3, 1, 22), 1, 300, "stranger"),
        *(reading(NOON + timedelta(minutes=5 * n), None, "slow", **odd) for n, odd in enumerate(power)),
        # A reading event may name a canonical column.
        reading(NOON, None, "named", metric=T, value=5.0),
        reading(NOON + timedelta(minutes=1), 7.0, "named"),
        # The day on which a change to summer time would have come, and years far away.
        *scattered(3, utc(2024, 3, 31), 24, 50),
        reading(utc(9999, 12, 31, 23, 59), 1.0),
        reading(utc(1969, 12, 31, 23, 59), 2.0),
        reading(utc(1, 1, 1), 3.0),
    ]
    lake.add(readings)
    assert len(lake.update()) == 6
    lake.assert_is(readings)
    single = lake.read(GOLD_READINGS_1HOUR)[utc(9999, 12, 31, 23), "a", T]
    assert (single["value_mean"], single["value_stddev"], single["value_p50"], single["value_p95"]) == (1, None, 1, 1)


def test_the_largest_numbers_are_merged_without_running_over(lake: RolledLake) -> None:
    huge = [1e308, -1e308, 1.7e308, 1.7e308, 5e307, -3.0]
    readings = [reading(NOON + timedelta(minutes=n), value) for n, value in enumerate(huge)]
    tiny = [reading(NOON + timedelta(minutes=n), value, "b") for n, value in enumerate((5e-324, 5e-324, 0.0))]
    equal = [reading(NOON + timedelta(seconds=30 * n), 0.1, "c") for n in range(60)]
    lake.add([*readings, *equal])
    lake.update()
    lake.assert_is([*readings, *equal])
    assert lake.read(GOLD_READINGS_1HOUR)[NOON, "c", T]["value_mean"] == 0.1
    lake.add(tiny)
    lake.update()
    found = lake.read(GOLD_READINGS_1HOUR)[NOON, "b", T]
    assert (found["value_min"], found["value_max"], found["reading_count"]) == (0.0, 5e-324, 3)


@pytest.mark.parametrize("deviation", [float("inf"), float("nan")])
def test_a_deviation_that_is_no_number_in_a_minute_is_null_in_the_hour(lake: RolledLake, deviation: float) -> None:
    readings = [reading(NOON, 1e200), reading(NOON + timedelta(seconds=1), -1e200)]
    (minute,) = minutes_of(readings)
    lake.add(readings, [{**minute, "value_stddev": deviation}])
    lake.update()
    assert lake.read(GOLD_READINGS_1HOUR)[NOON, "a", T]["value_stddev"] is None


def test_a_late_reading_changes_its_day_alone(lake: RolledLake) -> None:
    readings = [*scattered(1, utc(2023, 3, 1), 24, 40), *scattered(2, utc(2024, 3, 1), 24, 40)]
    lake.add(readings)
    lake.update()
    before = {table: lake.times(table) for table in ROLLUP_MINUTES}
    late = [reading(utc(2023, 3, 1, 5, 0, 1), 99.0)]
    lake.correct(readings, late)
    assert lake.update() == [day(2023, 3, 1)]
    lake.assert_is([*readings, *late])
    for table in ROLLUP_MINUTES:
        changed = {key for key, moment in lake.times(table).items() if moment != before[table].get(key)}
        width = ROLLUP_MINUTES[table]
        assert changed == {(utc(2023, 3, 1, 5 if width == 60 else 0), "a", T)}
    assert lake.versions() == [2, 2]
    assert (lake.update(), lake.versions()) == ([], [2, 2])


def test_a_minute_that_a_replay_removed_leaves_its_hour_and_its_day(lake: RolledLake) -> None:
    kept, gone = reading(NOON, 20.0), reading(utc(2024, 3, 5), 30.0)
    lake.add([kept, gone])
    lake.update()
    for table, column in (("gold/readings_1min", "bucket_date"), ("silver/readings", "event_date")):
        DeltaTable(str(lake.lake.path / table)).delete(f"{column} = '2024-03-05'")
    assert lake.update() == [day(2024, 3, 5)]
    lake.assert_is([kept])


def test_percentiles_leave_out_what_a_minute_is_held_of(lake: RolledLake) -> None:
    readings = [reading(NOON + timedelta(minutes=n), float(n)) for n in range(10)]
    refused = [reading(NOON + timedelta(minutes=20, seconds=n), 1000.0) for n in range(30)]
    lake.add([*readings, *refused], minutes_of(readings))
    lake.update()
    lake.assert_is(readings)


def test_percentiles_are_unknown_while_silver_has_more_of_a_minute_than_gold(lake: RolledLake) -> None:
    readings = [reading(NOON, 1.0), reading(NOON + timedelta(hours=1), 2.0)]
    newer = [reading(NOON + timedelta(seconds=1), 3.0)]
    lake.add([*readings, *newer], minutes_of(readings))
    lake.update()
    hours, days = (lake.read(table) for table in ROLLUP_MINUTES)
    assert (hours[NOON, "a", T]["value_p50"], hours[NOON, "a", T]["value_p95"]) == (None, None)
    assert hours[NOON + timedelta(hours=1), "a", T]["value_p50"] == 2.0
    assert days[utc(2024, 3, 1), "a", T]["value_p50"] is None
    lake.correct(readings, newer)
    DeltaTable(str(lake.lake.path / "silver/readings")).restore(1)
    assert lake.update() == [day(2024, 3, 1)]
    lake.assert_is([*readings, *newer])


def alert(number: int, when: datetime | None, metric: str | None = T, **odd: Any) -> dict[str, Any]:
    row = {"alert_id": f"alert-{number}", "device_id": "a", "metric": metric, "first_event_time": when}
    return {**row, "alert_date": NOON.date(), **odd}


def test_alerts_count_where_they_began(lake: RolledLake) -> None:
    readings = [reading(NOON, 1.0), reading(NOON + timedelta(hours=2), 2.0), reading(utc(2024, 3, 9), 3.0)]
    lake.add(readings)
    lake.update()
    lake.assert_is(readings)
    other = [alert(4, NOON, None), alert(5, NOON, H), alert(6, None), alert(7, NOON, device_id=None)]
    early = [alert(1, NOON + timedelta(minutes=59, seconds=59)), alert(2, NOON), *other]
    append(lake.lake.path, "gold.alerts", [*early, alert(3, NOON + timedelta(hours=1))])
    assert lake.update() == [day(2024, 3, 1)]
    hours = {(NOON, "a", T): 2}
    lake.assert_is(readings, {GOLD_READINGS_1HOUR: hours, GOLD_READINGS_1DAY: {(utc(2024, 3, 1), "a", T): 3}})
    DeltaTable(str(lake.lake.path / "gold/alerts")).delete("alert_id = 'alert-2'")
    lake.update()
    hours[NOON, "a", T] = 1
    lake.assert_is(readings, {GOLD_READINGS_1HOUR: hours, GOLD_READINGS_1DAY: {(utc(2024, 3, 1), "a", T): 2}})


def test_what_is_expected_of_a_bucket_is_what_its_newest_minute_says(lake: RolledLake) -> None:
    readings = [reading(NOON + timedelta(minutes=n), 1.0, "b") for n in range(3)]
    expected = [6.0, 12.0, None]
    lake.add(
        readings, [{**row, "expected_count": each} for row, each in zip(minutes_of(readings), expected, strict=True)]
    )
    lake.update()
    found = lake.read(GOLD_READINGS_1HOUR)[NOON, "b", T]
    assert (found["expected_count"], found["missing_minutes"]) == (720.0, 57)
    assert found["completeness_percent"] == pytest.approx(300 / 720)


def test_nothing_new_makes_no_new_version_even_where_all_is_rolled_up_again(lake: RolledLake) -> None:
    readings = scattered(1, NOON, 3, 500)
    # In many files, whose order compaction changes.
    for part in range(5):
        lake.add([each for each in readings if each["event_time"].minute % 5 == part])
    lake.update()
    DeltaTable(str(lake.lake.path / "gold/readings_1min")).optimize.compact()
    assert (lake.update(), lake.versions()) == ([], [1, 1])
    (lake.lake.checkpoint_path("gold") / "rollups.json").write_text("{", "utf-8")
    assert (lake.update(), lake.versions()) == ([], [1, 1])
    DeltaTable(lake.lake.table_path(GOLD_READINGS_1DAY)).restore(0)
    lake.add([reading(utc(2024, 4, 1), 1.0)])
    lake.update()
    lake.assert_is([*readings, reading(utc(2024, 4, 1), 1.0)])


class Died(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize("call", ["the first table", "the second table", "the note"])
def test_a_death_on_the_way_is_made_good(lake: RolledLake, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    readings = scattered(1, NOON, 20, 300)
    lake.add(readings)
    name, after = {"the first table": ("replace_days", 0), "the second table": ("replace_days", 1)}.get(
        call, ("write_coverage", 0)
    )
    original, calls = getattr(rollups_module, name), []

    def dying(*args: Any) -> None:
        calls.append(1)
        if len(calls) > after:
            raise Died
        original(*args)

    with monkeypatch.context() as patch:
        patch.setattr(rollups_module, name, dying)
        with pytest.raises(Died):
            lake.update()
    lake.update()
    lake.assert_is(readings)
    assert lake.versions() == [1, 1]


def test_many_rows_are_taken_a_share_of_devices_at_a_time(lake: RolledLake, monkeypatch: pytest.MonkeyPatch) -> None:
    readings = [each for n in range(7) for each in scattered(n, NOON, 30, 60, f"device-{n}")]
    lake.add(readings)
    monkeypatch.setattr(rollups_module, "MOST_ROWS", 100)
    lake.update()
    lake.assert_is(readings)
    assert lake.versions() == [1, 1]

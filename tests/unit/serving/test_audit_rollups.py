"""Hours, days and devices in the audit: what a recompute finds wrong, and what it cannot compare yet."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from sluice.errors import BooksUnreadable
from sluice.pipelines.devices import DeviceHistory
from sluice.pipelines.registered import registered_rows
from sluice.pipelines.rollups import HoursAndDays
from sluice.schemas import GOLD_DEVICES, GOLD_READINGS_1DAY, GOLD_READINGS_1HOUR
from sluice.serving.audit.audit import audit
from sluice.serving.audit.books import Books
from sluice.serving.audit.devices import check_devices
from sluice.serving.audit.findings import OK, Outcome
from sluice.serving.audit.rollups import check_rollups
from sluice.serving.lake import open_lake
from sluice.tables.lake import Lake
from sluice.tables.rows import create_table
from sluice.testing import utc
from sluice.transforms.registry import parse_registry

from .audit_lake import NO_BROKER, TEMPERATURE, balanced_lake, change, delete, minutes_of
from .lake_builder import append, at, reading

REGISTRY = parse_registry(
    {
        "devices": [
            {
                "device_id": name,
                "expected_interval_seconds": 5,
                "metrics": {TEMPERATURE: {}, "power_watt": {"unit": "W"}},
            }
            for name in ("sensor-0001", "meter-0001")
        ]
    }
)
HOUR, DAY = "gold.readings_1hour", "gold.readings_1day"
WARM, DAILY = f"2026-03-01T12:00:00Z sensor-0001 {TEMPERATURE}", f"2026-03-01T00:00:00Z sensor-0001 {TEMPERATURE}"
POWER = "2026-03-01T12:00:00Z meter-0001 power_watt"


@pytest.fixture(scope="module")
def rolled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake whose books balance, with hours, days and devices, and an alert."""
    path = balanced_lake(tmp_path_factory.mktemp("rolled") / "lake")
    lake = Lake(path)
    alert = {"alert_id": "a", "device_id": "sensor-0001", "metric": TEMPERATURE, "first_event_time": at("12:59:00")}
    append(path, "gold.alerts", [{**alert, "alert_date": at("12:59:00").date()}])
    for table in (GOLD_READINGS_1HOUR, GOLD_READINGS_1DAY, GOLD_DEVICES):
        create_table(lake, table)
    HoursAndDays(lake, 300.0).bring_up_to_date()
    DeviceHistory(lake, REGISTRY, "hash").bring_up_to_date()
    return path


@pytest.fixture
def lake(rolled: Path, tmp_path: Path) -> Path:
    """That lake as the test's own."""
    return Path(shutil.copytree(rolled, tmp_path / "lake"))


def checked(lake: Path) -> Outcome:
    return check_rollups(Books(open_lake(lake)))


def wrong(outcome: Outcome) -> dict[str, list[str]]:
    return {problem.what: [named.at for named in problem.first] for problem in outcome.problems}


def test_hours_days_and_devices_that_are_right_are_ok(lake: Path) -> None:
    found = audit(open_lake(lake), NO_BROKER, registries={"hash": registered_rows(REGISTRY)}.get)
    checks = {check.name: (check.result, check.outcome.counts) for check in found.checks}
    assert checks["gold.rollups"] == (OK, {"hours": 3, "days": 3, "pending": 0})
    assert checks["gold.devices"] == (OK, {"registered": 4, "compared": 4})
    assert found.balances
    # The minute that is held stands in none of them: one reading at 12:01, one at 12:05.
    hours = {(row["device_id"], row["metric"]): row for row in open_lake(lake).arrow(HOUR).to_pylist()}
    warm = hours["sensor-0001", TEMPERATURE]
    assert {name: warm[name] for name in ("reading_count", "value_p50", "minutes_with_readings", "alert_count")} == {
        **{"reading_count": 2, "value_p50": 20.0, "minutes_with_readings": 2, "alert_count": 1}
    }


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("value_mean", "20.0001"),
        ("value_stddev", "0.1"),
        ("value_stddev", "NULL"),
        ("value_min", "19.0"),
        ("value_p50", "19.0"),
        ("value_p95", "NULL"),
        ("reading_count", "3"),
        ("out_of_range_count", "0"),
        ("expected_count", "719.0"),
        ("completeness_percent", "0.5"),
        ("minutes_with_readings", "3"),
        ("missing_minutes", "57"),
        ("missing_minutes", "NULL"),
        ("alert_count", "0"),
        ("unit", "'K'"),
    ],
)
def test_each_column_is_compared(lake: Path, column: str, value: str) -> None:
    change(lake, HOUR, f"metric = '{TEMPERATURE}'", **{column: value})
    outcome = checked(lake)
    assert wrong(outcome) == {"hours that differ from a recompute": [WARM]}
    ((named,),) = [problem.first for problem in outcome.problems]
    assert f"{column} " in named.detail


FAULTS: dict[str, tuple[Callable[[Path], object], dict[str, list[str]]]] = {
    "a day is lost": (
        lambda lake: delete(lake, DAY, f"metric = '{TEMPERATURE}'"),
        {"days that gold does not have": [DAILY]},
    ),
    "an hour is of nothing": (
        lambda lake: change(lake, HOUR, "metric = 'power_watt'", metric="'noise'"),
        {
            "hours that gold does not have": [POWER],
            "hours of gold without a minute": ["2026-03-01T12:00:00Z meter-0001 noise"],
        },
    ),
    "an hour stands there twice": (
        lambda lake: append(
            lake, HOUR, [row for row in open_lake(lake).arrow(HOUR).to_pylist() if row["metric"] == "power_watt"]
        ),
        {"hours that stand in gold more than once": [POWER]},
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_lost_foreign_or_repeated_is_named(lake: Path, fault: str) -> None:
    break_it, expected = FAULTS[fault]
    break_it(lake)
    assert wrong(checked(lake)) == expected


def test_days_that_changed_since_are_pending_and_the_others_compared(lake: Path) -> None:
    moment = utc(2026, 3, 2, 1)
    late = reading(9, moment, promotion_id="silver-g-0")
    append(lake, "gold.readings_1min", minutes_of([late]))
    outcome = checked(lake)
    assert (outcome.counts["pending"], wrong(outcome)) == (1, {})
    change(lake, DAY, f"metric = '{TEMPERATURE}'", value_max="99.0")
    assert wrong(checked(lake)) == {"days that differ from a recompute": [DAILY]}
    append(
        lake,
        "gold.alerts",
        [{"alert_id": "b", "first_event_time": at("01:00:00"), "alert_date": at("01:00:00").date()}],
    )
    outcome = checked(lake)
    assert (outcome.counts["pending"], wrong(outcome)) == (2, {})


def test_percentiles_of_readings_that_gold_has_not_counted_are_not_compared(lake: Path) -> None:
    append(lake, "silver.readings", [reading(9, at("12:01:30"), promotion_id="silver-g-9", temperature_celsius=1.0)])
    change(lake, HOUR, f"metric = '{TEMPERATURE}'", value_p50="1.0")
    assert wrong(checked(lake)) == {}
    change(lake, HOUR, "metric = 'power_watt'", value_p50="1.0")
    assert wrong(checked(lake)) == {"hours that differ from a recompute": [POWER]}


def test_a_lake_of_an_older_version_has_nothing_to_check(tmp_path: Path) -> None:
    books = Books(open_lake(balanced_lake(tmp_path / "lake")))
    assert check_rollups(books).skipped == "hours and days have not been made yet"
    assert check_devices(books, lambda _: None).skipped == "no registry has been taken in yet"


@pytest.mark.parametrize("table", [HOUR, "gold.devices"])
def test_a_table_that_was_there_and_is_gone_cannot_be_checked(lake: Path, table: str) -> None:
    shutil.rmtree(lake / table.replace(".", "/"))
    books = Books(open_lake(lake))
    with pytest.raises(BooksUnreadable, match=f"has lost {table}"):
        check_rollups(books) if table == HOUR else check_devices(books, lambda _: None)


def test_a_log_that_no_longer_tells_what_changed_is_no_fault(lake: Path) -> None:
    append(lake, "gold.readings_1min", minutes_of([reading(9, utc(2026, 3, 2, 1))]))
    DeltaTable(str(lake / "gold/readings_1min")).create_checkpoint()
    for commit in (lake / "gold/readings_1min/_delta_log").glob("*.json"):
        commit.unlink()
    assert checked(lake).skipped.startswith("the logs no longer tell")


def registered_twice(lake: Path) -> None:
    rows = open_lake(lake).arrow("gold.devices").to_pylist()
    append(lake, "gold.devices", [{**rows[0], "valid_from": utc(2020, 1, 1)}])


@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        (
            lambda lake: delete(lake, "gold.devices", "device_id = 'meter-0001' AND metric = 'power_watt'"),
            {"devices of the registry that are not there so": ["meter-0001 power_watt"]},
        ),
        (
            lambda lake: change(
                lake, "gold.devices", "device_id = 'meter-0001' AND metric = 'power_watt'", unit="'kW'"
            ),
            {
                "devices that the registry has otherwise, or not at all": ["meter-0001 power_watt"],
                "devices of the registry that are not there so": ["meter-0001 power_watt"],
            },
        ),
        (registered_twice, {"devices that are registered twice at one time": ["meter-0001 power_watt"]}),
    ],
)
def test_devices_that_are_not_those_of_the_registry_are_named(
    lake: Path, break_it: Callable[[Path], Any], expected: dict[str, list[str]]
) -> None:
    break_it(lake)
    # As it would be if nobody had written it since.
    note = lake / "_checkpoints/gold/devices.json"
    version = DeltaTable(str(lake / "gold/devices")).version()
    note.write_text(note.read_text().replace('"gold.devices": 1', f'"gold.devices": {version}'))
    found = wrong(check_devices(Books(open_lake(lake)), {"hash": registered_rows(REGISTRY)}.get))
    assert {what: names for what, names in found.items() if what in expected} == expected

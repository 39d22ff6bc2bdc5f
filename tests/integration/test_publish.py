"""Gold in PostgreSQL and in SQLite: the same rules for both, each against what the Delta tables hold."""

from __future__ import annotations

import itertools
import math
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from psycopg.rows import dict_row
from tests.unit.serving.lake_builder import append, at, build_lake, minute
from tests.unit.serving.publish import gold_lake as gold
from tests.unit.serving.publish.gold_lake import LATEST, MINUTES, NOW, changed, in_gold, latest

from sluice.errors import LakeMissing, RegistryInvalid, StoreLocked, StoreRefused
from sluice.pipelines.publish import ALWAYS, Publisher, Publishing
from sluice.serving.lake import open_lake
from sluice.serving.publish.tables import DEVICES
from sluice.settings import Settings

_SCHEMAS = (f"test_{number}" for number in itertools.count())


@dataclass(frozen=True)
class Place:
    """A store of a test's own: how to publish to it, and to ask it."""

    settings: Settings
    environment: dict[str, str]
    ask: Callable[[str], list[dict[str, Any]]]

    def publish(self, again: bool = False) -> Publishing:
        return gold.publish(self.settings, self.environment, again)

    def rows(self, table: str) -> list[dict[str, Any]]:
        """All rows of a table, in the order of the key."""
        found = self.ask(f"SELECT * FROM {table}")
        return sorted(found, key=lambda row: tuple(row[name] for name in gold.KEYS[table]))

    def with_settings(self, **values: Any) -> Place:
        changed = self.settings.publish.model_copy(update=values)
        return replace(self, settings=self.settings.model_copy(update={"publish": changed}))


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return gold.gold_lake(tmp_path / "lake")


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, lake: Path) -> Place:
    if request.param == "sqlite":
        settings = gold.settings_of(lake)
        return Place(settings, {}, lambda text: _ask_sqlite(settings.publish.path, text))
    dsn, schema = request.getfixturevalue("postgres").dsn(), next(_SCHEMAS)
    settings = gold.settings_of(lake, publish__schema_name=schema)
    return Place(settings, {"SLUICE_PUBLISH_DSN": dsn}, lambda text: _ask_postgres(dsn, schema, text))


def _ask_postgres(dsn: str, schema: str, text: str) -> list[dict[str, Any]]:
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        connection.execute(f"SET search_path = {schema}")
        found = connection.execute(text)
        return [] if found.description is None else found.fetchall()


def _ask_sqlite(path: Path, text: str) -> list[dict[str, Any]]:
    with sqlite3.connect(path) as connection:
        connection.row_factory = sqlite3.Row
        return [
            {name: _as_time(value) for name, value in dict(row).items()} for row in connection.execute(text).fetchall()
        ]


def _as_time(value: object) -> object:
    if isinstance(value, str) and len(value) == 27 and value.endswith("Z"):
        return datetime.fromisoformat(value.replace("Z", "+00:00"))
    return value


def test_a_store_holds_what_gold_holds_row_for_row(place: Place, lake: Path) -> None:
    found = place.publish()

    assert changed(found) == {"devices": (1, 0), "readings_1min": (3, 0), "readings_latest": (1, 0)}
    assert place.rows("readings_1min") == in_gold(lake, MINUTES)
    assert place.rows("readings_latest") == in_gold(lake, LATEST)
    assert place.rows("devices") == [
        {
            "device_id": "sensor-0001",
            "customer": "acme",
            "site": "berlin",
            "latitude": None,
            "longitude": None,
            "expected_interval_seconds": 5.0,
            "metric": "temperature_celsius",
            "unit": "°C",
            "min": -10.0,
            "max": 60.0,
            "valid_from": ALWAYS,
            "valid_to": None,
        }
    ]


def test_the_version_that_was_published_stands_in_the_store(place: Place, lake: Path) -> None:
    place.publish()
    gold.merge(lake, minute(at("12:01:00"), reading_count=13))
    place.publish()

    (row,) = place.ask("SELECT * FROM sluice_progress WHERE table_name = 'readings_1min'")
    table = open_lake(lake).delta(MINUTES)
    assert (row["source"], row["source_id"], row["version"]) == (MINUTES, table.metadata().id, 1)
    assert row["published_at"] == NOW


def test_nothing_is_written_twice(place: Place) -> None:
    place.publish()
    assert changed(place.publish()) == {"devices": (0, 0), "readings_1min": (0, 0), "readings_latest": (0, 0)}
    assert changed(place.publish(again=True)) == {"devices": (0, 0), "readings_1min": (0, 0), "readings_latest": (0, 0)}


def test_of_a_file_that_a_merge_wrote_anew_only_the_changed_row_is_written(place: Place, lake: Path) -> None:
    place.publish()
    gold.merge(lake, minute(at("12:01:00"), reading_count=13, updated_at=at("14:00:00")))

    found = place.publish()

    assert changed(found)["readings_1min"] == (1, 0)
    assert [table.whole for table in found.tables] == ["", "", ""]
    assert place.rows("readings_1min") == in_gold(lake, MINUTES)


def test_compaction_and_a_new_file_of_other_rows_change_what_is_other_alone(place: Place, lake: Path) -> None:
    place.publish()
    append(lake, MINUTES, [minute(at("13:00:00"), device_id="sensor-0002")])
    DeltaTable(lake / "gold/readings_1min").optimize.compact()

    assert changed(place.publish())["readings_1min"] == (1, 0)
    assert place.rows("readings_1min") == in_gold(lake, MINUTES)


def test_a_row_that_gold_lets_go_goes_there_too(place: Place, lake: Path) -> None:
    place.publish()
    gold.delete(lake, "bucket = '2026-03-01 12:01:00Z'")
    assert changed(place.publish())["readings_1min"] == (0, 1)

    kept = minute(at("12:02:00"), value_mean=21.0)
    gold.overwrite_day(lake, [kept, minute(at("15:00:00"))])
    assert changed(place.publish())["readings_1min"] == (2, 1)
    assert place.rows("readings_1min") == in_gold(lake, MINUTES)
    assert [row["bucket"] for row in place.rows("readings_1min")] == [at("12:02:00"), at("15:00:00")]


def test_where_the_log_no_longer_tells_all_is_compared_and_that_is_said(place: Place, lake: Path) -> None:
    place.publish()
    gold.delete(lake, "bucket = '2026-03-01 12:01:00Z'")
    append(lake, MINUTES, [minute(at("16:00:00"))])
    table = DeltaTable(lake / "gold/readings_1min")
    table.create_checkpoint()
    (lake / "gold/readings_1min/_delta_log" / f"{1:020d}.json").unlink()

    found = place.publish()

    assert changed(found)["readings_1min"] == (1, 1)
    assert found.tables[1].whole == "the lake no longer tells what changed after version 0"
    assert place.rows("readings_1min") == in_gold(lake, MINUTES)


def test_where_files_of_the_version_before_were_vacuumed_all_is_compared(place: Place, lake: Path) -> None:
    place.publish()
    gold.overwrite_day(lake, [minute(at("15:00:00"))])
    DeltaTable(lake / "gold/readings_1min").vacuum(0, dry_run=False, enforce_retention_duration=False)

    found = place.publish()

    assert (changed(found)["readings_1min"], bool(found.tables[1].whole)) == ((1, 3), True)
    assert place.rows("readings_1min") == in_gold(lake, MINUTES)


def test_minutes_older_than_the_retention_go_and_come_back_with_a_longer_one(place: Place, lake: Path) -> None:
    old = minute(at("12:00:00") - timedelta(days=30))
    append(lake, MINUTES, [old])
    place.publish()
    assert len(place.rows("readings_1min")) == 4

    short = place.with_settings(retention_days=7)
    assert changed(short.publish())["readings_1min"] == (0, 1)
    midnight = datetime(2026, 2, 23, tzinfo=timezone.utc)
    assert place.rows("readings_1min") == in_gold(lake, MINUTES, midnight)
    append(lake, MINUTES, [{**old, "metric": "humidity_percent"}, minute(at("17:00:00"))])
    assert changed(short.publish())["readings_1min"] == (1, 0)

    longer = place.with_settings(retention_days=40).publish()
    assert (changed(longer)["readings_1min"], longer.tables[1].whole) == (
        (2, 0),
        "publish.retention_days keeps more than before",
    )
    assert changed(place.publish())["readings_1min"] == (0, 0)
    assert place.rows("readings_1min") == in_gold(lake, MINUTES)


def test_devices_come_from_gold_once_it_has_them(place: Place, lake: Path) -> None:
    place.publish()
    rows = place.rows("devices")
    rows[0] |= {"valid_to": at("00:00:00")}
    rows.append({**rows[0], "site": "kiel", "valid_from": at("00:00:00"), "valid_to": None})
    _write_devices(lake, rows)

    found = place.publish()

    assert (found.tables[0].source, changed(found)["devices"]) == ("gold.devices", (2, 0))
    assert place.rows("devices") == rows
    (seen,) = place.ask("SELECT customer, site, unit, value FROM latest_readings")
    assert seen == {"customer": "acme", "site": "kiel", "unit": "°C", "value": 20.5}


def _write_devices(lake: Path, rows: list[dict[str, Any]]) -> None:
    write_deltalake(str(lake / "gold/devices"), pa.Table.from_pylist(rows, DEVICES.arrow_schema), mode="overwrite")


def test_a_changed_registry_file_changes_the_devices(place: Place) -> None:
    place.publish()
    path = place.settings.devices.path
    path.write_text(path.read_text().replace("berlin", "kiel").replace("sensor-0001", "sensor-{0001..0003}"))
    assert changed(place.publish())["devices"] == (3, 0)
    path.write_text("devices: []")
    assert changed(place.publish())["devices"] == (0, 3)
    path.write_text("devices: 5")
    with pytest.raises(RegistryInvalid):
        place.publish()


def test_the_view_of_hours_weighs_minutes_by_their_readings(place: Place, lake: Path) -> None:
    append(
        lake,
        MINUTES,
        [minute(at("13:05:00"), reading_count=1, value_mean=1.0, value_min=1.0, value_max=1.0, out_of_range_count=1)],
    )
    append(lake, MINUTES, [minute(at("13:59:00"), reading_count=3, value_mean=2.0, value_min=0.5, value_max=4.0)])
    place.publish()

    rows = place.ask("SELECT * FROM hourly_aggregates ORDER BY bucket")
    assert rows[1] == {
        "bucket": at("13:00:00"),
        "device_id": "sensor-0001",
        "metric": "temperature_celsius",
        "unit": "°C",
        "minutes": 2,
        "reading_count": 4,
        "value_mean": 1.75,
        "value_min": 0.5,
        "value_max": 4.0,
        "out_of_range_count": 1,
    }
    assert (rows[0]["bucket"], rows[0]["minutes"], rows[0]["reading_count"]) == (at("12:00:00"), 3, 36)


def test_the_view_of_latest_readings_tells_who_is_online(place: Place, lake: Path) -> None:
    now = datetime.now(timezone.utc).replace(microsecond=0)
    odd = [latest("sensor-0002", event_time=now + timedelta(seconds=1)), latest("x", expected_interval_seconds=None)]
    append(lake, LATEST, odd)
    place.publish()

    rows = place.ask("SELECT device_id, online, customer FROM latest_readings ORDER BY device_id")
    assert [(row["device_id"], row["online"] and bool(row["online"]), row["customer"]) for row in rows] == [
        ("sensor-0001", False, "acme"),
        ("sensor-0002", True, None),
        ("x", None, None),
    ]


HOSTILE = [
    "a'; DROP TABLE readings_latest; --",
    "\\.",
    "tab\there\nline\\n",
    '"quoted", {brace} %s ? $1',
    "ünïcode \U0001f600 ‮ \x1b[31m",
    "",
    "NULL",
    "\\N",
]


def test_hostile_names_and_numbers_arrive_as_they_are(place: Place, lake: Path) -> None:
    rows = [latest(name, metric="x", value=math.inf, quality_flag=name) for name in HOSTILE]
    rows += [latest("low", value=-math.inf), latest("none", value=None), latest("tiny", value=5e-324)]
    rows += [latest("time", event_time=datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=timezone.utc))]
    append(lake, LATEST, rows)
    assert place.publish().refused == 0
    assert place.rows("readings_latest") == in_gold(lake, LATEST)


def test_not_a_number_is_kept_by_postgres_and_null_in_sqlite(place: Place, lake: Path) -> None:
    append(lake, LATEST, [latest("nan", value=math.nan)])
    place.publish()
    (row,) = place.ask("SELECT value FROM readings_latest WHERE device_id = 'nan'")
    assert row["value"] is None if not place.environment else math.isnan(row["value"])
    assert changed(place.publish(again=True))["readings_latest"] == (0, 0)


def test_a_lake_whose_table_went_back_is_compared_whole(place: Place, lake: Path) -> None:
    append(lake, MINUTES, [minute(at("18:00:00"))])
    place.publish()
    (lake / "gold/readings_1min/_delta_log" / f"{1:020d}.json").unlink()

    found = place.publish()

    assert (changed(found)["readings_1min"], found.tables[1].whole) == ((0, 1), "the table went back from version 1")


def test_another_lakes_rows_are_replaced_only_when_that_is_asked_for(place: Place, tmp_path: Path) -> None:
    place.publish()
    other = gold.gold_lake(tmp_path / "other" / "lake", minutes=1)
    moved = place.settings.model_copy(update={"lake": place.settings.lake.model_copy(update={"path": other})})
    elsewhere = replace(place, settings=moved)

    with pytest.raises(StoreRefused, match=r"holds gold\.readings_1min of another lake"):
        elsewhere.publish()
    assert len(place.rows("readings_1min")) == 3

    assert changed(elsewhere.publish(again=True))["readings_1min"] == (0, 2)
    assert place.rows("readings_1min") == in_gold(other, MINUTES)


def test_a_second_publisher_is_refused_until_the_first_has_gone(place: Place) -> None:
    first = Publisher(place.settings, place.environment, lambda: NOW)
    first.publish()
    with pytest.raises(StoreLocked) as refused:
        place.publish()
    assert refused.value.exit_code == 3
    first.close()
    place.publish()


def test_a_table_of_another_form_is_named(place: Place) -> None:
    place.publish()
    place.ask("DROP TABLE readings_latest" if not place.environment else "DROP TABLE readings_latest CASCADE")
    place.ask("CREATE TABLE readings_latest (device_id integer, mine text)")
    with pytest.raises(StoreRefused) as refused:
        place.publish()
    assert "has a table readings_latest in another form: device_id" in refused.value.message
    assert "mine" in refused.value.message


def test_a_column_that_an_older_version_lacked_is_added_and_filled(place: Place, lake: Path) -> None:
    place.publish()
    place.ask("DROP VIEW latest_readings")
    place.ask("ALTER TABLE readings_latest DROP COLUMN quality_flag")

    assert changed(place.publish())["readings_latest"] == (1, 0)
    assert place.rows("readings_latest") == in_gold(lake, LATEST)


def test_without_gold_there_is_nothing_to_publish(place: Place, tmp_path: Path) -> None:
    build_lake(tmp_path / "empty" / "lake", {"silver.duplicates": []})
    lakes = place.settings.lake.model_copy(update={"path": tmp_path / "empty" / "lake"})
    with pytest.raises(LakeMissing, match="no gold tables yet"):
        replace(place, settings=place.settings.model_copy(update={"lake": lakes})).publish()


def test_a_file_that_went_away_is_named_and_the_store_stays_as_it_was(place: Place, lake: Path) -> None:
    place.publish()
    before = place.rows("readings_1min")
    append(lake, MINUTES, [minute(at("19:00:00"))])
    newest = max((lake / "gold/readings_1min").rglob("*.parquet"), key=lambda path: path.stat().st_mtime_ns)
    newest.unlink()

    with pytest.raises(LakeMissing, match=r"a file of gold\.readings_1min went away"):
        place.publish()
    assert place.rows("readings_1min") == before

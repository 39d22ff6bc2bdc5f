"""Traces of a lake that the pipelines wrote: files, statistics and ledgers as Spark makes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sluice.serving.lake import OpenLake, open_lake
from sluice.serving.records import Coordinates, coordinates_of
from sluice.serving.trace import trace

STATES = {"silver.readings": "promoted", "silver.duplicates": "duplicate", "silver.quarantine": "quarantined"}


def rows(lake: OpenLake, sql: str) -> list[dict[str, Any]]:
    found = lake.sql(sql)
    return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]


def some(lake: OpenLake, table: str, where: str = "true") -> dict[str, Any]:
    """One row of a table, always the same."""
    return rows(lake, f'SELECT * FROM {table} WHERE {where} ORDER BY partition, "offset" LIMIT 1')[0]


def state_at(lake: OpenLake, at: Coordinates) -> tuple[str, tuple[str, ...]]:
    """The state of the record at the coordinates, and the tables it is in."""
    events = trace(lake, str(at), "coordinates").events
    (record,) = [record for event in events for record in event.records if record.coordinates == at]
    return record.state, tuple(table.full_name for table, _ in record.places)


@pytest.mark.parametrize("table", STATES)
def test_a_record_is_traced_to_the_table_it_is_in(small_lake: Path, table: str) -> None:
    lake = open_lake(small_lake)

    assert state_at(lake, coordinates_of(some(lake, table))) == (STATES[table], ("bronze.events", table))


def test_a_reading_is_found_by_id_and_by_time_with_its_promotions_and_minutes(small_lake: Path) -> None:
    lake = open_lake(small_lake)
    row = some(lake, "silver.readings", "temperature_celsius IS NOT NULL")
    (by_id,) = trace(lake, row["event_id"], "id").events
    by_time = trace(lake, f"{row['device_id']}@{row['event_time'].isoformat()}", "time").events

    assert by_id in by_time
    assert by_id.kept is not None
    assert by_id.kept.coordinates == coordinates_of(row)
    assert [promotion["layer"] for promotion in by_id.promotions] == ["silver", "gold"]
    metrics = [minute["metric"] for minute in by_id.minutes]
    assert metrics[0] == "temperature_celsius"
    assert {minute["bucket"] for minute in by_id.minutes} == {row["event_time"].replace(second=0, microsecond=0)}


def test_a_copy_is_traced_to_the_row_that_is_kept(small_lake: Path) -> None:
    lake = open_lake(small_lake)
    copy = some(lake, "silver.duplicates")
    (event,) = trace(lake, str(coordinates_of(copy)), "coordinates").events

    assert event.kept is not None
    assert event.kept.coordinates == coordinates_of(copy, "kept_")
    assert coordinates_of(copy) in [record.coordinates for record in event.copies]


def test_a_broken_rule_is_shown_as_the_suite_that_decided_has_it(small_lake: Path) -> None:
    lake = open_lake(small_lake)
    warned = some(lake, "silver.readings", "list_contains(failed_rules, 'temperature_celsius_at_most_registered_max')")
    (event,) = [
        event
        for event in trace(lake, str(coordinates_of(warned)), "coordinates").events
        if event.kept and event.kept.coordinates == coordinates_of(warned)
    ]

    shown = {rule["rule_id"]: rule for rule in event.failed_rules}
    rule = shown["temperature_celsius_at_most_registered_max"]
    assert rule["rule"]["kwargs"]["column_B"] == "temperature_celsius"
    assert rule["values"] == {
        "temperature_celsius_registered_max": 45,
        "temperature_celsius": warned["temperature_celsius"],
    }

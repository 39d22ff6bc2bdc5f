"""Which files are opened for a row, and that a file left closed could not have held it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from sluice.errors import LakeMissing
from sluice.schemas import BRONZE_EVENTS, GOLD_READINGS_1MIN, SILVER_READINGS
from sluice.serving.files import DataFile, TableFiles, Wanted
from sluice.serving.lake import open_lake
from sluice.tables.rows import arrow_schema

from .lake_builder import append, at, bronze, build_lake, reading

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


def file(**bounds: tuple[object, object]) -> DataFile:
    return DataFile(Path("f"), 1, 1, bounds)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"offset": [5]}, True),
        ({"offset": [4, 11]}, False),
        ({"offset": [4, 10]}, True),
        ({"offset": [5], "partition": [1]}, False),
        ({"unknown": [1]}, True),
        ({}, True),
        ({"device_id": ["b"]}, True),
        ({"device_id": ["d"]}, False),
        ({"device_id": ["d" * 32]}, True),
        ({"topic": ["z"]}, True),
        ({"offset": []}, False),
    ],
)
def test_a_file_is_opened_if_it_may_hold_one_of_the_values_of_every_column(wanted: Wanted, expected: bool) -> None:
    known = file(offset=(5, 10), partition=(0, 0), device_id=("a", "c"), topic=("a" * 32, "a" * 32))

    assert known.may_hold(wanted) is expected


def test_a_time_within_the_last_millisecond_of_a_file_is_found(tmp_path: Path) -> None:
    moment = NOON + timedelta(microseconds=1999)
    lake = build_lake(tmp_path, {"silver.readings": [reading(1, NOON), reading(2, moment)]})
    log = next((lake / "silver" / "readings" / "_delta_log").glob("*.json"))
    # Statistics hold whole milliseconds, rounded down.
    assert "12:00:00.001Z" in log.read_text()

    found = TableFiles(open_lake(lake)).rows(
        SILVER_READINGS, "event_time = $at", {"at": moment}, {"event_time": [moment]}
    )
    assert [row["offset"] for row in found] == [2]


def test_only_files_that_may_hold_a_row_are_opened(tmp_path: Path) -> None:
    lake = build_lake(tmp_path, {"bronze.events": [bronze(1)]})
    append(lake, "bronze.events", [bronze(2)])
    first = next((lake / "bronze" / "events").rglob("*.parquet"))
    files = TableFiles(open_lake(lake))
    holding = {each.path: each.bounds["offset"][0] for each in files.files(BRONZE_EVENTS)}
    first.write_bytes(b"not parquet at all")
    other = 3 - holding[first]

    found = files.rows(BRONZE_EVENTS, '"offset" IN (1, 2)', {}, {"offset": [other]})
    assert [row["offset"] for row in found] == [other]


def test_a_column_that_a_file_lacks_is_null(tmp_path: Path) -> None:
    lake = build_lake(tmp_path, {"bronze.events": [bronze(2)]})
    older = pa.schema([field for field in arrow_schema(SILVER_READINGS) if field.name != "firmware"])
    row = {name: value for name, value in reading(1, at("12:00:00")).items() if name != "firmware"}
    write_deltalake(str(lake / "silver" / "readings"), pa.Table.from_pylist([row], older), partition_by=["event_date"])

    (found,) = TableFiles(open_lake(lake)).rows(SILVER_READINGS, "true", {}, {})
    assert (found["event_id"], found["firmware"]) == ("e1", None)


def test_a_table_that_no_job_has_made_has_no_rows(tmp_path: Path) -> None:
    files = TableFiles(open_lake(build_lake(tmp_path, {"bronze.events": [bronze(1)]})))

    assert files.rows(GOLD_READINGS_1MIN, "true", {}, {}) == []


def test_a_file_that_went_away_meanwhile_is_said(tmp_path: Path) -> None:
    lake = build_lake(tmp_path, {"bronze.events": [bronze(1)]})
    files = TableFiles(open_lake(lake))
    files.files(BRONZE_EVENTS)[0].path.unlink()

    with pytest.raises(LakeMissing, match="went away"):
        files.rows(BRONZE_EVENTS, "true", {}, {})
    with pytest.raises(LakeMissing, match="went away"):
        list(files.batches(files.files(BRONZE_EVENTS), ("value",)))

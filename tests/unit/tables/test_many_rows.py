"""Files that Spark wrote and deltalake committed: what the log tells of them, and what a death leaves behind."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from sluice.schemas import SILVER_READINGS
from sluice.tables.delta import Transaction, current_version, read_table, rows_written
from sluice.tables.lake import Lake
from sluice.tables.many_rows import append_many
from sluice.tables.reading import add_actions, open_dataset
from sluice.tables.rows import create_table
from sluice.testing import rows_of, utc

NOON = utc(2024, 1, 1, 12, 0, 0, 123_456)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = Lake(tmp_path / "lake")
    create_table(made, SILVER_READINGS)
    return made


def readings(spark: SparkSession, *rows: dict[str, Any]) -> DataFrame:
    complete = [{"event_time": NOON, "event_date": NOON.date(), "failed_rules": [], **row} for row in rows]
    return rows_of(spark, SILVER_READINGS, complete).coalesce(1)


def append(frame: DataFrame, lake: Lake, version: int = 0) -> None:
    append_many(frame, lake, SILVER_READINGS, Transaction("silver:g", version))


def opened(lake: Lake) -> DeltaTable:
    return DeltaTable(lake.table_path(SILVER_READINGS))


def test_the_log_tells_rows_nulls_and_exact_ends_of_each_file(spark: SparkSession, lake: Lake) -> None:
    later = NOON.replace(microsecond=999_999)
    rows = [{"device_id": "ü", "offset": 7}, {"device_id": None, "offset": 9, "event_time": later}]
    append(readings(spark, *rows), lake)

    (told,) = add_actions(opened(lake)).to_pylist()

    assert told["num_records"] == rows_written(lake, SILVER_READINGS) == 2
    assert (told["min.offset"], told["max.offset"], told["null_count.offset"]) == (7, 9, 0)
    assert (told["min.device_id"], told["max.device_id"], told["null_count.device_id"]) == ("ü", "ü", 1)
    assert (told["min.event_time"], told["max.event_time"]) == (NOON, later)


def test_files_are_left_out_by_their_ends_and_no_row_is_lost_at_them(spark: SparkSession, lake: Lake) -> None:
    for offset in range(3):
        append(readings(spark, {"offset": offset, "event_time": NOON.replace(minute=offset)}), lake, offset)

    found = read_table(spark, lake, SILVER_READINGS).where(F.col("event_time") == F.lit(NOON.replace(minute=1)))

    assert [row["offset"] for row in found.collect()] == [1]
    assert len(found.inputFiles()) == 1
    at_end = pc.field("event_time") == NOON.replace(minute=2)
    assert open_dataset(opened(lake), lake.table_path(SILVER_READINGS)).to_table(filter=at_end).num_rows == 1


def test_a_time_that_the_log_cannot_tell_takes_no_row_along(spark: SparkSession, lake: Lake) -> None:
    far = F.timestamp_micros(F.when(F.col("offset") == 1, F.lit(2**63 - 1)).otherwise(F.unix_micros("event_time")))
    append(readings(spark, {"offset": 1}, {"offset": 2}).withColumn("event_time", far), lake)

    at_noon = pc.field("event_time") == NOON

    dataset = open_dataset(opened(lake), lake.table_path(SILVER_READINGS))
    assert dataset.to_table(filter=at_noon)["offset"].to_pylist() == [2]
    assert read_table(spark, lake, SILVER_READINGS).where(F.col("event_time") == F.lit(NOON)).count() == 1


def test_a_row_without_a_date_lies_in_a_partition_of_its_own(spark: SparkSession, lake: Lake) -> None:
    append(readings(spark, {"offset": 1, "event_date": None}, {"offset": 2}), lake)

    rows = read_table(spark, lake, SILVER_READINGS).select("offset", "event_date").orderBy("offset").collect()

    assert [tuple(row) for row in rows] == [(1, None), (2, NOON.date())]
    assert sorted(add_actions(opened(lake))["partition.event_date"].to_pylist(), key=str) == [NOON.date(), None]


def test_what_a_death_left_is_never_read_and_goes_with_the_next_append(spark: SparkSession, lake: Lake) -> None:
    append(readings(spark, {"offset": 1}), lake)
    folder = Path(lake.table_path(SILVER_READINGS))
    (file,) = folder.glob("event_date=*/*.parquet")
    staged = folder / "_staging" / file.parent.name
    staged.mkdir(parents=True)
    shutil.copy(file, staged / "part-00000-dead.parquet")
    shutil.copy(file, file.parent / "part-00000-moved.parquet")

    append(readings(spark, {"offset": 2}), lake, 1)

    assert sorted(row["offset"] for row in read_table(spark, lake, SILVER_READINGS).collect()) == [1, 2]
    assert not (folder / "_staging").exists()


def test_no_rows_are_a_commit_without_files_and_are_known_as_done(spark: SparkSession, lake: Lake) -> None:
    append(readings(spark, {"offset": 1}).where("offset > 1"), lake)
    append(readings(spark, {"offset": 1}), lake)

    assert current_version(lake, SILVER_READINGS) == 1
    assert rows_written(lake, SILVER_READINGS) == 0
    assert add_actions(opened(lake)).num_rows == 0

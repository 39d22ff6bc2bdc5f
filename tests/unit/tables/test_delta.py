from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from chispa import assert_df_equality
from deltalake import DeltaTable as RustTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from sluice.schemas import (
    GOLD_ALERTS,
    LAYERS,
    OPS_FLOORS,
    SILVER_DUPLICATES,
    SILVER_QUARANTINE,
    SILVER_READINGS,
    TABLES,
    Table,
)
from sluice.tables.delta import (
    Change,
    Transaction,
    Upsert,
    change_rows,
    current_version,
    read_table,
    rows_written,
)
from sluice.tables.lake import Lake
from sluice.tables.many_rows import append_many
from sluice.tables.rows import create_table, create_tables
from sluice.testing import rows_of, utc

NOON = utc(2024, 1, 1, 12)


@pytest.fixture(scope="module")
def lake(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake with every table."""
    # No space and no ü: read_delta of Polars 2.1 does not find the files of such a path.
    made = Lake(tmp_path_factory.mktemp("tables") / "lake")
    for layer in LAYERS:
        create_tables(made, layer)
    for table in (GOLD_ALERTS, OPS_FLOORS):
        create_table(made, table)
    return made


def log_of(lake: Lake, table: Table) -> list[dict[str, Any]]:
    """All actions of the table's log."""
    files = sorted((Path(lake.table_path(table)) / "_delta_log").glob("*.json"))
    return [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]


def metadata_of(lake: Lake, table: Table) -> dict[str, Any]:
    (metadata,) = [action["metaData"] for action in log_of(lake, table) if "metaData" in action]
    return dict(metadata)


def commits(lake: Lake, table: Table) -> int:
    return len(list((Path(lake.table_path(table)) / "_delta_log").glob("*.json")))


@pytest.mark.parametrize("table", TABLES, ids=[table.full_name for table in TABLES])
def test_a_table_is_created_with_exactly_the_columns_of_its_contract(
    spark: SparkSession, lake: Lake, table: Table
) -> None:
    found = [(field.name, field.dataType) for field in read_table(spark, lake, table).schema]
    expected = T._parse_datatype_string(table.ddl)
    assert isinstance(expected, T.StructType)
    assert found == [(field.name, field.dataType) for field in expected]
    assert len({name for name, _ in found}) == len(table.columns)


@pytest.mark.parametrize("table", TABLES, ids=[table.full_name for table in TABLES])
def test_a_table_asks_no_reader_for_a_feature_and_keeps_statistics_of_known_columns(lake: Lake, table: Table) -> None:
    metadata = metadata_of(lake, table)
    assert metadata["partitionColumns"] == ([table.partition_by] if table.partition_by else [])
    assert metadata["configuration"]["delta.enableDeletionVectors"] == "false"
    assert metadata["configuration"]["delta.dataSkippingStatsColumns"].split(",") == list(table.statistics)
    assert set(table.statistics) <= set(table.column_names)
    (protocol,) = [action["protocol"] for action in log_of(lake, table) if "protocol" in action]
    assert protocol["minReaderVersion"] == 1
    assert "readerFeatures" not in protocol


def test_creating_again_changes_nothing(lake: Lake) -> None:
    before = {table: commits(lake, table) for table in TABLES}
    for layer in LAYERS:
        create_tables(lake, layer)
    assert {table: commits(lake, table) for table in TABLES} == before


def test_every_reader_reads_what_was_appended(spark: SparkSession, lake: Lake) -> None:
    row = {
        "event_id": "ü",
        "temperature_celsius": 21.5,
        "event_time": utc(2024, 1, 1, 11, 59, 58, 123_456),
        "failed_rules": ["a", "b"],
        "offset": 2**40,
    }
    append_many(rows_of(spark, SILVER_READINGS, [row]), lake, SILVER_READINGS, Transaction("silver:g", 0))
    path = lake.table_path(SILVER_READINGS)
    columns = ["event_id", "temperature_celsius", "event_time", "failed_rules", "offset", "humidity_percent"]
    expected = ("ü", 21.5, utc(2024, 1, 1, 11, 59, 58, 123_456), ["a", "b"], 2**40, None)
    arrow = RustTable(path).to_pyarrow_dataset().to_table(columns=columns)
    assert [tuple(each.values()) for each in arrow.to_pylist()] == [expected]
    assert pl.read_delta(path).select(columns).rows() == [expected]
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("readings", RustTable(path).to_pyarrow_dataset())
        assert connection.table("readings").select(*columns).fetchall() == [expected]
    spark_row = read_table(spark, lake, SILVER_READINGS).select(*columns).collect()
    assert_df_equality(
        spark.createDataFrame(spark_row, read_table(spark, lake, SILVER_READINGS).select(*columns).schema),
        rows_of(spark, SILVER_READINGS, [row]).select(*columns),
        ignore_nullable=True,
    )


def duplicates(spark: SparkSession, *offsets: int) -> DataFrame:
    return rows_of(spark, SILVER_DUPLICATES, [{"offset": offset} for offset in offsets])


def offsets_of(spark: SparkSession, lake: Lake, version: int | None = None) -> list[int]:
    return sorted(row["offset"] for row in read_table(spark, lake, SILVER_DUPLICATES, version).collect())


def test_a_batch_is_appended_once_however_often_it_is_replayed(spark: SparkSession, lake: Lake) -> None:
    table = SILVER_DUPLICATES
    append_many(duplicates(spark, 1, 2), lake, table, Transaction("silver:g", 5))
    version = current_version(lake, table)
    assert rows_written(lake, table) == 2
    # The same batch again, even with other rows, and an older one.
    append_many(duplicates(spark, 1, 2), lake, table, Transaction("silver:g", 5))
    append_many(duplicates(spark, 3), lake, table, Transaction("silver:g", 4))
    assert offsets_of(spark, lake) == [1, 2]
    # The next batch, and the same number of another checkpoint, are not the same.
    append_many(duplicates(spark, 4), lake, table, Transaction("silver:g", 6))
    append_many(duplicates(spark, 5), lake, table, Transaction("silver:h", 5))
    assert offsets_of(spark, lake) == [1, 2, 4, 5]
    assert offsets_of(spark, lake, version) == [1, 2]
    assert current_version(lake, table) == version + 2
    assert rows_written(lake, table) == 1


def test_one_batch_writes_several_tables(spark: SparkSession, lake: Lake) -> None:
    transaction = Transaction("silver:g", 5)
    assert transaction.app_id(SILVER_DUPLICATES) != transaction.app_id(SILVER_READINGS)
    assert transaction.app_id(SILVER_DUPLICATES) == "sluice:silver:g:silver.duplicates"


def test_met_rows_change_once_by_the_first_change_that_applies_and_none_is_added(
    spark: SparkSession, lake: Lake
) -> None:
    def rows(*found: tuple[int, str, int]) -> DataFrame:
        complete = [{"offset": offset, "status": status, "attempts": attempts} for offset, status, attempts in found]
        return rows_of(spark, SILVER_QUARANTINE, complete)

    table, how = SILVER_QUARANTINE, Upsert(("offset",), "target.`status` = 'open'")
    append_many(rows((1, "open", 1), (2, "open", 1), (3, "gone", 1), (4, "open", 1)), lake, table, Transaction("q", 0))
    changes = [
        Change({"status": "'replayed'"}, "source.`error_code` IS NULL"),
        Change({"attempts": "target.`attempts` + 1", "error_code": "source.`error_code`"}),
    ]
    source = spark.createDataFrame(
        [(1, None), (2, "NOT_JSON"), (3, None), (9, None)], "offset BIGINT, error_code STRING"
    )
    change_rows(source, lake, table, how, changes, Transaction("q", 1))
    after = current_version(lake, table)
    change_rows(source, lake, table, how, changes, Transaction("q", 1))
    found = read_table(spark, lake, table).orderBy("offset").select("offset", "status", "attempts", "error_code")
    expected = [(1, "replayed", 1, None), (2, "open", 2, "NOT_JSON"), (3, "gone", 1, None), (4, "open", 1, None)]
    assert [tuple(row) for row in found.collect()] == expected
    assert current_version(lake, table) == after


def test_a_table_just_created_has_version_0(spark: SparkSession, lake: Lake) -> None:
    assert current_version(lake, TABLES[0]) == 0
    assert rows_written(lake, TABLES[0]) == 0

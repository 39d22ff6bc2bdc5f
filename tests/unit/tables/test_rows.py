"""Rows that are written and read without Spark, and what the other readers make of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from sluice.errors import LakeTooNew
from sluice.schemas import OPS_CONFIGS, OPS_SILVER_PROMOTIONS, TABLES
from sluice.tables.delta import Transaction, current_version, read_table
from sluice.tables.lake import Lake
from sluice.tables.many_rows import append_many
from sluice.tables.rows import append_rows, arrow_schema, create_table, migrate_table, read_rows
from sluice.testing import rows_of, utc

ROW: dict[str, Any] = {
    "promotion_id": "silver-g-0",
    "offsets": {"iot.raw:1:0": 2**40, "iot.raw:1:1": 7},
    "rule_counts": {},
    "rows_in": 3,
    "score": 99.5,
    "why": "ü \x00 '",
    "decided_at": utc(2024, 1, 1, 11, 59, 58, 123_456),
}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = Lake(tmp_path / "lake")
    for table in (OPS_CONFIGS, OPS_SILVER_PROMOTIONS):
        create_table(made, table)
    return made


def test_spark_reads_a_row_as_it_was_given_and_null_for_what_was_not(spark: SparkSession, lake: Lake) -> None:
    append_rows([ROW], lake, OPS_SILVER_PROMOTIONS, Transaction("silver:g", 0))
    (found,) = read_table(spark, lake, OPS_SILVER_PROMOTIONS).collect()
    absent = dict.fromkeys(set(OPS_SILVER_PROMOTIONS.column_names) - set(ROW))
    times = {"decided_at": ROW["decided_at"].replace(tzinfo=None)}
    assert found.asDict() == {**ROW, **absent, **times}


def test_a_transaction_is_written_once_and_a_later_or_another_one_anew(lake: Lake) -> None:
    rows = [{"kind": "suite", "hash": str(number)} for number in range(4)]
    for row, transaction in zip(
        rows, [Transaction("a", 1), Transaction("a", 1), Transaction("a", 2), Transaction("b", 1)], strict=True
    ):
        append_rows([row], lake, OPS_CONFIGS, transaction)
    append_rows(rows, lake, OPS_CONFIGS, Transaction("a", 0))
    assert sorted(row["hash"] for row in read_rows(lake, OPS_CONFIGS, ["hash"])) == ["0", "2", "3"]
    assert current_version(lake, OPS_CONFIGS) == 3


def test_spark_and_this_writer_know_of_each_others_transactions(spark: SparkSession, lake: Lake) -> None:
    frame = rows_of(spark, OPS_CONFIGS, [{"kind": "suite", "hash": "spark"}])
    append_many(frame, lake, OPS_CONFIGS, Transaction("a", 1))
    append_rows([{"hash": "again"}], lake, OPS_CONFIGS, Transaction("a", 1))
    append_rows([{"hash": "plain"}], lake, OPS_CONFIGS, Transaction("a", 2))
    append_many(frame, lake, OPS_CONFIGS, Transaction("a", 2))
    assert sorted(row["hash"] for row in read_rows(lake, OPS_CONFIGS, ["hash"])) == ["plain", "spark"]


def test_an_unknown_column_is_refused_and_nothing_written(lake: Lake) -> None:
    with pytest.raises(ValueError, match=r"ops\.configs has no colour, size"):
        append_rows([{"hash": "1"}, {"size": 1, "colour": 2}], lake, OPS_CONFIGS, Transaction("a", 0))
    assert current_version(lake, OPS_CONFIGS) == 0


def test_after_many_rows_the_log_has_a_checkpoint_and_all_are_read(lake: Lake) -> None:
    for number in range(105):
        append_rows([{"hash": str(number)}], lake, OPS_CONFIGS, Transaction("a", number))
    log = Path(lake.table_path(OPS_CONFIGS)) / "_delta_log"
    assert [path.name for path in log.glob("*.checkpoint.parquet")] == [f"{99:020d}.checkpoint.parquet"]
    assert DeltaTable(lake.table_path(OPS_CONFIGS)).transaction_version("sluice:a:ops.configs") == 104
    assert len(read_rows(lake, OPS_CONFIGS, ["hash"])) == 105


@pytest.mark.parametrize("table", TABLES, ids=[table.full_name for table in TABLES])
def test_every_column_type_has_its_arrow_type(table: Any) -> None:
    assert arrow_schema(table).names == list(table.column_names)


OLDER = dataclasses.replace(OPS_CONFIGS, columns=OPS_CONFIGS.columns[:2], statistics=("kind",))


def test_a_table_of_an_older_version_gets_the_columns_it_lacks_and_keeps_its_rows(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lake = Lake(tmp_path / "lake")
    create_table(lake, OLDER)
    append_rows([{"kind": "suite", "hash": "old"}], lake, OLDER, Transaction("a", 0))
    with caplog.at_level("INFO", "sluice"):
        migrate_table(lake, OPS_CONFIGS)
        migrate_table(lake, OPS_CONFIGS)
    assert [record.getMessage() for record in caplog.records] == [
        "ops.configs: columns added to the lake: text, first_used_at"
    ]
    append_rows([{"hash": "new", "text": "a rule"}], lake, OPS_CONFIGS, Transaction("a", 1))
    table = read_table(spark, lake, OPS_CONFIGS)
    assert table.columns == list(OPS_CONFIGS.column_names)
    assert sorted((row["hash"], row["text"]) for row in table.collect()) == [("new", "a rule"), ("old", None)]
    properties = DeltaTable(lake.table_path(OPS_CONFIGS)).metadata().configuration
    assert properties["delta.dataSkippingStatsColumns"] == "kind,first_used_at"
    assert current_version(lake, OPS_CONFIGS) == 4


def test_a_table_of_this_version_is_not_touched(lake: Lake) -> None:
    migrate_table(lake, OPS_SILVER_PROMOTIONS)
    assert current_version(lake, OPS_SILVER_PROMOTIONS) == 0


def test_a_column_of_another_type_is_refused_by_name(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    create_table(lake, dataclasses.replace(OPS_CONFIGS, columns=(("kind", "string"), ("hash", "bigint"))))
    with pytest.raises(LakeTooNew, match=r"ops\.configs in .* has another type in hash than this version writes"):
        migrate_table(lake, OPS_CONFIGS)


def test_a_table_is_not_there_before_it_can_be_read(lake: Lake) -> None:
    other = dataclasses.replace(OPS_CONFIGS, name="other")
    assert not lake.has_table(other)
    create_table(lake, other)
    assert lake.has_table(other)
    assert read_rows(lake, other, ["hash"]) == []

"""Frames are written alike whether Spark or deltalake writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pyarrow.compute as pc
import pytest
from chispa import assert_df_equality
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from sluice.schemas import GOLD_LATEST_READINGS, GOLD_READINGS_1MIN, SILVER_QUARANTINE, SILVER_READINGS
from sluice.tables import delta
from sluice.tables.delta import Transaction, Upsert, current_version, read_table
from sluice.tables.frames import append, upsert
from sluice.tables.lake import Lake
from sluice.tables.reading import add_actions
from sluice.tables.rows import create_table
from sluice.testing import rows_of, utc

NOON = utc(2024, 1, 1, 12)


@pytest.fixture(params=[True, False], ids=["few", "many"])
def is_few(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = Lake(tmp_path / "lake")
    for table in (GOLD_LATEST_READINGS, GOLD_READINGS_1MIN, SILVER_QUARANTINE, SILVER_READINGS):
        create_table(made, table)
    return made


def statistics(lake: Lake) -> list[dict[str, Any]]:
    """What the log tells of the files of silver/readings, but for their names and sizes."""
    actions = add_actions(DeltaTable(lake.table_path(SILVER_READINGS)))
    names = [name for name in actions.column_names if name.startswith(("min.", "max.", "partition."))]
    return [{name: row[name] for name in names} for row in actions.select(names).to_pylist()]


def test_a_batch_is_appended_once_and_every_value_is_kept(spark: SparkSession, lake: Lake, is_few: bool) -> None:
    odd = {"device_id": "ü \x00 '", "temperature_celsius": -0.0, "value": float("inf"), "status": ""}
    rows = [
        {**odd, "event_time": utc(2024, 1, 1, 12, 0, 0, 123_456), "failed_rules": ["a", "b"]},
        {"event_time": utc(2024, 1, 2), "event_date": utc(2024, 1, 2).date(), "failed_rules": []},
        # A table of empty lists alone once made the writer of few rows panic.
        {"event_time": utc(2024, 1, 3), "event_date": utc(2024, 1, 3).date(), "kafka_timestamp": None},
    ]
    frame = rows_of(spark, SILVER_READINGS, rows).repartition(3)
    for _ in range(2):
        append(frame, lake, SILVER_READINGS, Transaction("silver:g", 0), is_few=is_few)
    found = read_table(spark, lake, SILVER_READINGS)
    assert_df_equality(found, frame, ignore_row_order=True, ignore_nullable=True)
    assert current_version(lake, SILVER_READINGS) == 1
    told = sorted(statistics(lake), key=lambda row: str(row["partition.event_date"]))
    assert [row["min.device_id"] for row in told] == [row["max.device_id"] for row in told]
    assert [row["min.event_time"].replace(microsecond=0) for row in told] == [NOON, utc(2024, 1, 2), utc(2024, 1, 3)]


@pytest.mark.parametrize("rows", [0, 2000])
def test_texts_in_lists_that_are_all_empty_are_written(spark: SparkSession, lake: Lake, rows: int) -> None:
    one = rows_of(spark, SILVER_READINGS, [{}]).drop("offset")
    frame = one.crossJoin(spark.range(rows).withColumnRenamed("id", "offset")).select(*SILVER_READINGS.column_names)
    append(frame.repartition(2), lake, SILVER_READINGS, Transaction("silver:g", 0), is_few=True)
    assert read_table(spark, lake, SILVER_READINGS).where("size(failed_rules) = 0").count() == rows


def test_raw_bytes_headers_and_any_moment_are_kept(spark: SparkSession, lake: Lake, is_few: bool) -> None:
    rows = [
        {"headers": [("a", b"\x00"), ("", None)], "key": b"\xff", "value": bytes(range(256)), "error_code": "NOT_JSON"},
        {"headers": [], "key": b"", "value": None, "error_code": "EMPTY"},
        {"headers": None, "key": None, "value": b"", "error_code": "EMPTY"},
        {"value": b"{"},
    ]
    # The ends of what 64 bits hold, and of the years that Python knows.
    moments = F.array(*map(F.lit, (-(2**63), 2**63 - 1, -62_135_596_800_000_001, 253_402_300_800_000_000)))
    moment = F.timestamp_micros(F.element_at(moments, F.col("offset").cast("int") + 1))
    frame = rows_of(spark, SILVER_QUARANTINE, rows).withColumn("kafka_timestamp", moment)
    append(frame, lake, SILVER_QUARANTINE, Transaction("silver:g", 0), is_few=is_few)
    micros = F.unix_micros("kafka_timestamp")
    kept = read_table(spark, lake, SILVER_QUARANTINE)
    found, sent = (each.withColumn("kafka_timestamp", micros) for each in (kept, frame))
    assert_df_equality(found, sent, ignore_row_order=True, ignore_nullable=True)


def latest(spark: SparkSession, *rows: tuple[str, float, int]) -> DataFrame:
    """Rows of gold/latest_readings: device, value, second."""
    complete = [
        {"device_id": device, "metric": "m", "value": value, "event_time": NOON.replace(second=second)}
        for device, value, second in rows
    ]
    return rows_of(spark, GOLD_LATEST_READINGS, complete)


def test_rows_are_replaced_by_key_or_added_once_however_often_the_batch_is_replayed(
    spark: SparkSession, lake: Lake, is_few: bool
) -> None:
    table, how = GOLD_LATEST_READINGS, Upsert(("device_id", "metric"))
    upsert(latest(spark, ("a", 1.0, 1), ("b", 1.0, 1)), lake, table, how, Transaction("gold:g", 0), is_few=is_few)
    upsert(latest(spark, ("b", 2.0, 2), ("c", 2.0, 2)), lake, table, how, Transaction("gold:g", 1), is_few=is_few)
    after = current_version(lake, table)
    # A replay of either batch, even with other rows.
    upsert(latest(spark, ("a", 9.0, 9)), lake, table, how, Transaction("gold:g", 1), is_few=is_few)
    upsert(latest(spark, ("d", 9.0, 9)), lake, table, how, Transaction("gold:g", 0), is_few=is_few)
    expected = latest(spark, ("a", 1.0, 1), ("b", 2.0, 2), ("c", 2.0, 2))
    assert_df_equality(read_table(spark, lake, table), expected, ignore_row_order=True, ignore_nullable=True)
    assert current_version(lake, table) == after


def test_a_met_row_stays_where_the_condition_does_not_hold(spark: SparkSession, lake: Lake, is_few: bool) -> None:
    table = GOLD_LATEST_READINGS
    how = Upsert(("device_id", "metric"), update_when="source.event_time >= target.event_time")
    known = latest(spark, ("x", 5.0, 5), ("y", 5.0, 5), ("z", 5.0, 5))
    newer = latest(spark, ("x", 4.0, 4), ("y", 6.0, 5), ("z", 6.0, 6))
    for version, rows in enumerate((known, newer)):
        upsert(rows, lake, table, how, Transaction("gold:w", version), is_few=is_few)
    found = read_table(spark, lake, table).where("device_id in ('x', 'y', 'z')")
    expected = latest(spark, ("x", 5.0, 5), ("y", 6.0, 5), ("z", 6.0, 6))
    assert_df_equality(found, expected, ignore_row_order=True, ignore_nullable=True)


def test_a_null_key_meets_a_null_key_and_a_bound_keeps_the_rest_out_of_reach(
    spark: SparkSession, lake: Lake, is_few: bool
) -> None:
    def minutes(*rows: tuple[str | None, int]) -> DataFrame:
        complete = [
            {"bucket": NOON, "bucket_date": NOON.date(), "device_id": device, "metric": "m", "reading_count": count}
            for device, count in rows
        ]
        return rows_of(spark, GOLD_READINGS_1MIN, complete)

    how = Upsert(("bucket", "device_id", "metric"), "target.bucket_date = DATE'2024-01-01'")
    upsert(minutes((None, 1), ("a", 1)), lake, GOLD_READINGS_1MIN, how, Transaction("gold:g", 0), is_few=is_few)
    upsert(minutes((None, 2), ("b", 2)), lake, GOLD_READINGS_1MIN, how, Transaction("gold:g", 1), is_few=is_few)
    expected = minutes((None, 2), ("a", 1), ("b", 2))
    found = read_table(spark, lake, GOLD_READINGS_1MIN)
    assert_df_equality(found, expected, ignore_row_order=True, ignore_nullable=True)


def minutes_at(spark: SparkSession, *rows: tuple[int, str, int]) -> DataFrame:
    """Rows of gold/readings_1min: minute of the hour, device, count."""
    complete = [
        {"bucket": NOON.replace(minute=minute), "device_id": device, "metric": "m", "reading_count": count}
        for minute, device, count in rows
    ]
    return rows_of(spark, GOLD_READINGS_1MIN, [{**row, "bucket_date": NOON.date()} for row in complete])


def test_few_rows_that_meet_much_are_left_to_spark(
    spark: SparkSession, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = Upsert(("bucket", "device_id", "metric"))

    def write(number: int, *rows: tuple[int, str, int]) -> str:
        frame = minutes_at(spark, *rows)
        upsert(frame, lake, GOLD_READINGS_1MIN, how, Transaction("gold:g", number), is_few=True)
        newest = DeltaTable(lake.table_path(GOLD_READINGS_1MIN)).history(1)[0]
        return "Spark" if "Spark" in newest.get("engineInfo", "") else "deltalake"

    assert write(0, (1, "a", 1)) == "deltalake"
    monkeypatch.setattr("sluice.tables.small_upsert._MOST_BYTES", 1)
    assert write(1, (2, "a", 1)) == "deltalake"
    assert write(2, (1, "a", 2)) == "Spark"
    monkeypatch.setattr("sluice.tables.small_upsert._MOST_TIMES", 1)
    assert write(3, (3, "a", 1)) == "deltalake"
    assert write(4, (4, "a", 1), (5, "a", 1)) == "Spark"
    found = read_table(spark, lake, GOLD_READINGS_1MIN).orderBy("bucket").select("reading_count").collect()
    assert [row[0] for row in found] == [2, 1, 1, 1, 1]


def test_what_was_replaced_is_read_by_filters_of_every_kind(spark: SparkSession, lake: Lake, is_few: bool) -> None:
    how = Upsert(("bucket", "device_id", "metric"))
    upsert(minutes_at(spark, (1, "a", 1), (2, "b", 1)), lake, GOLD_READINGS_1MIN, how, Transaction("g", 0), is_few=True)
    again = minutes_at(spark, (1, "a", 2), (1, "b", 2))
    upsert(again, lake, GOLD_READINGS_1MIN, how, Transaction("g", 1), is_few=is_few)
    dataset = DeltaTable(lake.table_path(GOLD_READINGS_1MIN)).to_pyarrow_dataset()
    for found in (
        dataset.to_table(filter=pc.field("device_id") == "b"),
        duckdb.from_arrow(dataset).filter("device_id = 'b'").to_arrow_table(),
    ):
        assert sorted(found["reading_count"].to_pylist()) == [1, 2]
    expected = minutes_at(spark, (1, "a", 2), (1, "b", 2), (2, "b", 1))
    found = read_table(spark, lake, GOLD_READINGS_1MIN)
    assert_df_equality(found, expected, ignore_row_order=True, ignore_nullable=True)


def test_no_later_write_inherits_the_transaction_of_a_merge(spark: SparkSession, lake: Lake) -> None:
    how = Upsert(("device_id", "metric"))
    delta.upsert(latest(spark, ("x", 1.0, 1)), lake, GOLD_LATEST_READINGS, how, Transaction("gold:v", 2))
    # A source that has a key twice makes MERGE fail.
    with pytest.raises(Exception, match="DELTA_MULTIPLE_SOURCE_ROW_MATCHING_TARGET_ROW_IN_MERGE"):
        delta.upsert(
            latest(spark, ("x", 1.0, 1), ("x", 2.0, 2)), lake, GOLD_LATEST_READINGS, how, Transaction("gold:v", 3)
        )
    for name in ("txnAppId", "txnVersion"):
        assert spark.conf.get(f"spark.databricks.delta.write.{name}", None) is None

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from chispa import assert_df_equality
from pyspark.sql import SparkSession

from sluice.schemas import BRONZE_EVENTS
from sluice.testing import KAFKA_TIME, rows_of
from sluice.transforms.bronze import drop_decided, land_records

# https://spark.apache.org/docs/4.1.3/streaming/structured-streaming-kafka-integration.html
KAFKA_DDL = (
    "key binary, value binary, topic string, partition int, offset bigint, timestamp timestamp, timestampType int, "
    "headers array<struct<key:string,value:binary>>"
)


def test_kafka_records_land_raw_dated_and_in_the_columns_of_bronze(spark: SparkSession) -> None:
    records = spark.createDataFrame(
        [
            (bytearray(b"k"), bytearray(b"\xff no JSON"), "iot.raw", 3, 7, KAFKA_TIME, 0, [("h", bytearray(b"1"))]),
            (None, None, "iot.raw", 0, 2**40, KAFKA_TIME, 1, None),
        ],
        KAFKA_DDL,
    )
    began = datetime.now(timezone.utc)
    landed = land_records(records, generation=2).localCheckpoint()
    ingested = {(row["ingested_at"].astimezone(timezone.utc), row["ingest_date"]) for row in landed.collect()}
    ((moment, date),) = ingested
    assert began - timedelta(seconds=1) <= moment <= datetime.now(timezone.utc)
    assert date == moment.date()
    stamped = {"topic_generation": 2, "ingested_at": moment, "ingest_date": date}
    expected = rows_of(
        spark,
        BRONZE_EVENTS,
        [
            {
                **stamped,
                "partition": 3,
                "offset": 7,
                "key": bytearray(b"k"),
                "value": bytearray(b"\xff no JSON"),
                "headers": [("h", bytearray(b"1"))],
            },
            {**stamped, "offset": 2**40, "value": None},
        ],
    )
    assert_df_equality(landed, expected, ignore_row_order=True, ignore_nullable=True)


def test_the_generation_is_1_until_a_recreated_topic_is_accepted(spark: SparkSession) -> None:
    records = spark.createDataFrame([(None, None, "t", 0, 0, KAFKA_TIME, 0, None)], KAFKA_DDL)
    assert [row["topic_generation"] for row in land_records(records).collect()] == [1]


def test_records_up_to_the_last_decided_one_of_their_partition_are_left_out(spark: SparkSession) -> None:
    where = [(1, 0, 0), (1, 0, 1), (1, 0, 2), (1, 1, 0), (2, 0, 0)]
    rows = [
        {"topic_generation": generation, "partition": partition, "offset": at} for generation, partition, at in where
    ]
    events = rows_of(spark, BRONZE_EVENTS, rows)
    left = drop_decided(events, {"iot.raw:1:0": 1, "other:1:1": 5})
    found = left.select("topic_generation", "partition", "offset").collect()
    assert [tuple(row) for row in found] == [(1, 0, 2), (1, 1, 0), (2, 0, 0)]
    assert drop_decided(events, {}).count() == 5

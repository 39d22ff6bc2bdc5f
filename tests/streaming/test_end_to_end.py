"""Every record ends in exactly one place, with the reason, and runs that bring nothing new change nothing."""

from __future__ import annotations

import pytest
from chispa import assert_df_equality
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from sluice.embedded.broker import RunningBroker
from sluice.schemas import (
    BRONZE_EVENTS,
    GOLD_LATEST_READINGS,
    GOLD_READINGS_1MIN,
    OPS_CONFIGS,
    OPS_SILVER_PROMOTIONS,
    SILVER_DUPLICATES,
    SILVER_QUARANTINE,
    SILVER_READINGS,
)
from sluice.testing import utc
from tests.streaming.conftest import Workshop, open_workshop, reading

V1 = {"device_id": "sensor-0002", "timestamp": "2024-03-01T10:00:30Z", "temperature": 21.5, "humidity": 40}
METER = {"id": "meter-0001", "dt": "2024-03-01T10:01:00Z", "value": 4000}
MESSAGES = [
    reading(20.0),
    reading(20.0),
    reading(99.0),
    V1,
    METER,
    reading(120.0, event_id="e2"),
    b"{not json",
    b"",
    {"id": "stranger", "dt": "2024-03-01T10:01:00+02:00", "value": -0.0},
    reading(22.0, event_id="e3", timestamp="2024-03-01T10:00:59.999Z"),
    reading(event_id="e4", timestamp="2024-03-01T10:00:59.999Z", temperature=None, humidity=41, colour="red", size=3),
]


@pytest.fixture(scope="module")
def drained(spark: SparkSession, broker: RunningBroker, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """MESSAGES, drained once."""
    workshop = open_workshop(spark, broker, tmp_path_factory.mktemp("drained") / "lake")
    workshop.send(MESSAGES)
    workshop.drain()
    return workshop


def test_every_record_is_in_exactly_one_place_and_the_ledger_adds_up(drained: Workshop) -> None:
    workshop, spark = drained, drained.spark

    readings = workshop.read(SILVER_READINGS).select("offset", "device_id", "metric", "value", "quality_flag")
    expected = spark.createDataFrame(
        [
            (0, "sensor-0001", None, None, "valid"),
            (3, "sensor-0002", None, None, "valid"),
            (4, "meter-0001", "power_watt", 4000.0, "out_of_range"),
            (8, "stranger", "value", 0.0, "unknown_device"),
            (9, "sensor-0001", None, None, "valid"),
            (10, "sensor-0001", None, None, "valid"),
        ],
        readings.schema,
    )
    assert_df_equality(readings, expected, ignore_row_order=True, ignore_nullable=True)

    quarantine = workshop.read(SILVER_QUARANTINE).select("offset", "stage", "error_code", "value", "status", "attempts")
    refused = spark.createDataFrame(
        [
            (2, "deduplicate", "DUPLICATE_CONFLICT", None, "open", 1),
            (5, "rules", "RULE_FAILED", None, "open", 1),
            (6, "parse", "NOT_JSON", None, "open", 1),
            (7, "parse", "EMPTY_MESSAGE", None, "open", 1),
        ],
        quarantine.schema,
    ).drop("value")
    raw = workshop.read(BRONZE_EVENTS).select("offset", "value")
    assert_df_equality(
        quarantine,
        refused.join(raw, on="offset").select(*quarantine.columns),
        ignore_row_order=True,
        ignore_nullable=True,
    )

    duplicates = workshop.read(SILVER_DUPLICATES).select("offset", "event_id", "kept_offset")
    copies = spark.createDataFrame([(1, "e1", 0)], duplicates.schema)
    assert_df_equality(duplicates, copies, ignore_nullable=True)

    ledger = workshop.read(OPS_SILVER_PROMOTIONS).select(
        "rows_in", "rows_promoted", "rows_quarantined", "rows_duplicate", "rows_held", "verdict"
    )
    assert [tuple(row) for row in ledger.collect()] == [(11, 6, 4, 1, 0, "PROMOTE_WITH_WARNINGS")]
    kinds = workshop.read(OPS_CONFIGS).groupBy("kind").count().orderBy("kind").collect()
    assert [tuple(row) for row in kinds] == [("contract", 1), ("registry", 1), ("suite", 1)]


def test_gold_holds_the_minutes_of_all_promoted_values(drained: Workshop) -> None:
    workshop = drained
    minutes = workshop.read(GOLD_READINGS_1MIN).drop("updated_at", "bucket_date", "value_stddev")
    expected = workshop.spark.createDataFrame(
        [
            (utc(2024, 3, 1, 10, 0), "sensor-0001", "temperature_celsius", "°C", 2, 21.0, 20.0, 22.0, 0, 12.0, 100 / 6),
            (
                utc(2024, 3, 1, 10, 0),
                "sensor-0002",
                "temperature_celsius",
                "°C",
                1,
                21.5,
                21.5,
                21.5,
                0,
                12.0,
                100 / 12,
            ),
            (utc(2024, 3, 1, 10, 0), "sensor-0002", "humidity_percent", "%", 1, 40.0, 40.0, 40.0, 0, 12.0, 100 / 12),
            (utc(2024, 3, 1, 10, 0), "sensor-0001", "humidity_percent", "%", 1, 41.0, 41.0, 41.0, 0, 12.0, 100 / 12),
            (utc(2024, 3, 1, 10, 1), "meter-0001", "power_watt", "W", 1, 4000.0, 4000.0, 4000.0, 1, 12.0, 100 / 12),
            (utc(2024, 3, 1, 8, 1), "stranger", "value", None, 1, 0.0, 0.0, 0.0, 0, None, None),
        ],
        minutes.schema,
    )
    assert_df_equality(minutes, expected, ignore_row_order=True, ignore_nullable=True)
    temperature = "device_id = 'sensor-0001' AND metric = 'temperature_celsius'"
    latest = workshop.read(GOLD_LATEST_READINGS).where(temperature).select("value", "event_time")
    assert [tuple(row) for row in latest.collect()] == [(22.0, utc(2024, 3, 1, 10, 0, 59, 999000).replace(tzinfo=None))]


def test_bronze_keeps_bytes_key_headers_and_coordinates_as_they_came(workshop: Workshop) -> None:
    workshop.send([b"\xff\x00 anything"], key=b"\x00k", headers=[("trace", b"\x01"), ("empty", b"")])
    workshop.send([None], partition=1, key=b"tombstone")
    workshop.drain(["bronze"])
    rows = workshop.read(BRONZE_EVENTS).select(
        "topic", "topic_generation", "partition", "offset", "key", "value", "headers"
    )
    found = sorted((tuple(row) for row in rows.collect()), key=lambda row: row[2])
    topic = workshop.settings.kafka.topic
    assert found[0][:6] == (topic, 1, 0, 0, b"\x00k", b"\xff\x00 anything")
    assert [(header["key"], bytes(header["value"])) for header in found[0][6]] == [("trace", b"\x01"), ("empty", b"")]
    assert found[1] == (topic, 1, 1, 0, b"tombstone", None, None)


def test_a_second_run_with_nothing_new_changes_no_table(drained: Workshop) -> None:
    tables = (BRONZE_EVENTS, SILVER_READINGS, GOLD_READINGS_1MIN)
    before = {table: drained.read(table).inputFiles() for table in tables}
    drained.drain()
    assert {table: drained.read(table).inputFiles() for table in tables} == before


def test_unknown_fields_are_no_error_and_are_counted(drained: Workshop) -> None:
    counts = drained.read(OPS_SILVER_PROMOTIONS).select(F.explode("rule_counts")).collect()
    unknown = {row["key"]: row["value"] for row in counts if row["key"].startswith("unknown_field:")}
    assert unknown == {"unknown_field:colour": 1, "unknown_field:size": 1}

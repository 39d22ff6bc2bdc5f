"""Builders of small frames for tests: every column has a good default, so that a test shows only the odd one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timezone
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from sluice.schemas import BRONZE_EVENTS, SILVER_READINGS, Table
from sluice.transforms.parse import EVENT_COLUMNS
from sluice.transforms.records import RECORD_COLUMNS

KAFKA_TIME = datetime(2024, 1, 1, 12, 0, 0, tzinfo=timezone.utc)

_RAW_TYPE = "struct<headers:array<struct<key:string,value:binary>>,key:binary,value:binary>"

_DEFAULTS: dict[str, dict[str, Any]] = {
    BRONZE_EVENTS.full_name: {
        "topic": "iot.raw",
        "topic_generation": 1,
        "partition": 0,
        "kafka_timestamp": KAFKA_TIME,
        "ingested_at": KAFKA_TIME,
        "ingest_date": KAFKA_TIME.date(),
        "headers": None,
        "key": None,
    },
    SILVER_READINGS.full_name: {
        "event_id": "e1",
        "device_id": "sensor-0001",
        "event_time": KAFKA_TIME,
        "schema_version": 1,
        "quality_flag": "valid",
        "failed_rules": [],
        "topic": "iot.raw",
        "topic_generation": 1,
        "partition": 0,
        "kafka_timestamp": KAFKA_TIME,
        "ingested_at": KAFKA_TIME,
        "promoted_at": KAFKA_TIME,
        "promotion_id": "silver-test-0",
        "event_date": KAFKA_TIME.date(),
    },
}


def rows_of(spark: SparkSession, table: Table, rows: Iterable[Mapping[str, Any]]) -> DataFrame:
    """Rows in a table's columns; what is not given gets the table's default or null, `offset` the row's number."""
    defaults = _DEFAULTS.get(table.full_name, {})
    complete = [
        tuple({"offset": number, **defaults, **row}.get(name) for name in table.column_names)
        for number, row in enumerate(rows)
    ]
    return spark.createDataFrame(complete, table.ddl)


def bronze_rows(spark: SparkSession, messages: Iterable[bytes | None]) -> DataFrame:
    """One bronze record per message, offsets from 0 in partition 0."""
    values = [{"value": bytearray(message) if message is not None else None} for message in messages]
    return rows_of(spark, BRONZE_EVENTS, values)


def event_rows(spark: SparkSession, rows: Iterable[Mapping[str, Any]]) -> DataFrame:
    """Events as parsing gives them: RECORD_COLUMNS with `raw`, and EVENT_COLUMNS; defaults as of silver/readings."""
    kinds = dict(SILVER_READINGS.columns)
    ddl = ", ".join(f"`{name}` {kinds.get(name, _RAW_TYPE)}" for name in (*RECORD_COLUMNS, *EVENT_COLUMNS))
    defaults = _DEFAULTS[SILVER_READINGS.full_name]
    complete = [
        tuple({"offset": number, **defaults, **row}.get(name) for name in (*RECORD_COLUMNS, *EVENT_COLUMNS))
        for number, row in enumerate(rows)
    ]
    return spark.createDataFrame(complete, ddl)


def utc(*parts: int) -> datetime:
    """A moment in UTC: utc(2024, 1, 1, 12, 30)."""
    return datetime(*parts, tzinfo=timezone.utc)  # type: ignore[arg-type, misc]


def day(*parts: int) -> date:
    """A date: day(2024, 1, 1)."""
    return date(*parts)

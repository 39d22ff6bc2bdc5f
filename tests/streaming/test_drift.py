"""What devices send changes: silver keeps the columns of its contract, and the bytes keep the rest."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pyspark.sql import SparkSession

from sluice.embedded.broker import RunningBroker
from sluice.schemas import (
    BRONZE_EVENTS,
    NO_METRIC,
    OPS_SILVER_PROMOTIONS,
    SILVER_QUARANTINE,
    SILVER_READINGS,
    UNKNOWN_VERSION,
    WRONG_TYPE,
)
from sluice.tables.rows import arrow_schema, read_rows
from tests.streaming.conftest import Workshop, open_workshop, reading

Row = dict[str, Any]


def renamed(event: Row) -> Row:
    return {"temp" if name == "temperature" else name: value for name, value in event.items()}


# In the order in which they are sent, from one device, seconds apart.
EVENTS: dict[str, Row] = {
    "as it was": reading(20.0, humidity=40.0),
    "a field more": reading(21.0, humidity=40.0, colour="red", extra={"deep": [1, 2]}),
    "a field less": reading(22.0),
    "a field renamed": renamed(reading(23.0, humidity=40.0)),
    "the only field renamed": renamed(reading(23.0)),
    "a whole number": reading(24),
    "a text": reading("25.0"),  # type: ignore[arg-type]
    "another version": {**reading(26.0), "schema_version": 9},
    "an older version": {"schema_version": 1, "device_id": "sensor-0001", "temperature": 27.0},
    "as before": reading(28.0, humidity=41.0),
}
NAMES = list(EVENTS)


def sent(name: str) -> Row:
    event = {**EVENTS[name], "timestamp": f"2024-03-01T10:00:{NAMES.index(name):02d}Z"}
    return {**event, "event_id": f"e{NAMES.index(name)}"} if "event_id" in event else event


@pytest.fixture(scope="module")
def drifted(spark: SparkSession, broker: RunningBroker, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    workshop = open_workshop(spark, broker, tmp_path_factory.mktemp("drift") / "lake")
    workshop.send([sent(name) for name in NAMES])
    workshop.drain(["bronze", "silver"])
    return workshop


def readings(workshop: Workshop) -> dict[str, Row]:
    columns = ["offset", "schema_version", "temperature_celsius", "humidity_percent"]
    return {NAMES[row.pop("offset")]: row for row in read_rows(workshop.lake, SILVER_READINGS, columns)}


def read_as(version: int, temperature: float | None, humidity: float | None = None) -> Row:
    return {"schema_version": version, "temperature_celsius": temperature, "humidity_percent": humidity}


def test_each_change_ends_where_the_contract_says(drifted: Workshop) -> None:
    assert readings(drifted) == {
        "as it was": read_as(2, 20.0, 40.0),
        "a field more": read_as(2, 21.0, 40.0),
        "a field less": read_as(2, 22.0),
        "a field renamed": read_as(2, None, 40.0),
        "a whole number": read_as(2, 24.0),
        "an older version": read_as(1, 27.0),
        "as before": read_as(2, 28.0, 41.0),
    }
    refused = read_rows(drifted.lake, SILVER_QUARANTINE, ["offset", "error_code"])
    codes = {NAMES[row["offset"]]: row["error_code"] for row in refused}
    assert codes == {"the only field renamed": NO_METRIC, "a text": WRONG_TYPE, "another version": UNKNOWN_VERSION}
    assert drifted.audit() == {}


def test_fields_that_no_version_knows_are_counted_and_kept_in_the_bytes(drifted: Workshop) -> None:
    (row,) = read_rows(drifted.lake, OPS_SILVER_PROMOTIONS, ["rule_counts"])
    counts = dict(row["rule_counts"])
    unknown = {name: count for name, count in counts.items() if name.startswith("unknown_field:")}
    assert unknown == {"unknown_field:colour": 1, "unknown_field:extra": 1, "unknown_field:temp": 1}
    rows = read_rows(drifted.lake, BRONZE_EVENTS, ["offset", "value"])
    assert {NAMES[row["offset"]]: json.loads(row["value"]) for row in rows} == {name: sent(name) for name in NAMES}


def test_the_columns_of_silver_are_those_of_its_contract(drifted: Workshop) -> None:
    assert drifted.read(SILVER_READINGS).columns == arrow_schema(SILVER_READINGS).names


def test_one_file_for_each_of_many_dates(spark: SparkSession, broker: RunningBroker, tmp_path: Any) -> None:
    workshop = open_workshop(spark, broker, tmp_path / "lake")
    days = [f"20{year:02d}-{month:02d}-01T00:00:00Z" for year in range(4, 24) for month in (1, 5, 9)]
    workshop.send([reading(event_id=f"{day}{each}", timestamp=day) for day in days for each in range(2)])
    workshop.drain(["bronze", "silver"])
    assert len(read_rows(workshop.lake, SILVER_READINGS, ["offset"])) == 2 * len(days) == 120
    assert len(list((workshop.lake.path / SILVER_READINGS.relative_path).rglob("*.parquet"))) == len(days)
    (row,) = read_rows(workshop.lake, OPS_SILVER_PROMOTIONS, ["rule_counts"])
    # Of what is older than 15 years is warned: of the years from 2004 to 2010, at the least.
    assert dict(row["rule_counts"])["event_time_too_old"] >= 7 * 3 * 2

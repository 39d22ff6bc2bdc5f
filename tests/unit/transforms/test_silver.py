from __future__ import annotations

import json
from typing import Any

import pytest
from chispa import assert_df_equality
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from sluice.pipelines.repeats import find_repeats
from sluice.pipelines.rulebook import compile_row_rules, load_layer_suite
from sluice.quality.suites import parse_suite
from sluice.schemas import (
    BRONZE_EVENTS,
    COORDINATES,
    SILVER_DUPLICATES,
    SILVER_QUARANTINE,
    SILVER_READINGS,
)
from sluice.settings import home
from sluice.testing import KAFKA_TIME, day, rows_of, utc
from sluice.transforms.contract import Contract
from sluice.transforms.deduplicate import COMPARED_COLUMNS
from sluice.transforms.judge import JUDGED_TYPES
from sluice.transforms.parse import Limits
from sluice.transforms.records import as_records
from sluice.transforms.registry import REGISTRY_DDL, parse_registry, registry_rows
from sluice.transforms.silver import (
    ACCEPTED,
    FLAGGED_COLUMNS,
    REFUSED,
    SUSPECT,
    Promotion,
    Reader,
    decide_doubtful,
    flag_records,
    select_conflicts,
    select_duplicates,
    select_outcomes,
    select_readings,
    select_refused,
    without_repeats,
)

from .messages import event, reading, v1, v2

DECIDED_AT = utc(2024, 1, 1, 12, 0, 30)
PROMOTION = Promotion("silver-g1-7", DECIDED_AT)
REGISTRY = {
    "devices": [
        {
            "device_id": "sensor-0001",
            "customer": "acme",
            "site": "berlin",
            "expected_interval_seconds": 5,
            "metrics": {"temperature_celsius": {"min": -10, "max": 45}, "humidity_percent": {}},
        },
        {"device_id": "meter-0001", "expected_interval_seconds": 5, "metrics": {"power_watt": {"max": 3500}}},
    ]
}
MESSAGES = (
    v1(),  # 0: certain and accepted
    v1(temperature=46),  # 1: certain, with a warning
    v1(temperature=101),  # 2: certain, refused by a rule
    reading(colour="red"),  # 3: doubtful, accepted
    v1(temperature=101, colour="red"),  # 4: doubtful, refused by a rule
    b"no JSON",  # 5: doubtful, unreadable
    v1(),  # 6: a copy of 0
    v2(event_id="e-1", temperature=20, device_id="stranger"),  # 7: an unregistered device
    v2(event_id="e-1", temperature=21, device_id="stranger"),  # 8: in conflict with 7
    v1(timestamp="2030-01-01T00:00:00Z"),  # 9: certain, too far ahead
)
HEADERS = [("trace", bytearray(b"x"))]
MOMENT = utc(2024, 1, 1, 11, 59, 58)
HIGH = "temperature_celsius_at_most_registered_max"


@pytest.fixture(scope="module")
def reader(spark: SparkSession, shipped_contract: Contract) -> Reader:
    registry = spark.createDataFrame(registry_rows(parse_registry(REGISTRY)), REGISTRY_DDL)
    rules = compile_row_rules(
        spark, load_layer_suite(home() / "expectations", "silver", shipped_contract), JUDGED_TYPES
    ).rules
    return Reader(shipped_contract, registry, rules, Limits())


@pytest.fixture(scope="module")
def records(spark: SparkSession) -> DataFrame:
    raw = [{"value": bytearray(each), "key": bytearray(b"k"), "headers": HEADERS} for each in MESSAGES]
    return as_records(rows_of(spark, BRONZE_EVENTS, raw)).persist()


@pytest.fixture(scope="module")
def flagged(records: DataFrame, reader: Reader) -> DataFrame:
    return flag_records(records, reader).persist()


@pytest.fixture(scope="module")
def doubtful(flagged: DataFrame, reader: Reader) -> DataFrame:
    return decide_doubtful(flagged, reader).persist()


@pytest.fixture(scope="module")
def decided(flagged: DataFrame, doubtful: DataFrame) -> DataFrame:
    """All records, decided: accepted or refused."""
    return flagged.where(F.col("state") != SUSPECT).unionAll(doubtful).persist()


@pytest.fixture(scope="module")
def accepted(decided: DataFrame) -> DataFrame:
    return decided.where(F.col("state") == ACCEPTED)


@pytest.fixture(scope="module")
def repeats(spark: SparkSession, accepted: DataFrame) -> DataFrame:
    nothing = rows_of(spark, SILVER_READINGS, []).select(*COMPARED_COLUMNS)
    return find_repeats(accepted.select(*COMPARED_COLUMNS), nothing).persist()


def same(found: DataFrame, expected: DataFrame) -> None:
    assert_df_equality(found, expected, ignore_row_order=True, ignore_nullable=True)


def test_each_record_is_accepted_refused_or_left_to_the_exact_half(spark: SparkSession, flagged: DataFrame) -> None:
    assert flagged.columns == list(FLAGGED_COLUMNS)
    found = flagged.select(
        "offset", "state", "stage", "error_code", "error_detail", F.isnotnull("raw").alias("has_raw")
    )
    too_warm = "broke temperature_celsius_possible, temperature_celsius_at_most_registered_max"
    expected = [
        (0, ACCEPTED, None, None, None, False),
        (1, ACCEPTED, None, None, None, False),
        (2, REFUSED, "rules", "RULE_FAILED", too_warm, True),
        (3, SUSPECT, None, None, None, True),
        (4, SUSPECT, None, None, None, True),
        (5, SUSPECT, None, None, None, True),
        (6, ACCEPTED, None, None, None, False),
        (7, ACCEPTED, None, None, None, False),
        (8, ACCEPTED, None, None, None, False),
        (9, REFUSED, "rules", "TIME_OUT_OF_RANGE", "broke event_time_not_in_the_future", True),
    ]
    ddl = "offset bigint, state string, stage string, error_code string, error_detail string, has_raw boolean"
    same(found, spark.createDataFrame(expected, ddl))


def test_every_doubtful_record_is_decided_and_no_other(spark: SparkSession, doubtful: DataFrame) -> None:
    assert doubtful.columns == list(FLAGGED_COLUMNS)
    found = doubtful.select("offset", "state", "stage", "error_code", "error_detail", "broken_rules", "unknown_fields")
    too_warm = "broke temperature_celsius_possible, temperature_celsius_at_most_registered_max"
    unreadable = "not one JSON value after RFC 8259"
    expected = [
        (3, ACCEPTED, None, None, None, 0, ["colour"]),
        (4, REFUSED, "rules", "RULE_FAILED", too_warm, 2**4 + 2**9, ["colour"]),
        (5, REFUSED, "parse", "NOT_JSON", unreadable, 0, None),
    ]
    ddl = "offset bigint, state string, stage string, error_code string, error_detail string"
    same(found, spark.createDataFrame(expected, f"{ddl}, broken_rules bigint, unknown_fields array<string>"))


def readable(offset: int, **columns: Any) -> dict[str, Any]:
    """The expected row of silver/readings of an event at an offset."""
    found = event(**{name: value for name, value in columns.items() if name in event()})
    owner = {"customer": "acme", "site": "berlin"} if found["device_id"] == "sensor-0001" else {}
    marks = {"promoted_at": DECIDED_AT, "promotion_id": "silver-g1-7", "event_date": day(2024, 1, 1)}
    return {**found, **owner, **marks, "offset": offset, **columns, "event_time": MOMENT}


def test_what_is_accepted_and_no_repeat_becomes_a_reading(
    spark: SparkSession, accepted: DataFrame, repeats: DataFrame, reader: Reader
) -> None:
    found = select_readings(without_repeats(accepted, repeats), reader.rules, PROMOTION)
    too_warm = {"quality_flag": "out_of_range", "failed_rules": [HIGH]}
    stranger = {"device_id": "stranger", "event_id": "e-1", "schema_version": 2, "quality_flag": "unknown_device"}
    measured = {"device_id": "meter-0001", "schema_version": 0, "metric": "power_watt", "value": 7.5}
    expected = [
        readable(0),
        readable(1, temperature_celsius=46.0, **too_warm),
        readable(3, temperature_celsius=None, **measured),
        readable(7, temperature_celsius=20.0, **stranger),
    ]
    same(found, rows_of(spark, SILVER_READINGS, expected))


def refused(offset: int, code: str, **columns: Any) -> dict[str, Any]:
    """The expected row of silver/quarantine of the message at an offset."""
    return {
        "topic": "iot.raw",
        "topic_generation": 1,
        "partition": 0,
        "offset": offset,
        "kafka_timestamp": KAFKA_TIME,
        "device_id": "sensor-0001",
        "stage": "rules",
        "error_code": code,
        "failed_rules": [],
        "promotion_id": "silver-g1-7",
        "first_seen_at": DECIDED_AT,
        "last_seen_at": DECIDED_AT,
        "attempts": 1,
        "status": "open",
        "headers": HEADERS,
        "key": bytearray(b"k"),
        "value": bytearray(MESSAGES[offset]),
        **columns,
    }


def test_what_is_refused_is_kept_with_its_bytes_and_reason(
    spark: SparkSession, decided: DataFrame, reader: Reader
) -> None:
    found = select_refused(decided, reader.rules, PROMOTION)
    too_warm = ["temperature_celsius_possible", HIGH]
    why = {"failed_rules": too_warm, "error_detail": f"broke {', '.join(too_warm)}"}
    ahead = {"failed_rules": ["event_time_not_in_the_future"], "error_detail": "broke event_time_not_in_the_future"}
    unreadable = {"stage": "parse", "device_id": None, "error_detail": "not one JSON value after RFC 8259"}
    expected = [
        refused(2, "RULE_FAILED", **why),
        refused(4, "RULE_FAILED", **why),
        refused(5, "NOT_JSON", **unreadable),
        refused(9, "TIME_OUT_OF_RANGE", **ahead),
    ]
    same(found, rows_of(spark, SILVER_QUARANTINE, expected))


def test_a_conflict_is_quarantined_with_its_bytes_and_names_what_it_contradicts(
    spark: SparkSession, records: DataFrame, repeats: DataFrame
) -> None:
    found = select_conflicts(records, repeats, PROMOTION)
    detail = "other values than the event at iot.raw:1:0:7"
    conflict = refused(8, "DUPLICATE_CONFLICT", stage="deduplicate", device_id="stranger", error_detail=detail)
    same(found, rows_of(spark, SILVER_QUARANTINE, [conflict]))


def test_a_copy_is_recorded_with_the_coordinates_of_the_row_that_is_kept(
    spark: SparkSession, repeats: DataFrame
) -> None:
    found = select_duplicates(repeats, PROMOTION)
    coordinates = {"topic": "iot.raw", "topic_generation": 1, "partition": 0}
    copy = {
        **coordinates,
        "offset": 6,
        "device_id": "sensor-0001",
        "event_time": MOMENT,
        "event_id": event()["event_id"],
        **{f"kept_{name}": value for name, value in coordinates.items()},
        "kept_offset": 0,
        "promotion_id": "silver-g1-7",
    }
    same(found, rows_of(spark, SILVER_DUPLICATES, [copy]))


def test_every_record_that_is_judged_anew_has_one_outcome(
    decided: DataFrame, repeats: DataFrame, reader: Reader
) -> None:
    found = {row["offset"]: row for row in select_outcomes(decided, repeats, reader.rules).collect()}
    codes = {2: "RULE_FAILED", 4: "RULE_FAILED", 5: "NOT_JSON", 8: "DUPLICATE_CONFLICT", 9: "TIME_OUT_OF_RANGE"}
    assert {offset: row["error_code"] for offset, row in found.items()} == {
        offset: codes.get(offset) for offset in range(len(MESSAGES))
    }
    assert (found[8]["stage"], found[8]["device_id"], found[8]["failed_rules"]) == ("deduplicate", "stranger", [])
    assert (found[2]["stage"], found[2]["failed_rules"][0]) == ("rules", "temperature_celsius_possible")


def test_every_record_ends_in_exactly_one_table(
    records: DataFrame, decided: DataFrame, accepted: DataFrame, repeats: DataFrame, reader: Reader
) -> None:
    ends = [
        select_readings(without_repeats(accepted, repeats), reader.rules, PROMOTION),
        select_refused(decided, reader.rules, PROMOTION),
        select_conflicts(records, repeats, PROMOTION),
        select_duplicates(repeats, PROMOTION),
    ]
    found = [tuple(row) for each in ends for row in each.select(*COORDINATES).collect()]
    assert sorted(found) == [("iot.raw", 1, 0, offset) for offset in range(len(MESSAGES))]


def test_a_rule_that_compares_rows_sees_certain_and_doubtful_ones_together_and_no_unreadable_one(
    spark: SparkSession, records: DataFrame, reader: Reader, shipped_contract: Contract
) -> None:
    rule = {
        "type": "expect_compound_columns_to_be_unique",
        "kwargs": {"column_list": ["device_id", "event_time"]},
        "severity": "critical",
        "meta": {"rule_id": "one_event_at_a_time", "dimension": "consistency"},
    }
    suite = parse_suite(
        json.dumps({"name": "silver_readings", "expectations": [rule]}), "silver_readings", JUDGED_TYPES
    )
    rules = compile_row_rules(spark, suite, JUDGED_TYPES)
    assert rules.judges_together
    together = flag_records(records, reader._replace(rules=rules.rules, judges_together=True))
    assert together.columns == list(FLAGGED_COLUMNS)
    found = {row["offset"]: (row["state"], row["error_detail"]) for row in together.collect()}
    refused = (REFUSED, "broke one_event_at_a_time")
    # 3 is a reading of a meter of its own, 9 has another time; 0, 1, 2, 4, 6 are one sensor's at one time.
    alone, unreadable = (ACCEPTED, None), (REFUSED, found[5][1])
    assert found == {
        **dict.fromkeys((0, 1, 2, 4, 6, 7, 8), refused),
        **dict.fromkeys((3, 9), alone),
        5: unreadable,
    }
    assert "one_event" not in unreadable[1]

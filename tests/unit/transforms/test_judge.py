from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from chispa import assert_df_equality
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from sluice.pipelines.rulebook import compile_row_rules, load_layer_suite
from sluice.schemas import RULE_FAILED
from sluice.settings import home
from sluice.testing import KAFKA_TIME, event_rows, utc
from sluice.transforms.contract import Contract
from sluice.transforms.judge import (
    JUDGED_TYPES,
    VERDICT_COLUMNS,
    RowRule,
    judge_events,
    named_bits,
    quality_flag,
    refusing_code,
    rule_names,
)
from sluice.transforms.registry import REGISTRY_DDL, parse_registry, registry_rows

CLIMATE = {"temperature_celsius": {"min": -10, "max": 45}, "humidity_percent": {"min": 5, "max": 95}}
REGISTRY = {
    "devices": [
        {
            "device_id": "sensor-0001",
            "customer": "acme",
            "site": "berlin",
            "expected_interval_seconds": 5,
            "metrics": CLIMATE,
        },
        {
            "device_id": "meter",
            "customer": "globex",
            "expected_interval_seconds": 5,
            "metrics": {"power_watt": {"min": 0, "max": 3500}},
        },
        {
            "device_id": "thermometer",
            "expected_interval_seconds": 5,
            "metrics": {"temperature_celsius": {"min": -10, "max": 45}},
        },
    ]
}
ONE_AFTER = KAFKA_TIME.replace(minute=5)
UNKNOWN = {"device_id": "stranger"}
IMPOSSIBLE = ("suspect", ["temperature_celsius_possible"], RULE_FAILED)
TOO_OLD = ("suspect", ["event_time_too_old"], None)
SUSPECT_BY_STATUS = ("suspect", ["status_known"], None)
T_LOW, T_HIGH = "temperature_celsius_at_least_registered_min", "temperature_celsius_at_most_registered_max"
V_LOW, V_HIGH = "value_at_least_registered_min", "value_at_most_registered_max"


def reading(device_id: str, value: float) -> dict[str, Any]:
    return {"device_id": device_id, "temperature_celsius": None, "value": value}


# rule, event, quality_flag, failed_rules, error_code
VERDICTS: tuple[tuple[str, dict[str, Any], str, list[str], str | None], ...] = (
    ("a reading within its registered range is valid", {}, "valid", [], None),
    ("a registered maximum is inclusive", {"temperature_celsius": 45.0}, "valid", [], None),
    ("a registered minimum is inclusive", {"temperature_celsius": -10.0}, "valid", [], None),
    ("above the registered maximum", {"temperature_celsius": 45.5}, "out_of_range", [T_HIGH], None),
    ("below the registered minimum", {"temperature_celsius": -10.5}, "out_of_range", [T_LOW], None),
    ("another warning", {"status": "odd"}, *SUSPECT_BY_STATUS),
    (
        "a range weighs more than another warning",
        {"temperature_celsius": 45.5, "status": "odd"},
        "out_of_range",
        [T_HIGH, "status_known"],
        None,
    ),
    ("an unregistered device", UNKNOWN, "unknown_device", [], None),
    ("a warning weighs more than an unregistered device", {**UNKNOWN, "status": "odd"}, *SUSPECT_BY_STATUS),
    ("an unregistered device has no range", {**UNKNOWN, "temperature_celsius": 60.0}, "unknown_device", [], None),
    ("null breaks no range", {"temperature_celsius": None, "humidity_percent": 50.0}, "valid", [], None),
    ("100 °C is possible", {**UNKNOWN, "temperature_celsius": 100.0}, "unknown_device", [], None),
    ("-50 °C is possible", {**UNKNOWN, "temperature_celsius": -50.0}, "unknown_device", [], None),
    ("beyond 100 °C", {**UNKNOWN, "temperature_celsius": 100.1}, *IMPOSSIBLE),
    ("below -50 °C", {**UNKNOWN, "temperature_celsius": -50.1}, *IMPOSSIBLE),
    (
        "a critical rule beside a warning",
        {"temperature_celsius": 100.1},
        "out_of_range",
        ["temperature_celsius_possible", T_HIGH],
        RULE_FAILED,
    ),
    ("0 % is possible", {**UNKNOWN, "humidity_percent": 0.0}, "unknown_device", [], None),
    ("100 % is possible", {**UNKNOWN, "humidity_percent": 100.0}, "unknown_device", [], None),
    ("beyond 100 %", {**UNKNOWN, "humidity_percent": 100.5}, "suspect", ["humidity_percent_possible"], RULE_FAILED),
    ("below 0 %", {**UNKNOWN, "humidity_percent": -0.5}, "suspect", ["humidity_percent_possible"], RULE_FAILED),
    ("the poles are possible", {"latitude": 90.0, "longitude": -180.0}, "valid", [], None),
    ("beyond the pole", {"latitude": -90.5}, "suspect", ["latitude_possible"], RULE_FAILED),
    ("beyond the date line", {"longitude": 180.5}, "suspect", ["longitude_possible"], RULE_FAILED),
    ("5 minutes ahead of Kafka", {"event_time": ONE_AFTER}, "valid", [], None),
    (
        "5 minutes and a microsecond ahead of Kafka",
        {"event_time": ONE_AFTER.replace(microsecond=1)},
        "suspect",
        ["event_time_not_in_the_future"],
        "TIME_OUT_OF_RANGE",
    ),
    ("a record without Kafka's time", {"event_time": utc(2030, 1, 1), "kafka_timestamp": None}, "valid", [], None),
    ("15 years before Kafka", {"event_time": KAFKA_TIME - timedelta(days=5475)}, "valid", [], None),
    ("15 years and a bit before Kafka", {"event_time": KAFKA_TIME - timedelta(days=5475, seconds=1)}, *TOO_OLD),
    ("the first moment of 2000", {"event_time": utc(2000, 1, 1)}, *TOO_OLD),
    (
        "the last moment before 2000",
        {"event_time": utc(1999, 12, 31, 23, 59, 59, 999_999)},
        "suspect",
        ["event_time_not_before_2000", "event_time_too_old"],
        "TIME_OUT_OF_RANGE",
    ),
    (
        "the first critical rule names the code",
        {"event_time": utc(1999, 1, 1), "temperature_celsius": 101.0, "device_id": "stranger"},
        "suspect",
        ["event_time_not_before_2000", "temperature_celsius_possible", "event_time_too_old"],
        "TIME_OUT_OF_RANGE",
    ),
    ("a reading of a meter", reading("meter", 3500.0), "valid", [], None),
    ("a reading above its meter's maximum", reading("meter", 3500.5), "out_of_range", [V_HIGH], None),
    ("a reading below its meter's minimum", reading("meter", -0.5), "out_of_range", [V_LOW], None),
    (
        "a reading has the range of its device's one metric",
        reading("thermometer", 46.0),
        "out_of_range",
        [V_HIGH],
        None,
    ),
    ("a reading of a device with several metrics has no range", reading("sensor-0001", 1e9), "valid", [], None),
)


@pytest.fixture(scope="module")
def rules(spark: SparkSession, shipped_contract: Contract) -> list[RowRule]:
    """Those shipped."""
    suite = load_layer_suite(home() / "expectations", "silver", shipped_contract)
    return compile_row_rules(spark, suite, JUDGED_TYPES).rules


@pytest.fixture(scope="module")
def registry(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(registry_rows(parse_registry(REGISTRY)), REGISTRY_DDL)


def test_an_event_gets_its_flag_its_broken_rules_and_its_code(
    spark: SparkSession, registry: DataFrame, rules: list[RowRule]
) -> None:
    events = event_rows(spark, [{"temperature_celsius": 21.5, **event} for _, event, *_ in VERDICTS])
    judged = judge_events(events, registry, rules)
    found = judged.select("offset", quality_flag(rules), rule_names(rules), refusing_code(rules))
    expected = [(offset, flag, broken, code) for offset, (_, _, flag, broken, code) in enumerate(VERDICTS)]
    columns = "offset bigint, quality_flag string, failed_rules array<string>, error_code string"
    assert_df_equality(
        found.toDF("offset", "quality_flag", "failed_rules", "error_code"),
        spark.createDataFrame(expected, columns),
        ignore_row_order=True,
        ignore_nullable=True,
    )


def test_judging_joins_the_owner_names_the_metric_and_loses_no_row(
    spark: SparkSession, registry: DataFrame, rules: list[RowRule]
) -> None:
    late = {"event_time": datetime.fromisoformat("2024-01-02T00:30:00+01:00")}
    events = event_rows(
        spark,
        [
            {"temperature_celsius": 21.5, **late},
            {"device_id": "meter", "value": 1.0},
            {"device_id": "thermometer", "value": 1.0},
            {"device_id": "sensor-0001", "value": 1.0},
            {"device_id": "stranger", "value": 1.0, "event_time": utc(2024, 1, 2)},
            {"device_id": None, "event_time": None, "event_id": None},
        ],
    )
    judged = judge_events(events, registry, rules)
    assert judged.columns == [*events.columns, *VERDICT_COLUMNS]
    found = judged.select(
        "offset", "metric", "customer", "site", F.col("event_date").cast("string").alias("event_date"), "is_registered"
    )
    expected = [
        (0, None, "acme", "berlin", "2024-01-01", True),
        (1, "power_watt", "globex", None, "2024-01-01", True),
        (2, "temperature_celsius", None, None, "2024-01-01", True),
        (3, "value", "acme", "berlin", "2024-01-01", True),
        (4, "value", None, None, "2024-01-02", False),
        (5, None, None, None, None, False),
    ]
    columns = "offset bigint, metric string, customer string, site string, event_date string, is_registered boolean"
    assert_df_equality(found, spark.createDataFrame(expected, columns), ignore_row_order=True, ignore_nullable=True)


def test_62_rules_fit_into_one_number(spark: SparkSession, registry: DataFrame) -> None:
    many = [RowRule(f"r{index}", index == 61, f"CODE_{index}", F.lit(index in (0, 31, 61))) for index in range(62)]
    judged = judge_events(event_rows(spark, [{}]), registry, many)
    row = judged.select("broken_rules", rule_names(many), refusing_code(many)).first()
    assert row is not None
    assert tuple(row) == (1 + 2**31 + 2**61, ["r0", "r31", "r61"], "CODE_61")
    assert named_bits(row[0], [rule.rule_id for rule in many]) == ["r0", "r31", "r61"]


def test_without_rules_every_event_of_a_registered_device_is_valid(spark: SparkSession, registry: DataFrame) -> None:
    judged = judge_events(event_rows(spark, [{"temperature_celsius": 1e9}]), registry, [])
    row = judged.select("broken_rules", quality_flag([]), rule_names([]), refusing_code([])).first()
    assert row is not None
    assert tuple(row) == (0, "valid", [], None)

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from chispa import assert_approx_df_equality, assert_df_equality
from pyspark.sql import DataFrame, SparkSession

from sluice.schemas import GOLD_LATEST_READINGS, GOLD_READINGS_1MIN, SILVER_READINGS
from sluice.testing import day, rows_of, utc
from sluice.transforms.gold import READ_COLUMNS, aggregate_minutes, complete_minutes, latest_readings

MINUTE = utc(2024, 1, 1, 12)
T, H, P = "temperature_celsius", "humidity_percent", "pressure_hpa"
STATISTICS = ("reading_count", "value_mean", "value_min", "value_max", "value_stddev", "out_of_range_count")
MINUTE_COLUMNS = ("bucket", "device_id", "metric", *STATISTICS)
KINDS = dict(GOLD_READINGS_1MIN.columns)


def readings(spark: SparkSession, rows: Iterable[dict[str, Any]]) -> DataFrame:
    """Rows of silver/readings at 12:00:00 of device `d`."""
    return rows_of(spark, SILVER_READINGS, [{"event_time": MINUTE, "device_id": "d", **row} for row in rows])


def minute(metric: str, count: int, mean: float, **odd: Any) -> tuple[Any, ...]:
    """The expected minute of device `d` at 12:00; minimum and maximum are the mean unless given."""
    values = {
        "bucket": MINUTE,
        "device_id": "d",
        "metric": metric,
        "reading_count": count,
        "value_mean": mean,
        "value_min": mean,
        "value_max": mean,
        "value_stddev": None,
        "out_of_range_count": 0,
        **odd,
    }
    return tuple(values[name] for name in MINUTE_COLUMNS)


def frame(spark: SparkSession, rows: list[tuple[Any, ...]], columns: Iterable[str]) -> DataFrame:
    return spark.createDataFrame(rows, ", ".join(f"`{name}` {KINDS[name]}" for name in columns))


def at(second: int, microsecond: int = 0, minute: int = 0) -> datetime:
    return MINUTE.replace(minute=minute, second=second, microsecond=microsecond)


def out(*rules: str) -> dict[str, Any]:
    return {"quality_flag": "out_of_range", "failed_rules": list(rules)}


def test_a_minute_holds_each_metric_that_has_a_value(spark: SparkSession) -> None:
    events = [
        # Nulls are not counted: three temperatures, one humidity, no pressure, no battery.
        {T: 20.0},
        {T: 22.0, H: 40.0, "event_time": at(30)},
        {T: 27.0, "event_time": at(59, 999_999)},
        # One second later the next minute begins.
        {T: 10.0, "event_time": at(0, minute=1)},
        {T: 11.0, "event_time": at(59, 999_999, minute=1)},
        # Another device, and one event without any metric.
        {T: 5.0, "device_id": "e"},
        {"device_id": "f"},
    ]
    found = aggregate_minutes(readings(spark, events).select(*READ_COLUMNS))
    one_later = {"bucket": at(0, minute=1), "value_min": 10.0, "value_max": 11.0, "value_stddev": math.sqrt(0.5)}
    expected = [
        minute(T, 3, 23.0, value_min=20.0, value_max=27.0, value_stddev=math.sqrt(13.0)),
        minute(H, 1, 40.0),
        minute(T, 2, 10.5, **one_later),
        minute(T, 1, 5.0, device_id="e"),
    ]
    assert_approx_df_equality(
        found, frame(spark, expected, MINUTE_COLUMNS), precision=1e-9, ignore_row_order=True, ignore_nullable=True
    )


def test_out_of_range_readings_are_counted_for_the_metric_whose_range_they_break(spark: SparkSession) -> None:
    low, high = f"{T}_at_least_registered_min", f"{T}_at_most_registered_max"
    events = [
        {T: 50.0, H: 40.0, **out(high)},
        {T: 50.0, H: 40.0, **out(low)},
        {T: 50.0, H: 40.0, **out(high, f"{H}_at_most_registered_max")},
        {T: 50.0, H: 40.0, "quality_flag": "suspect", "failed_rules": ["status_known"]},
        {T: 50.0, H: 40.0},
        # A range of a metric that this event has no value of.
        {H: 40.0, **out(high)},
    ]
    found = aggregate_minutes(readings(spark, events).select(*READ_COLUMNS))
    expected = [
        minute(T, 5, 50.0, value_stddev=0.0, out_of_range_count=3),
        minute(H, 6, 40.0, value_stddev=0.0, out_of_range_count=1),
    ]
    assert_df_equality(found, frame(spark, expected, MINUTE_COLUMNS), ignore_row_order=True, ignore_nullable=True)


def test_reading_events_count_under_their_metric_and_those_of_a_canonical_one_with_its_wide_events(
    spark: SparkSession,
) -> None:
    above = out("value_at_most_registered_max")
    events = [
        {"metric": "power_watt", "value": 100.0},
        {"metric": "power_watt", "value": 100.0, **above},
        {"metric": "value", "value": 1.0},
        # The same metric of the same device, once as a wide event, once as a reading: one minute.
        {T: 20.0, H: 40.0},
        {"metric": T, "value": 20.0},
        {"metric": T, "value": 20.0, **above},
    ]
    found = aggregate_minutes(readings(spark, events).select(*READ_COLUMNS))
    expected = [
        minute("power_watt", 2, 100.0, value_stddev=0.0, out_of_range_count=1),
        minute("value", 1, 1.0),
        minute(T, 3, 20.0, value_stddev=0.0, out_of_range_count=1),
        minute(H, 1, 40.0),
    ]
    assert_df_equality(found, frame(spark, expected, MINUTE_COLUMNS), ignore_row_order=True, ignore_nullable=True)


def test_the_minute_of_a_reading_before_1970_begins_before_it(spark: SparkSession) -> None:
    found = aggregate_minutes(readings(spark, [{T: 1.0, "event_time": utc(1969, 12, 31, 23, 59, 30)}]))
    expected = [minute(T, 1, 1.0, bucket=utc(1969, 12, 31, 23, 59))]
    assert_df_equality(found, frame(spark, expected, MINUTE_COLUMNS), ignore_nullable=True)


def test_minutes_get_unit_expected_count_and_completeness(spark: SparkSession) -> None:
    registry = spark.createDataFrame(
        [("d", 5.0), ("hourly", 3600.0), ("slow", 300.0), ("fast", 0.5)],
        "device_id string, expected_interval_seconds double",
    )
    midnight = utc(2024, 1, 2)
    minutes = [
        minute(T, 6, 1.0),
        minute(H, 12, 1.0),
        minute(P, 13, 1.0, bucket=midnight),
        minute(T, 1, 1.0, device_id="stranger"),
        minute("power_watt", 1, 1.0, device_id="slow"),
        minute("value", 60, 1.0, device_id="fast"),
        minute(T, 1, 1.0, device_id="hourly"),
    ]
    found = complete_minutes(frame(spark, minutes, MINUTE_COLUMNS), registry, {"power_watt": "W", T: "ignored"})
    columns = (
        "bucket",
        "device_id",
        "metric",
        "unit",
        *STATISTICS,
        "expected_count",
        "completeness_percent",
        "bucket_date",
    )
    new_year = day(2024, 1, 1)
    added: list[tuple[str | None, float | None, float | None, Any]] = [
        ("°C", 12.0, 50.0, new_year),
        ("%", 12.0, 100.0, new_year),
        # Thirteen of twelve expected are not more than everything.
        ("hPa", 12.0, 100.0, day(2024, 1, 2)),
        ("°C", None, None, new_year),
        # A fifth of a reading is expected each minute.
        ("W", 0.2, 100.0, new_year),
        (None, 120.0, 50.0, new_year),
        ("°C", 60.0 / 3600.0, 100.0, new_year),
    ]
    expected = [
        (*row[:3], unit, *row[3:], count, percent, date)
        for row, (unit, count, percent, date) in zip(minutes, added, strict=True)
    ]
    assert_df_equality(found, frame(spark, expected, columns), ignore_row_order=True, ignore_nullable=True)


def test_the_latest_reading_of_a_metric_has_the_greatest_time_then_the_greatest_coordinates(
    spark: SparkSession,
) -> None:
    registry = spark.createDataFrame([("d", 5.0)], "device_id string, expected_interval_seconds double")
    events = [
        {T: 1.0, H: 40.0, "event_time": at(10), "quality_flag": "suspect"},
        # Later, but without humidity, which stays.
        {T: 2.0, "event_time": at(20)},
        {T: 9.0, "event_time": at(5)},
        # Ties: the greater offset, partition, generation, topic.
        {"device_id": "offset", T: 1.0, "offset": 9},
        {"device_id": "offset", T: 2.0, "offset": 10},
        {"device_id": "partition", T: 2.0, "partition": 1, "offset": 1},
        {"device_id": "partition", T: 1.0, "partition": 0, "offset": 9},
        {"device_id": "generation", T: 2.0, "topic_generation": 2, "partition": 0},
        {"device_id": "generation", T: 1.0, "topic_generation": 1, "partition": 5},
        {"device_id": "topic", T: 1.0, "topic": "a", "topic_generation": 3},
        {"device_id": "topic", T: 2.0, "topic": "b"},
        # A reading event of the same metric is a reading of it.
        {"device_id": "both", T: 1.0, "event_time": at(1)},
        {"device_id": "both", "metric": T, "value": 2.0, "event_time": at(2), "quality_flag": "out_of_range"},
        {"device_id": "meter", "metric": "power_watt", "value": 7.0},
        {"device_id": "silent"},
    ]
    found = latest_readings(readings(spark, events), registry)
    expected = [
        ("d", T, 2.0, at(20), "valid", 5.0),
        ("d", H, 40.0, at(10), "suspect", 5.0),
        ("offset", T, 2.0, MINUTE, "valid", None),
        ("partition", T, 2.0, MINUTE, "valid", None),
        ("generation", T, 2.0, MINUTE, "valid", None),
        ("topic", T, 2.0, MINUTE, "valid", None),
        ("both", T, 2.0, at(2), "out_of_range", None),
        ("meter", "power_watt", 7.0, MINUTE, "valid", None),
    ]
    assert_df_equality(
        found, spark.createDataFrame(expected, GOLD_LATEST_READINGS.ddl), ignore_row_order=True, ignore_nullable=True
    )

"""Silver readings as 1-minute aggregates and as the latest reading per device and metric.

A minute is computed from all of its readings, never by adding to what was there: whatever the order, delay or
repetition, it ends as a recompute would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from sluice.schemas import (
    ACCEPTED_SECONDS_AHEAD,
    COORDINATES,
    GOLD_HELD,
    GOLD_LATEST_READINGS,
    GOLD_READINGS_1MIN,
    HELD_OPEN,
    METRIC_UNITS,
    METRICS,
    READING_METRIC,
    range_rules,
)
from sluice.transforms.judge import Mark, RowRule, bits_of, rule_names

MINUTE_KEY = ("bucket", "device_id", "metric")
# What gold reads of silver/readings.
READ_COLUMNS = ("device_id", "event_time", "metric", *METRICS, READING_METRIC, "quality_flag", "failed_rules")
# What a row rule of the gold suite may name, and its Spark SQL types: a minute and what `as_candidates` adds.
CANDIDATE_TYPES: dict[str, str] = {
    **dict(GOLD_READINGS_1MIN.columns),
    "seconds_into_minute": "int",
    "latest_accepted_bucket": "timestamp",
    "lowest_accepted_mean": "double",
    "greatest_accepted_mean": "double",
}
# The mean of a million equal values can differ from them by about 1e-10 of their size.
_ROUNDING = 1e-9
_OTHER = "_other"
_STATISTICS = ("reading_count", "value_mean", "value_min", "value_max", "value_stddev", "out_of_range_count")


def aggregate_minutes(readings: DataFrame) -> DataFrame:
    """One row per MINUTE_KEY that has a value: the statistics of gold/readings_1min.

    Null values are not counted; the sample standard deviation of one reading is null.

    Args:
        readings: READ_COLUMNS of silver/readings; all rows of a minute, or its result is partial.

    Returns:
        bucket, device_id, metric, reading_count, value_mean, value_min, value_max, value_stddev,
        out_of_range_count.
    """
    named = _by_metric(readings).withColumn("bucket", F.date_trunc("minute", "event_time"))
    names = (*METRICS, _OTHER)
    statistics = [column for name in names for column in _statistics_of(name)]
    # One shuffle for all metrics: a row with another metric has no canonical value, so canonical values
    # meet in the group whose other metric is null.
    wide = named.groupBy("bucket", "device_id", "_other_metric").agg(*statistics)
    entries = F.array(*[_entry(name) for name in names])
    long = wide.select("bucket", "device_id", F.explode(entries).alias("_entry")).where("_entry.reading_count > 0")
    return long.select("bucket", "device_id", "_entry.*")


def _by_metric(readings: DataFrame) -> DataFrame:
    """Reading events whose metric is a canonical column count as values of that column."""
    value, metric = F.col(READING_METRIC), F.col("metric")
    is_canonical = F.coalesce(metric.isin(*METRICS), F.lit(False))
    canonical = [F.coalesce(F.col(name), F.when(metric == name, value)).alias(name) for name in METRICS]
    is_reading_out = _breaks_range(READING_METRIC)
    outside = [(_breaks_range(name) | ((metric == name) & is_reading_out)).alias(f"_{name}_out") for name in METRICS]
    return readings.select(
        "device_id",
        "event_time",
        *canonical,
        F.when(~is_canonical, value).alias(_OTHER),
        F.when(~is_canonical & metric.isNotNull(), metric).alias("_other_metric"),
        *outside,
        is_reading_out.alias(f"_{_OTHER}_out"),
    )


def _breaks_range(metric: str) -> Column:
    failed = F.col("failed_rules")
    broken = reduce(Column.__or__, [F.array_contains(failed, rule) for rule in range_rules(metric)])
    return (F.col("quality_flag") == "out_of_range") & broken


def _statistics_of(name: str) -> list[Column]:
    value = F.col(name)
    return [
        F.count(value).alias(f"{name}_reading_count"),
        F.avg(value).alias(f"{name}_value_mean"),
        F.min(value).alias(f"{name}_value_min"),
        F.max(value).alias(f"{name}_value_max"),
        F.stddev_samp(value).alias(f"{name}_value_stddev"),
        F.count_if(value.isNotNull() & F.coalesce(F.col(f"_{name}_out"), F.lit(False))).alias(
            f"{name}_out_of_range_count"
        ),
    ]


def _entry(name: str) -> Column:
    metric = F.col("_other_metric") if name == _OTHER else F.lit(name)
    return F.struct(metric.alias("metric"), *[F.col(f"{name}_{each}").alias(each) for each in _STATISTICS])


def complete_minutes(minutes: DataFrame, registry: DataFrame, units: Mapping[str, str]) -> DataFrame:
    """Minutes with unit, expected_count and completeness_percent (at most 100; null if unregistered).

    Args:
        minutes: as `aggregate_minutes` returns.
        registry: `device_id`, `expected_interval_seconds`; one row per device.
        units: of registered metrics that are no canonical column.
    """
    intervals = F.broadcast(registry.select("device_id", "expected_interval_seconds"))
    known = minutes.join(intervals, on="device_id", how="left")
    expected = F.lit(60.0) / F.col("expected_interval_seconds")
    share = F.col("reading_count") * F.lit(100.0) / expected
    # Not F.least alone, which skips null: nothing is expected of an unregistered device.
    percent = F.when(share.isNotNull(), F.least(F.lit(100.0), share))
    unit = F.lit(None).cast("string")
    for name, text in {**units, **METRIC_UNITS}.items():
        unit = F.when(F.col("metric") == name, F.lit(text)).otherwise(unit)
    return known.select(
        *MINUTE_KEY,
        unit.alias("unit"),
        *_STATISTICS,
        expected.alias("expected_count"),
        percent.alias("completeness_percent"),
        F.to_date("bucket").alias("bucket_date"),
    )


def as_candidates(minutes: DataFrame, latest_accepted_time: Column) -> DataFrame:
    """Minutes with the further columns of CANDIDATE_TYPES; no row leaves.

    `lowest_accepted_mean` and `greatest_accepted_mean` are minimum and maximum, widened by what rounding can do: the
    mean of three times 0.1 is greater than 0.1.

    Args:
        minutes: `bucket`, `value_min`, `value_max`; further columns are kept.
        latest_accepted_time: the latest time that a reading can have.
    """
    rounding = F.greatest(F.abs("value_min"), F.abs("value_max")) * F.lit(_ROUNDING)
    return minutes.withColumns(
        {
            "seconds_into_minute": F.second("bucket"),
            "latest_accepted_bucket": F.date_trunc("minute", latest_accepted_time),
            "lowest_accepted_mean": F.col("value_min") - rounding,
            "greatest_accepted_mean": F.col("value_max") + rounding,
        }
    )


def judge_minutes(
    minutes: DataFrame, decided_at: datetime, rules: Sequence[RowRule], marks: Sequence[Mark]
) -> DataFrame:
    """Minutes as candidates, with `broken_rules` and `marks` (see `judge_events`).

    Args:
        minutes: as `complete_minutes` returns.
        decided_at: UTC; a reading is at most ACCEPTED_SECONDS_AHEAD later.
    """
    dated = minutes.withColumn("updated_at", F.lit(decided_at)).select(*GOLD_READINGS_1MIN.column_names)
    candidates = as_candidates(dated, F.lit(decided_at + timedelta(seconds=ACCEPTED_SECONDS_AHEAD)))
    bits = {
        "broken_rules": bits_of([rule.failing for rule in rules]),
        "marks": bits_of([mark.holds for mark in marks]),
    }
    return candidates.withColumns(bits)


def select_held_minutes(refused: DataFrame, rules: Sequence[RowRule], promotion_id: str) -> DataFrame:
    """Refused candidates, as `judge_minutes` returns them, in the columns of gold/held."""
    marked = refused.withColumns(
        {
            "failed_rules": rule_names(rules),
            "promotion_id": F.lit(promotion_id),
            "status": F.lit(HELD_OPEN),
        }
    )
    return marked.select(*[F.col(name).cast(kind).alias(name) for name, kind in GOLD_HELD.columns])


def latest_readings(readings: DataFrame, registry: DataFrame) -> DataFrame:
    """The latest value per device and metric, in the columns of gold/latest_readings.

    The greatest event time wins, ties go to the greatest coordinates.

    Args:
        readings: columns of silver/readings.
        registry: `device_id`, `expected_interval_seconds`.
    """
    order = F.struct("event_time", *COORDINATES)
    values = [F.struct(F.lit(name).alias("metric"), F.col(name).alias("value")) for name in METRICS]
    reading = F.struct(F.col("metric"), F.col(READING_METRIC).alias("value"))
    entry = F.explode(F.array(*values, reading)).alias("_entry")
    recent = _at_last_moments(readings)
    each = recent.select("device_id", "event_time", "quality_flag", order.alias("_order"), entry)
    measured = each.where("_entry.value is not null")
    last = measured.groupBy("device_id", F.col("_entry.metric").alias("metric")).agg(
        F.max_by(F.struct(F.col("_entry.value").alias("value"), "event_time", "quality_flag"), "_order").alias("_last")
    )
    intervals = F.broadcast(registry.select("device_id", "expected_interval_seconds"))
    known = last.join(intervals, on="device_id", how="left")
    return known.select("device_id", "metric", "_last.*", "expected_interval_seconds").select(
        *GOLD_LATEST_READINGS.column_names
    )


def _at_last_moments(readings: DataFrame) -> DataFrame:
    """The readings at the moments at which a device last measured something: few, and all of its latest ones.

    Spark finds greatest times by hashing, but readings at the greatest time only by sorting them all.
    """
    last = [F.max(F.when(F.col(name).isNotNull(), F.col("event_time"))) for name in (*METRICS, READING_METRIC)]
    moments = readings.groupBy("device_id", "metric").agg(F.array(*last).alias("_moments"))
    each = moments.select("device_id", F.explode("_moments").alias("event_time")).distinct()
    return readings.join(F.broadcast(each), on=["device_id", "event_time"], how="left_semi")

"""Judging events: what the registry knows of their device is joined, and each row rule decides each event.

Broken rules travel as one number, bit i for rule i of the suite: names are made of it only where a row is
written, which keeps the pass over all rows compiled and its counts cheap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from sluice import schemas
from sluice.schemas import ACCEPTED_SECONDS_AHEAD, METRICS, READING_METRIC, SILVER_READINGS

_REGISTERED_ENDS = tuple(f"{name}_registered_{end}" for name in (*METRICS, READING_METRIC) for end in ("min", "max"))
_SET_LATER = ("quality_flag", "failed_rules", "promoted_at", "promotion_id")
# What a row rule of the silver suite may name, and its Spark SQL types.
JUDGED_TYPES: dict[str, str] = {
    **{name: kind for name, kind in SILVER_READINGS.columns if name not in _SET_LATER},
    "latest_accepted_time": "timestamp",
    "age_days": "double",
    "expected_interval_seconds": "double",
    **dict.fromkeys(_REGISTERED_ENDS, "double"),
}
JUDGED_COLUMNS = tuple(JUDGED_TYPES)
# What judging adds to an event.
VERDICT_COLUMNS = ("metric", "customer", "site", "event_date", "is_registered", "broken_rules", "marks")
MICROS_PER_DAY = 86_400_000_000
# Broken rules, and marks, each travel as the bits of one 64-bit number.
MAX_BITS = 62


@dataclass(frozen=True)
class RowRule:
    """A rule judged per row.

    Attributes:
        error_code: what a row that breaks the rule is quarantined under, if the rule is critical.
        failing: boolean column over JUDGED_COLUMNS, true where the rule is broken, never null.
    """

    rule_id: str
    is_critical: bool
    error_code: str
    failing: Column


@dataclass(frozen=True)
class Mark:
    """Something counted of events beside the rules they break.

    Attributes:
        holds: boolean column over JUDGED_COLUMNS and `is_registered`; null counts as false.
    """

    name: str
    holds: Column


def judge_events(
    events: DataFrame, registry: DataFrame, rules: Sequence[RowRule], marks: Sequence[Mark] = ()
) -> DataFrame:
    """Events with VERDICT_COLUMNS; no row leaves.

    `metric` is set for reading events only; bit i of `broken_rules` is set where rule i is broken, bit i of
    `marks` where mark i holds.

    Args:
        events: RECORD_COLUMNS and EVENT_COLUMNS; further columns are kept.
        registry: columns of REGISTRY_DDL; one row per device.
    """
    judged = with_judged_columns(events, registry)
    broken = bits_of([rule.failing for rule in rules]).alias("broken_rules")
    held = bits_of([mark.holds for mark in marks]).alias("marks")
    return judged.select(*events.columns, *VERDICT_COLUMNS[:-2], broken, held)


def with_judged_columns(events: DataFrame, registry: DataFrame) -> DataFrame:
    """Events with all of JUDGED_COLUMNS, and `is_registered`."""
    known = registry.withColumn("is_registered", F.lit(True)).drop("assume_time_zone")
    joined = events.join(F.broadcast(known), on="device_id", how="left")
    is_reading = F.col(READING_METRIC).isNotNull()
    ahead = F.expr(f"kafka_timestamp + INTERVAL {ACCEPTED_SECONDS_AHEAD} SECONDS")
    return joined.withColumns(
        {
            "metric": F.when(is_reading, F.coalesce("registered_metric", F.lit(READING_METRIC))),
            "latest_accepted_time": ahead,
            "age_days": (F.unix_micros("kafka_timestamp") - F.unix_micros("event_time")) / F.lit(MICROS_PER_DAY),
            "event_date": F.to_date("event_time"),
            "is_registered": F.coalesce("is_registered", F.lit(False)),
        }
    )


def is_late(after_seconds: float) -> Column:
    """Whether an event reached Kafka more than so many seconds after it was measured."""
    return F.col("event_time") < F.expr(f"kafka_timestamp - INTERVAL '{float(after_seconds):f}' SECOND")


def bits_of(conditions: Sequence[Column]) -> Column:
    """One number with bit i set where condition i is true."""
    bits = [F.when(condition, _bit(index)).otherwise(_bits(0)) for index, condition in enumerate(conditions)]
    return reduce(Column.bitwiseOR, bits, _bits(0))


def quality_flag(rules: Sequence[RowRule]) -> Column:
    """The flag of a judged event: the first of out_of_range, suspect, unknown_device, valid that applies."""
    broken = F.col("broken_rules")
    return (
        F.when(broken.bitwiseAND(_bits(range_bits(rules))) != 0, schemas.OUT_OF_RANGE)
        .when(broken != 0, schemas.SUSPECT)
        .when(~F.col("is_registered"), schemas.UNKNOWN_DEVICE)
        .otherwise(schemas.VALID)
    )


def range_bits(rules: Sequence[RowRule]) -> int:
    """The bits of those rules that judge registered ranges."""
    ranges = {rule_id for name in (*METRICS, READING_METRIC) for rule_id in schemas.range_rules(name)}
    return sum(1 << index for index, rule in enumerate(rules) if rule.rule_id in ranges)


def critical_bits(rules: Sequence[RowRule]) -> int:
    """The bits of those rules that refuse a row."""
    return sum(1 << index for index, rule in enumerate(rules) if rule.is_critical)


def rule_names(rules: Sequence[RowRule]) -> Column:
    """The ids of the broken rules, in the suite's order; empty where none is."""
    names = [F.when(_is_broken(index), F.lit(rule.rule_id)) for index, rule in enumerate(rules)]
    nothing = F.array().cast("array<string>")
    return F.when(F.col("broken_rules") == 0, nothing).otherwise(F.array_compact(F.array(*names)))


def refusing_code(rules: Sequence[RowRule]) -> Column:
    """The error code of the first broken critical rule; null where the event may be promoted."""
    codes = [F.when(_is_broken(i), F.lit(rule.error_code)) for i, rule in enumerate(rules) if rule.is_critical]
    refused = F.col("broken_rules").bitwiseAND(_bits(critical_bits(rules))) != 0
    return F.when(refused, F.coalesce(*codes, F.lit(None).cast("string")))


def named_bits(bits: int, names: Sequence[str]) -> list[str]:
    """Those of the names whose bits are set."""
    return [name for index, name in enumerate(names) if bits >> index & 1]


def has_bit(column: str, index: int) -> Column:
    """Whether bit `index` of a column is set."""
    return F.col(column).bitwiseAND(_bit(index)) != 0


def _bits(value: int) -> Column:
    return F.lit(value).cast("bigint")


def _bit(index: int) -> Column:
    return _bits(1 << index)


def _is_broken(index: int) -> Column:
    return has_bit("broken_rules", index)

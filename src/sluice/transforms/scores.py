"""Silver as daily quality scores: what is counted per day and device, and the score made of it.

`score_days` is the arithmetic of `quality.scores` as columns (docs/scores.md defines it); a test keeps them in step.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date, datetime, timedelta, timezone
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from sluice.schemas import (
    CRITICAL,
    DIMENSIONS,
    GOLD_QUALITY_SCORES,
    GOOD,
    GOOD_ABOVE,
    OUT_OF_RANGE,
    QUARANTINE_COUNTED,
    UNREADABLE_DEVICE,
    WARNING,
    WARNING_FROM,
)
from sluice.transforms.judge import is_late
from sluice.transforms.silver import RULES

SCORE_KEY = ("day", "device_id")
COUNTED = ("readings", "quarantined", "out_of_range", "duplicates", "judged", "late", "inconsistent")
_EPOCH = date(1970, 1, 1)
_DAY_MICROS = 86_400_000_000
_VALUES = tuple(name for name in GOLD_QUALITY_SCORES.column_names if name not in (*SCORE_KEY, "updated_at"))


def day_of(time: str) -> Column:
    """The UTC date of a time, from 1970-01-01, which null has too, to 9999-12-31."""
    days = F.coalesce(F.unix_date(F.to_date(F.col(time))), F.lit(0))
    return F.date_from_unix_date(F.least(F.greatest(days, F.lit(0)), F.lit((date.max - _EPOCH).days)))


def on_days(time: str, days: Collection[date]) -> Column:
    """Whether `day_of` a time is one of the days; names the range around them too, which prunes files."""
    if not days:
        return F.lit(False)
    wanted, first, last = day_of(time).isin(sorted(days)), min(days), max(days)
    # What `day_of` moved to these days lies outside of them.
    if first > _EPOCH:
        wanted = wanted & (F.col(time) >= F.lit(_midnight(first)))
    if first > _EPOCH and last < date.max:
        wanted = wanted & (F.col(time) < F.lit(_midnight(last + timedelta(days=1))))
    return wanted


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=timezone.utc)


def count_days(
    readings: DataFrame,
    quarantine: DataFrame,
    duplicates: DataFrame,
    consistency_rules: Iterable[str],
    late_after_seconds: float,
) -> DataFrame:
    """What is counted per day and device; whole days in, or the counts are partial.

    Quarantined rows have no event time: theirs is the day of the Kafka timestamp. Those that were replayed since are
    left out, being counted where they went.

    Args:
        readings, quarantine, duplicates: columns of the tables of silver.
        consistency_rules: ids of the suite's row rules of that dimension.

    Returns:
        SCORE_KEY, COUNTED, `newest_kafka_micros` (null where only duplicates are known).
    """
    inconsistent = F.arrays_overlap("failed_rules", F.array(*map(F.lit, consistency_rules)).cast("array<string>"))
    kafka = F.unix_micros("kafka_timestamp")
    promoted = _counted(
        readings,
        F.col("event_date"),
        {
            "readings": F.lit(True),
            "judged": F.lit(True),
            "out_of_range": F.col("quality_flag") == OUT_OF_RANGE,
            "late": is_late(late_after_seconds),
            "inconsistent": inconsistent,
        },
        kafka,
    )
    refused = _counted(
        quarantine.where(F.col("status").isin(*QUARANTINE_COUNTED)),
        day_of("kafka_timestamp"),
        {"quarantined": F.lit(True), "judged": F.col("stage") == RULES, "inconsistent": inconsistent},
        kafka,
    )
    dropped = _counted(duplicates, day_of("event_time"), {"duplicates": F.lit(True)}, F.lit(None).cast("bigint"))
    counts = [F.count_if(name).alias(name) for name in COUNTED]
    newest = F.max("newest_kafka_micros").alias("newest_kafka_micros")
    return promoted.unionAll(refused).unionAll(dropped).groupBy(*SCORE_KEY).agg(*counts, newest)


def _counted(rows: DataFrame, day: Column, holds: dict[str, Column], kafka: Column) -> DataFrame:
    flags = [F.coalesce(holds.get(name, F.lit(False)), F.lit(False)).alias(name) for name in COUNTED]
    device = F.coalesce("device_id", F.lit(UNREADABLE_DEVICE)).alias("device_id")
    return rows.select(day.alias("day"), device, *flags, kafka.alias("newest_kafka_micros"))


def score_days(
    counts: DataFrame,
    registry: DataFrame,
    covered_until: datetime | None,
    scored_at: datetime,
    *,
    has_consistency: bool,
) -> DataFrame:
    """Scores per day and device, in the columns of gold/quality_scores.

    Args:
        counts: SCORE_KEY and COUNTED.
        registry: `device_id`, `customer`, `expected_interval_seconds`; one row per device.
        covered_until: UTC; up to this moment readings are expected. None where that is not known.
        scored_at: becomes `updated_at`.
        has_consistency: whether the suite has a row rule of that dimension.
    """
    known = counts.join(
        F.broadcast(registry.select("device_id", "customer", "expected_interval_seconds")), on="device_id", how="left"
    )
    counted = known.withColumns(
        {
            "received": F.col("readings") + F.col("quarantined") + F.col("duplicates"),
            "expected": _seconds_covered(covered_until) / F.col("expected_interval_seconds"),
            "inconsistent": F.when(F.lit(has_consistency), F.col("inconsistent")),
        }
    )
    share = F.col("readings") / F.col("expected")
    dimensions = {
        # Not F.least alone, which skips null.
        "completeness": F.when(F.col("expected") > 0, F.least(F.lit(1.0), share)),
        "validity": _without(F.col("quarantined") + F.col("out_of_range"), "received"),
        "uniqueness": _without(F.col("duplicates"), "received"),
        "timeliness": _without(F.col("late"), "readings"),
        "consistency": _without(F.col("inconsistent"), "judged"),
    }
    scored = counted.withColumns(dimensions).withColumn("score", _mean())
    banded = scored.withColumns({"band": _band(), "updated_at": F.lit(scored_at)})
    return banded.select(*[F.col(name).cast(kind).alias(name) for name, kind in GOLD_QUALITY_SCORES.columns])


def _seconds_covered(until: datetime | None) -> Column:
    if until is None:
        return F.lit(None).cast("double")
    # In whole microseconds: seconds since 1970 as a double would leave a rest in the last digits.
    micros = F.unix_micros(F.lit(until)) - F.unix_date("day").cast("bigint") * F.lit(_DAY_MICROS)
    return F.least(F.lit(_DAY_MICROS), F.greatest(F.lit(0), micros)) / F.lit(1_000_000)


def _without(part: Column, whole: str) -> Column:
    share = F.greatest(F.lit(0.0), F.lit(1.0) - part / F.col(whole))
    return F.when((F.col(whole) > 0) & part.isNotNull(), share)


def _mean() -> Column:
    # In the order of DIMENSIONS, as quality.scores adds them: the sums are the same to the last bit.
    total = reduce(Column.__add__, [F.coalesce(F.col(name), F.lit(0.0)) for name in DIMENSIONS])
    known = reduce(Column.__add__, [F.col(name).isNotNull().cast("int") for name in DIMENSIONS])
    return F.when(known > 0, F.lit(100.0) * total / known)


def _band() -> Column:
    score = F.col("score")
    return F.when(score > GOOD_ABOVE, GOOD).when(score >= WARNING_FROM, WARNING).when(score.isNotNull(), CRITICAL)


def carry_over(fresh: DataFrame, known: DataFrame) -> DataFrame:
    """Fresh scores beside those the table has of the same days.

    Returns:
        Columns of gold/quality_scores and `is_changed`. A row that says what it said keeps its `updated_at`. A row of
        `known` that is no longer there has null for everything but SCORE_KEY, and is a change.
    """
    before = known.select(*SCORE_KEY, F.struct(*_VALUES, "updated_at").alias("_before"))
    after = fresh.select(*SCORE_KEY, F.struct(*_VALUES, "updated_at").alias("_after"))
    both = after.join(before, on=list(SCORE_KEY), how="full_outer")
    same = reduce(Column.__and__, [F.col(f"_after.{name}").eqNullSafe(F.col(f"_before.{name}")) for name in _VALUES])
    is_same = F.col("_after").isNotNull() & F.col("_before").isNotNull() & same
    updated_at = F.when(is_same, F.col("_before.updated_at")).otherwise(F.col("_after.updated_at"))
    columns = {**{name: F.col(f"_after.{name}") for name in _VALUES}, "updated_at": updated_at}
    named = both.select(
        *SCORE_KEY, *[column.alias(name) for name, column in columns.items()], (~is_same).alias("is_changed")
    )
    return named.select(*GOLD_QUALITY_SCORES.column_names, "is_changed")

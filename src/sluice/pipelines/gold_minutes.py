"""Candidate minutes of gold: what a micro-batch touches, each computed from all of its readings in silver.

A minute that is new is aggregated from the micro-batch; one that gold or gold/held already knows is computed anew
from silver. So a replay, or the same readings in any other order, ends in the same rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from sluice.pipelines.kept import Keeper
from sluice.schemas import GOLD_HELD, GOLD_READINGS_1MIN, SILVER_READINGS
from sluice.tables.delta import current_version, read_table
from sluice.tables.lake import Lake
from sluice.transforms.gold import MINUTE_KEY, READ_COLUMNS, aggregate_minutes
from sluice.transforms.hours import Range, hour_of, merge_hours, moment_of, within


@dataclass(frozen=True)
class Minutes:
    """Candidates and where they lie.

    Attributes:
        frame: as `aggregate_minutes` returns.
        ranges: hours that hold all of their buckets.
    """

    frame: DataFrame
    ranges: list[Range]


def touched_minutes(lake: Lake, batch: DataFrame, silver_version: int, keeper: Keeper) -> Minutes:
    """The minutes that a micro-batch of silver/readings touches.

    Args:
        silver_version: of silver/readings, in which known minutes are computed anew.
        keeper: keeps frames until the batch is done.
    """
    spark = batch.sparkSession
    partial = keeper.settle(aggregate_minutes(batch.select(*READ_COLUMNS)))
    ranges = merge_hours(hours_of(partial, "bucket"))
    gold = read_table(spark, lake, GOLD_READINGS_1MIN).where(within(ranges, "bucket", "bucket_date"))
    knowing = gold.select(*MINUTE_KEY)
    if has_held(lake):
        # Whatever became of it: a replay must find the key known although its row is superseded by now.
        knowing = knowing.unionAll(read_table(spark, lake, GOLD_HELD).select(*MINUTE_KEY)).distinct()
    known = keeper.settle(partial.select(*MINUTE_KEY).join(knowing, on=list(MINUTE_KEY), how="left_semi"))
    hours = hours_of(known, "bucket")
    if not hours:
        return Minutes(partial, ranges)
    fresh = partial.join(known, on=list(MINUTE_KEY), how="left_anti")
    return Minutes(fresh.unionByName(minutes_anew(spark, lake, known, hours, silver_version)), ranges)


def minutes_anew(
    spark: SparkSession, lake: Lake, keys: DataFrame, hours: Iterable[datetime], silver_version: int
) -> DataFrame:
    """Minutes computed from all of their readings in silver; a key that silver has no value for is left out.

    Args:
        keys: MINUTE_KEY.
        hours: starts of the hours that hold all of them.
    """
    read = readings_of(spark, lake, keys, hours, silver_version).select(*READ_COLUMNS, "bucket")
    whole = aggregate_minutes(read)
    return whole.join(keys, on=list(MINUTE_KEY), how="left_semi")


def readings_of(
    spark: SparkSession, lake: Lake, keys: DataFrame, hours: Iterable[datetime], silver_version: int
) -> DataFrame:
    """Silver's readings, and their `bucket`, in minutes of devices: of all metrics, also those not asked for.

    Args:
        keys: MINUTE_KEY.
        hours: starts of the hours that hold all of them.
    """
    silver = read_table(spark, lake, SILVER_READINGS, silver_version)
    bucket = F.date_trunc("minute", "event_time").alias("bucket")
    near = silver.where(within(merge_hours(hours), "event_time", "event_date")).select("*", bucket)
    devices = keys.select("bucket", "device_id").distinct()
    return near.join(devices, on=["bucket", "device_id"], how="left_semi")


def minutes_within(spark: SparkSession, lake: Lake, ranges: Sequence[Range], silver_version: int) -> DataFrame:
    """All minutes that silver has a value for, of whole minutes of time; as `aggregate_minutes` returns."""
    silver = read_table(spark, lake, SILVER_READINGS, silver_version)
    return aggregate_minutes(silver.where(within(list(ranges), "event_time", "event_date")).select(*READ_COLUMNS))


def has_held(lake: Lake) -> bool:
    """Whether a minute was ever held."""
    return current_version(lake, GOLD_HELD) > 0


def hours_of(frame: DataFrame, column: str) -> list[datetime]:
    """Starts of the UTC hours that a timestamp column's values fall into."""
    return [moment_of(row["hour"]) for row in frame.select(hour_of(column).alias("hour")).distinct().collect()]


def bucket_bound(ranges: list[Range]) -> str:
    """Literal limits on `target` within which all buckets of the ranges lie."""
    if not ranges:
        return "false"
    low, high = ranges[0][0], ranges[-1][1]
    dates = sorted({day for each in ranges for day in (each[0].date(), each[1].date())})
    listed = ", ".join(f"DATE'{day}'" for day in dates)
    times = (
        f"target.bucket >= TIMESTAMP'{low:%Y-%m-%d %H:%M:%S}' AND target.bucket < TIMESTAMP'{high:%Y-%m-%d %H:%M:%S}'"
    )
    if any((each[1] - each[0]).days > 1 for each in ranges):
        return f"{times} AND target.bucket_date BETWEEN DATE'{low.date()}' AND DATE'{high.date()}'"
    return f"{times} AND target.bucket_date IN ({listed})"

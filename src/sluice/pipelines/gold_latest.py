"""gold/latest_readings: the latest value per device and metric, ties settled by coordinates that silver has."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from sluice.pipelines.gold_minutes import has_held, hours_of, readings_of
from sluice.pipelines.gold_work import GoldWork
from sluice.pipelines.kept import Keeper
from sluice.schemas import GOLD_HELD, GOLD_LATEST_READINGS, SILVER_READINGS
from sluice.tables.delta import Transaction, Upsert, read_table, replace_rows
from sluice.tables.frames import FEW_ROWS, upsert
from sluice.tables.lake import Lake
from sluice.transforms.gold import MINUTE_KEY, latest_readings
from sluice.transforms.hours import Range, during, merge_hours, within

_KEY = ("device_id", "metric")


def update_latest(lake: Lake, batch: DataFrame, work: GoldWork, keeper: Keeper) -> None:
    """Brings the latest readings up to a micro-batch of silver/readings; a later one that is there stays."""
    latest = keeper.settle(latest_readings(batch, work.registry))
    rows = _settle_ties(lake, latest, work.registry, work.silver_version)
    how = Upsert(_KEY, update_when="source.event_time >= target.event_time")
    upsert(rows, lake, GOLD_LATEST_READINGS, how, work.transaction, is_few=latest.count() <= FEW_ROWS)


def with_held_before(lake: Lake, batch: DataFrame, minutes: DataFrame, silver_version: int) -> DataFrame:
    """A micro-batch, and all readings of those of its minutes that were ever held.

    A gate that could not decide has left them out of the latest readings.

    Args:
        minutes: MINUTE_KEY of the micro-batch.
    """
    if not has_held(lake):
        return batch
    held = read_table(batch.sparkSession, lake, GOLD_HELD).select(*MINUTE_KEY)
    keys = minutes.select(*MINUTE_KEY).join(held, on=list(MINUTE_KEY), how="left_semi")
    hours = hours_of(keys, "bucket")
    if not hours:
        return batch
    again = readings_of(batch.sparkSession, lake, keys, hours, silver_version)
    names = SILVER_READINGS.column_names
    return batch.select(*names).unionAll(again.select(*names))


def replace_latest(
    lake: Lake,
    ranges: Sequence[Range],
    registry: DataFrame,
    silver_version: int,
    transaction: Transaction,
    keeper: Keeper,
) -> None:
    """Makes the latest readings right after readings of a range of time were replaced or are gone.

    Where the latest one that gold knows is gone and the range has none as late, all of the device's readings are asked.
    """
    spark, on = registry.sparkSession, list(_KEY)
    silver = read_table(spark, lake, SILVER_READINGS, silver_version)
    inside = silver.where(within(list(ranges), "event_time", "event_date"))
    found = keeper.settle(latest_readings(inside, registry))
    known = keeper.settle(
        read_table(spark, lake, GOLD_LATEST_READINGS).select(*_KEY, F.col("event_time").alias("_known"))
    )
    dated = found.select(*_KEY, "event_time")
    earlier = known.where(during(ranges, "_known")).join(dated, on=on, how="left")
    lost = keeper.settle(
        earlier.where(F.col("event_time").isNull() | (F.col("event_time") < F.col("_known"))).select(on)
    )
    rows = found.join(known, on=on, how="left").where(
        F.col("_known").isNull() | (F.col("event_time") >= F.col("_known"))
    )
    rows = rows.drop("_known").withColumn("stays", F.lit(True))
    if not lost.isEmpty():
        devices = F.broadcast(lost.select("device_id").distinct())
        whole = latest_readings(silver.join(devices, on="device_id", how="left_semi"), registry)
        anew = keeper.settle(whole.join(lost, on=on, how="left_semi"))
        gone = lost.join(anew.select(on), on=on, how="left_anti").withColumn("stays", F.lit(False))
        rows = rows.unionByName(anew.withColumn("stays", F.lit(True))).unionByName(gone, allowMissingColumns=True)
    replace_rows(rows, lake, GOLD_LATEST_READINGS, Upsert(_KEY), transaction)


def _settle_ties(lake: Lake, latest: DataFrame, registry: DataFrame, silver_version: int) -> DataFrame:
    """The latest readings, those as late as the one gold knows taken from silver, which has coordinates."""
    spark, at = latest.sparkSession, [*_KEY, "event_time"]
    known = read_table(spark, lake, GOLD_LATEST_READINGS).select(*at)
    tied = latest.select(*at).join(known, on=at, how="left_semi")
    hours = hours_of(tied, "event_time")
    if not hours:
        return latest
    silver = read_table(spark, lake, SILVER_READINGS, silver_version)
    moments = tied.select("device_id", "event_time").distinct()
    near = silver.where(within(merge_hours(hours), "event_time", "event_date"))
    candidates = near.join(moments, on=["device_id", "event_time"], how="left_semi")
    settled = latest_readings(candidates, registry).join(tied, on=at, how="left_semi")
    return latest.join(tied.select(*map(F.col, _KEY)), on=list(_KEY), how="left_anti").unionByName(settled)

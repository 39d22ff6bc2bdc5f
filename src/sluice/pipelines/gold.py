"""Gold: silver readings become 1-minute aggregates and latest readings, corrected whenever a late one comes.

A minute that is new is aggregated from the micro-batch; one that gold already holds is computed anew from all
of its readings in silver. So a replay, or the same readings in any other order, ends in the same rows.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timezone

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from sluice import schemas
from sluice.errors import LakeMissing
from sluice.pipelines.ledger import record_promotion
from sluice.pipelines.rulebook import load_rulebook
from sluice.pipelines.stream import BatchReport, Stream
from sluice.schemas import GOLD_LATEST_READINGS, GOLD_READINGS_1MIN, OPS_GOLD_PROMOTIONS, SILVER_READINGS
from sluice.settings import Settings
from sluice.tables.checkpoints import generation_of, read_versions
from sluice.tables.delta import Transaction, Upsert, create_tables, current_version, read_table, upsert
from sluice.tables.lake import Lake
from sluice.transforms.gold import MINUTE_KEY, READ_COLUMNS, aggregate_minutes, complete_minutes, latest_readings
from sluice.transforms.hours import LAST_HOUR, Range, merge_hours, within
from sluice.transforms.registry import REGISTRY_DDL, Registry, registry_rows

LAYER = "gold"
_LATEST_KEY = ("device_id", "metric")


def gold_stream(spark: SparkSession, settings: Settings) -> Stream:
    """The stream from silver/readings into the tables of gold.

    Raises:
        LakeMissing: silver/readings does not exist yet.
        CheckpointLost: gold holds rows and its checkpoint is gone.
    """
    lake = Lake(settings.lake.path)
    registry = load_rulebook(settings).registry
    if not lake.has_table(SILVER_READINGS):
        raise LakeMissing(
            f"{lake.path} has no silver.readings yet", "run the silver job first: sluice run --layers silver"
        )
    create_tables(spark, lake, LAYER)
    checkpoint = lake.checkpoint_path(LAYER)
    has_history = current_version(spark, lake, OPS_GOLD_PROMOTIONS) > 0
    generation = generation_of(checkpoint, has_history=has_history, layer=LAYER)
    job = GoldJob(lake, registry, generation)
    limit = f"{settings.gold.max_megabytes_per_batch}m"
    reader = spark.readStream.format("delta").option("maxBytesPerTrigger", limit)
    readings = reader.load(lake.table_path(SILVER_READINGS))
    return Stream(LAYER, readings, job.aggregate, checkpoint, settings.gold.trigger_seconds)


@dataclass(frozen=True)
class GoldJob:
    """Aggregates micro-batches of silver/readings."""

    lake: Lake
    registry: Registry
    generation: str

    def aggregate(self, batch: DataFrame, batch_id: int) -> BatchReport:
        """Carries out one micro-batch, or what is left of it after a crash."""
        began, decided_at = time.monotonic(), datetime.now(timezone.utc)
        spark = batch.sparkSession
        transaction = Transaction(f"{LAYER}:{self.generation}", batch_id)
        registry = spark.createDataFrame(registry_rows(self.registry), REGISTRY_DDL)
        minutes = self._update_minutes(spark, batch, registry, decided_at, transaction)
        self._update_latest(spark, batch, registry, transaction)
        self._record(spark, minutes, decided_at, began, transaction)
        return BatchReport(batch.count(), f"{minutes:,} minutes upserted")

    def _update_minutes(
        self, spark: SparkSession, batch: DataFrame, registry: DataFrame, decided_at: datetime, transaction: Transaction
    ) -> int:
        partial = aggregate_minutes(batch.select(*READ_COLUMNS)).persist()
        counted = partial.groupBy(_hour("bucket")).agg(F.count("*").alias("minutes")).collect()
        ranges = merge_hours(_from_unix(row["hour"]) for row in counted)
        gold = read_table(spark, self.lake, GOLD_READINGS_1MIN).where(within(ranges, "bucket", "bucket_date"))
        known = gold.select(*MINUTE_KEY).join(partial, on=list(MINUTE_KEY), how="left_semi").persist()
        try:
            whole = self._whole_minutes(spark, partial, known)
            minutes = complete_minutes(whole, registry, self.registry.units)
            dated = minutes.withColumn("updated_at", F.lit(decided_at)).select(*GOLD_READINGS_1MIN.column_names)
            upsert(dated, self.lake, GOLD_READINGS_1MIN, Upsert(MINUTE_KEY, _bound(ranges)), transaction)
        finally:
            known.unpersist()
            partial.unpersist()
        return sum(row["minutes"] for row in counted)

    def _whole_minutes(self, spark: SparkSession, partial: DataFrame, known: DataFrame) -> DataFrame:
        """The touched minutes, those that gold knows computed anew from all of their readings."""
        hours = [row["hour"] for row in known.select(_hour("bucket")).distinct().collect()]
        if not hours:
            return partial
        ranges = merge_hours(map(_from_unix, hours))
        silver = read_table(spark, self.lake, SILVER_READINGS).where(within(ranges, "event_time", "event_date"))
        devices = known.select("bucket", "device_id").distinct()
        bucket = F.date_trunc("minute", "event_time").alias("bucket")
        readings = silver.select(*READ_COLUMNS, bucket).join(devices, on=["bucket", "device_id"], how="left_semi")
        whole = aggregate_minutes(readings).join(known, on=list(MINUTE_KEY), how="left_semi")
        fresh = partial.join(known, on=list(MINUTE_KEY), how="left_anti")
        return fresh.unionByName(whole)

    def _update_latest(
        self, spark: SparkSession, batch: DataFrame, registry: DataFrame, transaction: Transaction
    ) -> None:
        latest = latest_readings(batch, registry).persist()
        try:
            rows = self._settle_ties(spark, latest, registry)
            how = Upsert(_LATEST_KEY, update_when="source.event_time >= target.event_time")
            upsert(rows, self.lake, GOLD_LATEST_READINGS, how, transaction)
        finally:
            latest.unpersist()

    def _settle_ties(self, spark: SparkSession, latest: DataFrame, registry: DataFrame) -> DataFrame:
        """The latest readings, those as late as the one gold knows taken from silver, which has coordinates."""
        at = [*_LATEST_KEY, "event_time"]
        known = read_table(spark, self.lake, GOLD_LATEST_READINGS).select(*at)
        tied = latest.select(*at).join(known, on=at, how="left_semi")
        hours = [row["hour"] for row in tied.select(_hour("event_time")).distinct().collect()]
        if not hours:
            return latest
        ranges = merge_hours(map(_from_unix, hours))
        silver = read_table(spark, self.lake, SILVER_READINGS).where(within(ranges, "event_time", "event_date"))
        moments = tied.select("device_id", "event_time").distinct()
        candidates = silver.join(moments, on=["device_id", "event_time"], how="left_semi")
        settled = latest_readings(candidates, registry).join(tied, on=at, how="left_semi")
        return latest.join(tied, on=list(_LATEST_KEY), how="left_anti").unionByName(settled)

    def _record(
        self, spark: SparkSession, minutes: int, decided_at: datetime, began: float, transaction: Transaction
    ) -> None:
        from_version, to_version = read_versions(self.lake.checkpoint_path(LAYER), transaction.version)
        promotion = {
            "promotion_id": f"{LAYER}-{self.generation}-{transaction.version}",
            "layer": LAYER,
            "kind": "batch",
            "batch_id": transaction.version,
            "from_version": from_version,
            "to_version": to_version,
            "rows_in": minutes,
            "rows_promoted": minutes,
            "rows_quarantined": 0,
            "rows_duplicate": 0,
            "rows_held": 0,
            "verdict": schemas.PROMOTE if minutes else schemas.EMPTY,
            "total_seconds": time.monotonic() - began,
            "decided_at": decided_at,
        }
        record_promotion(spark, self.lake, OPS_GOLD_PROMOTIONS, promotion, transaction)


def _hour(column: str) -> Column:
    seconds = F.unix_seconds(F.date_trunc("hour", column))
    return F.least(seconds, F.lit(int(LAST_HOUR.timestamp()))).alias("hour")


def _from_unix(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


def _bound(ranges: list[Range]) -> str:
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

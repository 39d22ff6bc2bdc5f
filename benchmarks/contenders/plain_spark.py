"""The job that the guides of Spark and Delta lead to: three streams, no gate, duplicates by watermark.

Raw records into Delta; from_json, `dropDuplicatesWithinWatermark` and an append into Delta; 1-minute aggregates of each
micro-batch, merged in `foreachBatch`. What from_json cannot read is left out. Minutes that two micro-batches touch end
with the later one's share alone, as with such a job.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.contenders import Task
from sluice.settings import load_settings

NAME = "plain PySpark job"
_SCHEMA = (
    "schema_version int, device_id string, id string, event_id string, timestamp timestamp, dt timestamp,"
    " temperature double, humidity double, pressure double, battery_level double, value double, status string,"
    " firmware string, location struct<latitude: double, longitude: double>"
)
_ROCKSDB = "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"
_METRICS = ("temperature", "humidity", "pressure", "battery_level", "value")
_KEY = ("bucket", "device_id", "metric")


@contextmanager
def open_contender(task: Task) -> Iterator[Callable[[str, Path], dict[str, float]]]:
    """Drains one stream after the other with `availableNow`, a million records a micro-batch."""
    settings = load_settings(environment={})
    jars = ",".join(map(str, sorted((settings.spark.jars_path / "spark").glob("*.jar"))))
    spark = (
        SparkSession.builder.appName("plain")
        .master("local[*]")
        .config("spark.jars", jars)
        .config("spark.driver.memory", f"{settings.spark.driver_memory_megabytes}m")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", str(os.cpu_count()))
        .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
        .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
        .config("spark.sql.streaming.stateStore.providerClass", _ROCKSDB)
        .getOrCreate()
    )

    def run(frame: DataFrame, folder: Path, name: str) -> float:
        began = time.monotonic()
        writer = frame.writeStream.option("checkpointLocation", str(folder / "_checkpoints" / name))
        if name == "gold":
            writer = writer.foreachBatch(_merge(folder / name))
        else:
            writer = writer.format("delta").option("path", str(folder / name))
        writer.trigger(availableNow=True).start().awaitTermination()
        return time.monotonic() - began

    def drain(topic: str, folder: Path) -> dict[str, float]:
        kafka = spark.readStream.format("kafka").option("kafka.bootstrap.servers", task.bootstrap_servers)
        kafka = kafka.option("subscribe", topic).option("startingOffsets", "earliest")
        raw = kafka.option("maxOffsetsPerTrigger", "1000000").load()
        parts = {"bronze": run(raw, folder, "bronze")}
        events = _parsed(spark.readStream.format("delta").load(str(folder / "bronze")))
        unique = events.withWatermark("event_time", "10 minutes").dropDuplicatesWithinWatermark(
            ["device_id", "event_time", "event_id"]
        )
        parts["silver"] = run(unique, folder, "silver")
        parts["gold"] = run(spark.readStream.format("delta").load(str(folder / "silver")), folder, "gold")
        return parts

    try:
        yield drain
    finally:
        spark.stop()


def _parsed(raw: DataFrame) -> DataFrame:
    event = F.from_json(F.col("value").cast("string"), _SCHEMA)
    read = raw.select(event.alias("e"), "partition", "offset", F.col("timestamp").alias("kafka_timestamp"))
    known = read.where("e is not null and coalesce(e.device_id, e.id) is not null")
    return known.select(
        F.coalesce("e.device_id", "e.id").alias("device_id"),
        F.coalesce("e.timestamp", "e.dt").alias("event_time"),
        F.coalesce("e.event_id", F.lit("")).alias("event_id"),
        *[f"e.{name}" for name in (*_METRICS, "status", "firmware", "location")],
        "partition",
        "offset",
        "kafka_timestamp",
    ).where("event_time is not null")


def _merge(target: Path) -> Callable[[DataFrame, int], None]:
    def merge(batch: DataFrame, _: int) -> None:
        values = ", ".join(f"'{name}', {name}" for name in _METRICS)
        entry = f"stack({len(_METRICS)}, {values}) AS (metric, v)"
        long = batch.selectExpr("date_trunc('MINUTE', event_time) AS bucket", "device_id", entry).where("v is not null")
        minutes = long.groupBy(*_KEY).agg(
            F.count("v").alias("n"), F.avg("v").alias("mean"), F.min("v").alias("low"), F.max("v").alias("high")
        )
        if not DeltaTable.isDeltaTable(batch.sparkSession, str(target)):
            minutes.write.format("delta").save(str(target))
            return
        table = DeltaTable.forPath(batch.sparkSession, str(target)).alias("t")
        on = " AND ".join(f"t.{name} = s.{name}" for name in _KEY)
        table.merge(minutes.alias("s"), on).whenMatchedUpdateAll().whenNotMatchedInsertAll().execute()

    return merge

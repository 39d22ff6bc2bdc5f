"""The script that one writes by hand: confluent-kafka, Polars and delta-rs in one loop.

Parses a batch of 100,000 messages, drops what is twice in it, appends it, and merges its 1-minute aggregates. No raw
layer, no gate; what is not JSON is left out; copies in other batches stay; a crash between append and commit repeats.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
from confluent_kafka import Consumer
from deltalake import DeltaTable, write_deltalake
from polars.datatypes import DataTypeClass

from benchmarks.contenders import Task

NAME = "hand-made script"
_BATCH = 100_000
_SCHEMA: dict[str, DataTypeClass | pl.DataType] = {
    "device_id": pl.String,
    "id": pl.String,
    "event_id": pl.String,
    "timestamp": pl.String,
    "dt": pl.String,
    "temperature": pl.String,
    "humidity": pl.String,
    "pressure": pl.String,
    "battery_level": pl.String,
    "value": pl.String,
    "status": pl.String,
    "firmware": pl.String,
    "location": pl.Struct({"latitude": pl.Float64, "longitude": pl.Float64}),
}
_METRICS = ["temperature", "humidity", "pressure", "battery_level", "value"]
_KEY = ["bucket", "device_id", "metric"]


@contextmanager
def open_contender(task: Task) -> Iterator[Callable[[str, Path], dict[str, float]]]:
    """Drains in one loop."""

    def drain(topic: str, folder: Path) -> dict[str, float]:
        began = time.monotonic()
        consumer = Consumer(
            {
                "bootstrap.servers": task.bootstrap_servers,
                "group.id": f"hand-made-{uuid.uuid4()}",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "enable.partition.eof": False,
                "queued.min.messages": 200_000,
                "fetch.message.max.bytes": 8 * 2**20,
            }
        )
        consumer.subscribe([topic])
        idle = 0
        # A topic that is not drained has more within this time.
        while idle < 3:
            messages = consumer.consume(_BATCH, timeout=1.0)
            read = (message.value() for message in messages if not message.error())
            values = [value for value in read if value is not None]
            if not values:
                idle += 1
                continue
            idle = 0
            _promote(values, folder)
            consumer.commit(asynchronous=False)
        consumer.close()
        return {"all": time.monotonic() - began - idle}

    yield drain


def _promote(values: list[bytes], folder: Path) -> None:
    # Polars stops at the first message that is no JSON, and at bytes that are no UTF-8.
    lines = pl.DataFrame({"line": [value.decode("utf-8", "replace") for value in values]})
    valid = lines.filter(pl.col("line").str.json_path_match("$").is_not_null() & pl.col("line").str.starts_with("{"))
    # … and at a text where a number should be.
    read = valid.select(pl.col("line").str.json_decode(pl.Struct(_SCHEMA)).alias("event")).unnest("event")
    read = read.with_columns(pl.col(_METRICS).cast(pl.Float64, strict=False))
    events = (
        read.select(
            pl.coalesce("device_id", "id").alias("device_id"),
            pl.coalesce("timestamp", "dt").str.to_datetime(time_zone="UTC", strict=False).alias("event_time"),
            pl.col("event_id").fill_null(""),
            *_METRICS,
            "status",
            "firmware",
            "location",
        )
        .drop_nulls(["device_id", "event_time"])
        .unique(["device_id", "event_time", "event_id"], keep="first")
    )
    write_deltalake(folder / "silver", events, mode="append")
    minutes = (
        events.with_columns(pl.col("event_time").dt.truncate("1m").alias("bucket"))
        .unpivot(_METRICS, index=["bucket", "device_id"], variable_name="metric", value_name="v")
        .drop_nulls("v")
        .group_by(_KEY)
        .agg(pl.len().alias("n"), pl.mean("v").alias("mean"), pl.min("v").alias("low"), pl.max("v").alias("high"))
    )
    if not DeltaTable.is_deltatable(str(folder / "gold")):
        write_deltalake(folder / "gold", minutes)
        return
    first, last = minutes.select(pl.min("bucket").alias("first"), pl.max("bucket").alias("last")).row(0)
    on = " AND ".join(f"t.{name} = s.{name}" for name in _KEY)
    bound = f"t.bucket >= '{first:%Y-%m-%dT%H:%M:%SZ}' AND t.bucket <= '{last:%Y-%m-%dT%H:%M:%SZ}'"
    (
        DeltaTable(folder / "gold")
        .merge(minutes, f"{bound} AND {on}", source_alias="s", target_alias="t")
        .when_matched_update_all()
        .when_not_matched_insert_all()
        .execute()
    )

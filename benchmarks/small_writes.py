"""Where writing without Spark pays: the same rows appended to silver/readings and upserted into gold/readings_1min.

The rows lie in Spark's memory already, as a micro-batch's do when it writes. Both ways take turns in one session; each
writes tables of its own, of which the upserts meet half of their rows. `--events` is the largest of three sizes.
"""

from __future__ import annotations

import time
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.measure import Series, print_table
from sluice.schemas import GOLD_READINGS_1MIN, SILVER_READINGS, Table
from sluice.session import open_session
from sluice.settings import load_settings
from sluice.tables.delta import Transaction, Upsert
from sluice.tables.frames import append, upsert
from sluice.tables.lake import Lake
from sluice.tables.rows import create_table
from sluice.transforms.gold import MINUTE_KEY

ABOUT = "few rows appended and upserted, by Spark and by deltalake"
EVENTS = 50_000
_SMALLER = (500, 10)
_DEVICES = 500
_DAY = "TIMESTAMP'2026-03-01 00:00:00'"


def run(folder: Path, events: int, runs: int) -> list[Series]:
    """Measures both ways at three sizes; the first turn of each size warms up and is not counted."""
    settings = load_settings(options={"lake.path": str(folder / "lake")}, environment={})
    spark = open_session(settings, "benchmarks")
    found = []
    try:
        for rows in (max(1, events // _SMALLER[0]), max(1, events // _SMALLER[1]), events):
            for what, table in (("appended", SILVER_READINGS), ("upserted", GOLD_READINGS_1MIN)):
                series = [Series(f"{rows:,} {what}, {way}") for way in ("Spark", "deltalake")]
                lakes = [_create(folder / f"{rows}-{each}", table) for each in ("spark", "deltalake")]
                for turn in range(runs + 1):
                    frame = _rows(spark, table, rows, turn)
                    for number in (0, 1) if turn % 2 else (1, 0):
                        seconds = _write(frame, lakes[number], table, turn, is_few=number == 1)
                        if turn:
                            series[number].add(seconds)
                print_table(series, series[0])
                found += series
    finally:
        spark.stop()
    return found


def _create(path: Path, table: Table) -> Lake:
    lake = Lake(path)
    lake.prepare()
    create_table(lake, table)
    return lake


def _rows(spark: SparkSession, table: Table, rows: int, turn: int) -> DataFrame:
    """Rows of a table; of each turn's minutes the next one meets half."""
    minute = F.expr(f"{_DAY} + make_dt_interval(0, 0, int(id div {_DEVICES}) + {turn * max(1, rows // _DEVICES // 2)})")
    device = F.format_string("sensor-%04d", F.expr(f"id % {_DEVICES}"))
    times = ("event_time", "kafka_timestamp", "ingested_at", "promoted_at", "bucket", "updated_at")
    known = {
        **dict.fromkeys(times, minute),
        **dict.fromkeys(("event_date", "bucket_date"), F.to_date(minute)),
        **{"device_id": device, "event_id": F.expr("uuid()"), "offset": F.col("id"), "value": F.rand(7)},
        **{name: F.rand(7) for name in ("temperature_celsius", "humidity_percent", "value_mean", "value_max")},
        "metric": F.lit("temperature_celsius"),
        "failed_rules": F.array().cast("array<string>"),
    }
    columns = [known.get(name, F.lit(None)).cast(kind).alias(name) for name, kind in table.columns]
    return spark.range(0, rows, numPartitions=2).select(*columns).localCheckpoint(eager=True)


def _write(frame: DataFrame, lake: Lake, table: Table, turn: int, *, is_few: bool) -> float:
    transaction = Transaction("benchmarks", turn)
    began = time.monotonic()
    if table is SILVER_READINGS:
        append(frame, lake, table, transaction, is_few=is_few)
    else:
        upsert(frame, lake, table, Upsert(MINUTE_KEY), transaction, is_few=is_few)
    return time.monotonic() - began

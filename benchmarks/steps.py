"""Where the microseconds of silver and gold go: each step by itself on the same rows, in one warm session.

Steps that read bronze hold all steps before them: what a step adds is the difference to the line above. Each is run
`--runs` times after one that warms up. Processor time counts both cores, and tells more than the clock.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.load import backlog, fill_bronze
from benchmarks.measure import Series, cpu_seconds, print_table
from sluice.pipelines.kept import kept_in_memory
from sluice.pipelines.reader import open_reader
from sluice.pipelines.repeats import find_repeats
from sluice.pipelines.rulebook import load_rulebook
from sluice.pipelines.tally import Tally, count_rows
from sluice.schemas import BRONZE_EVENTS, SILVER_READINGS
from sluice.session import open_session
from sluice.settings import Settings, load_settings
from sluice.tables.delta import Transaction, read_table
from sluice.tables.lake import Lake
from sluice.tables.many_rows import append_many
from sluice.tables.rows import create_table
from sluice.transforms.fields import JSON_OPTIONS, json_schema
from sluice.transforms.gold import READ_COLUMNS, aggregate_minutes, latest_readings
from sluice.transforms.parse import parse_events
from sluice.transforms.records import as_records
from sluice.transforms.silver import ACCEPTED, Promotion, flag_records, select_readings, without_repeats

ABOUT = "the steps of silver and gold, each by itself"
EVENTS = 1_000_000

Step = tuple[str, Callable[[], object]]


def run(folder: Path, events: int, runs: int) -> list[Series]:
    """Measures each step; figures are processor microseconds per event."""
    options = {"lake.path": str(folder / "lake"), "broker.data_path": str(folder / "broker")}
    settings = load_settings(options=options, environment={})
    spark = open_session(settings, "benchmarks")
    found = []
    try:
        fill_bronze(spark, settings, backlog(events))
        for name, work in _steps(spark, settings, folder):
            series = Series(name)
            for turn in range(runs + 1):
                used, began = cpu_seconds(spark), time.monotonic()
                work()
                seconds, used = time.monotonic() - began, cpu_seconds(spark) - used
                if turn:
                    series.add(seconds, **{"processor µs/event": used / events * 1e6})
            found.append(series)
    finally:
        spark.stop()
    print_table(found, found[0])
    return found


def _steps(spark: SparkSession, settings: Settings, folder: Path) -> Iterator[Step]:
    lake = Lake(settings.lake.path)
    _, reader = open_reader(spark, settings, load_rulebook(settings, "silver"))
    records = as_records(read_table(spark, lake, BRONZE_EVENTS))
    text = records.select(F.col("raw.value").cast("string").alias("text"))
    parsed = text.select(F.from_json("text", json_schema(reader.contract), JSON_OPTIONS))
    flagged = flag_records(records, reader)
    yield "read the messages", lambda: _nothing(text)
    yield "… and from_json", lambda: _nothing(parsed)
    yield "… and proof, version, units, id", lambda: _nothing(parse_events(records, reader.contract, reader.limits))
    yield "… and registry, rules (flag)", lambda: _nothing(flagged)
    with kept_in_memory() as keeper:
        kept = keeper.settle(flagged)
        yield "count for the books", lambda: count_rows(kept, reader, Tally())
        accepted = kept.where(F.col("state") == ACCEPTED)
        yield "find repeats", lambda: _settle(find_repeats(accepted, None))
        repeats = keeper.settle(find_repeats(accepted, None))
        promotion = Promotion("bench", datetime.now(timezone.utc))
        readings = select_readings(without_repeats(accepted, repeats), reader.rules, promotion)
        yield "readings into nothing", lambda: _nothing(readings)
        yield "readings into silver", lambda: _append(readings, folder / "silver")
        silver = read_table(spark, Lake(folder / "silver"), SILVER_READINGS)
        yield "silver to minutes", lambda: _settle(aggregate_minutes(silver.select(*READ_COLUMNS)))
        yield "silver to latest readings", lambda: _settle(latest_readings(silver, reader.registry))


def _nothing(frame: DataFrame) -> None:
    frame.write.format("noop").mode("overwrite").save()


def _settle(frame: DataFrame) -> None:
    with kept_in_memory() as keeper:
        keeper.settle(frame)


def _append(frame: DataFrame, path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    lake = Lake(path)
    lake.prepare()
    create_table(lake, SILVER_READINGS)
    append_many(frame, lake, SILVER_READINGS, Transaction("bench", 0))

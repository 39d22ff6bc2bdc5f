"""What Spark can do at most here: single steps that no job can leave out, each into nothing or from ready rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from benchmarks.contenders import Task
from sluice.pipelines.rulebook import load_rulebook
from sluice.session import open_session
from sluice.settings import load_settings
from sluice.sources.kafka import spark_options
from sluice.transforms.fields import JSON_OPTIONS, json_schema

NAME = "limits of Spark"


@contextmanager
def open_contender(task: Task) -> Iterator[Callable[[str, Path], dict[str, float]]]:
    """Runs the single steps one after the other."""
    settings = load_settings(options={"lake.path": str(Path(task.folder) / "none")}, environment={})
    spark = open_session(settings)
    contract = load_rulebook(settings, "silver").contract

    def seconds(write: Callable[[], object]) -> float:
        began = time.monotonic()
        write()
        return time.monotonic() - began

    def nothing(frame: DataFrame) -> float:
        return seconds(frame.write.format("noop").mode("overwrite").save)

    def drain(topic: str, folder: Path) -> dict[str, float]:
        options = spark_options(task.bootstrap_servers, topic, {})
        records = spark.read.format("kafka").options(**options).load()
        parts = {"kafka to nothing": nothing(records)}
        raw, ready = str(folder / "raw"), str(folder / "ready")
        records.select("partition", "offset", "timestamp", "value").write.parquet(raw)
        text = spark.read.parquet(raw).select(F.col("value").cast("string").alias("text"))
        parsed = text.select(F.from_json("text", json_schema(contract), JSON_OPTIONS).alias("e"))
        parts["from_json to nothing"] = nothing(parsed)
        parsed.select("e.*").write.parquet(ready)
        again = spark.read.parquet(ready)
        parts["ready rows to nothing"] = nothing(again)
        parts["ready rows to Parquet"] = seconds(lambda: again.write.parquet(str(folder / "again")))
        return parts

    try:
        yield drain
    finally:
        spark.stop()

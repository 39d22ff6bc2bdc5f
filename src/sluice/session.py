"""The Spark session: every setting that results depend on is pinned here, not left to the cluster."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from sluice.errors import JarsMissing, LakeMissing, SparkNotStarted
from sluice.java import find_java
from sluice.schemas import TABLES
from sluice.settings import Settings, home, load_settings
from sluice.tables.lake import Lake

# What results depend on.
PINNED = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.caseSensitive": "false",
    "spark.sql.json.enablePartialResults": "true",
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}
# What speed depends on.
TUNED = {
    # Else from_json runs once for each field taken out of its result.
    "spark.sql.optimizer.enableJsonExpressionOptimization": "false",
    # Else PySpark walks the Python stack for each of the thousands of columns that a plan is built of.
    "spark.python.sql.dataFrameDebugging.enabled": "false",
    # INT96, Spark's default, has no statistics in Parquet, and other readers only bear with it.
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.sql.sources.parallelPartitionDiscovery.threshold": "1000",
    "spark.sql.streaming.stopTimeout": "60000",
    "spark.ui.showConsoleProgress": "false",
    # Every query's plan is else written out for a page that nobody opens.
    "spark.sql.ui.explainMode": "simple",
    # One batch of silver and gold generates more classes than the 100 that Spark keeps: all would be compiled anew.
    "spark.sql.codegen.cache.maxEntries": "1000",
    # Larger methods than this, as the one that proves and reads messages, are slower compiled as one than in parts.
    "spark.sql.codegen.hugeMethodLimit": "8000",
}


def open_session(settings: Settings, app_name: str = "sluice") -> SparkSession:
    """A session for the pipelines.

    Under spark-submit it takes master, memory and jars from there; else it starts a driver on this machine, which works
    alone or, as spark.master says, with the executors of a cluster.

    Raises:
        JarsMissing: Spark is to be started here and the jars are not where `make setup` puts them.
        JavaMissing: … and no Java that it runs on is to be found.
        SparkNotStarted: … and does not start, e.g. because nobody answers at spark.master.
    """
    # Python shows collected times in the process's zone; Spark's own is pinned below.
    os.environ["TZ"] = "UTC"
    time.tzset()
    builder = SparkSession.builder.appName(app_name)
    for key, value in {**PINNED, **TUNED, "spark.sql.shuffle.partitions": _shuffle_partitions(settings)}.items():
        builder = builder.config(key, value)
    if "PYSPARK_GATEWAY_PORT" in os.environ:
        return builder.getOrCreate()
    for key, value in {**_own_options(settings), **_place_options(settings)}.items():
        builder = builder.config(key, value)
    # PySpark starts the `java` of JAVA_HOME, else the first on PATH, whatever its version.
    os.environ["JAVA_HOME"] = str(find_java().parent.parent)
    # Its workers would be the first `python3` on PATH, and refuse to work for a driver of another version.
    os.environ["PYSPARK_PYTHON"] = sys.executable
    log = settings.lake.path / "_logs" / "spark.log"
    with _errors_of_jvm_in(log):
        try:
            return builder.getOrCreate()
        except (Py4JError, PySparkException):
            raise SparkNotStarted(
                f"Spark does not start with spark.master {settings.spark.master}",
                f"is its address right, its memory enough? {log} says what went wrong",
            ) from None


@contextmanager
def _errors_of_jvm_in(path: Path) -> Iterator[None]:
    """What the JVM started in this block ever prints as errors goes to the file, not to the terminal."""
    path.parent.mkdir(parents=True, exist_ok=True)
    terminal = os.dup(2)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        sys.stderr.flush()
        os.dup2(log, 2)
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
        os.close(log)


def _shuffle_partitions(settings: Settings) -> str:
    return str(settings.spark.shuffle_partitions or os.cpu_count() or 2)


def _own_options(settings: Settings) -> dict[str, str]:
    jars = sorted((settings.spark.jars_path / "spark").glob("*.jar"))
    if not jars:
        raise JarsMissing(f"no JVM jars under {settings.spark.jars_path / 'spark'}", "make setup")
    logging = home() / "conf" / "log4j2.properties"
    return {
        "spark.master": settings.spark.master,
        "spark.driver.memory": f"{settings.spark.driver_memory_megabytes}m",
        "spark.jars": ",".join(map(str, jars)),
        "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile=file:{logging} {settings.spark.java_options}",
        "spark.ui.enabled": "false",
    }


def _place_options(settings: Settings) -> dict[str, str]:
    """What depends on where the work is done: in the driver alone, or by executors that must reach it."""
    if settings.spark.master.startswith("local"):
        return {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    return {
        "spark.executor.memory": f"{settings.spark.executor_memory_megabytes}m",
        "spark.executor.extraJavaOptions": settings.spark.java_options,
    }


def register(spark: SparkSession, lake_path: str | Path | None = None) -> list[str]:
    """Makes the lake's tables queryable by name in Spark SQL: `bronze.events`, `silver.readings` …

    They are views, so no statement on them can change the lake. Calling again follows another lake.

    Args:
        lake_path: the lake; None for lake.path of the settings.

    Returns:
        The names registered: those tables that exist.

    Raises:
        LakeMissing: there is no table at that path.
    """
    lake = Lake(Path(lake_path) if lake_path is not None else load_settings().lake.path)
    lake.check_format()
    present = [table for table in TABLES if lake.has_table(table)]
    if not present:
        raise LakeMissing(
            f"there is no lake at {lake.path}", "make demo, or sluice up and sluice run; or set lake.path"
        )
    for table in present:
        location = str(lake.path / table.layer).replace("\\", "\\\\").replace("'", "\\'")
        spark.sql(f"CREATE DATABASE IF NOT EXISTS {table.layer} LOCATION '{location}'")
        source = lake.table_path(table).replace("`", "``")
        spark.sql(f"CREATE OR REPLACE VIEW {table.full_name} AS SELECT * FROM delta.`{source}`")  # noqa: S608 (quoted)
    return [table.full_name for table in present]

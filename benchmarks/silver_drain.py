"""Silver drained from a bronze that is there: as often as wanted, each time in a lake that nobody has written to."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from pyspark.sql import SparkSession

from sluice.pipelines.driver import Driver, StopSignal
from sluice.schemas import OPS_SILVER_PROMOTIONS
from sluice.settings import Settings
from sluice.tables.lake import Lake
from sluice.tables.rows import read_rows


def in_lake(settings: Settings, path: Path) -> Settings:
    """The same settings with another lake."""
    return settings.model_copy(update={"lake": settings.lake.model_copy(update={"path": path})})


def copy_lake(source: Path, target: Path) -> None:
    """A lake as another is; what was there before goes. Files of Parquet, which nobody changes, are shared."""

    def take(name: str, place: str) -> str:
        if not name.endswith(".parquet"):
            return shutil.copy2(name, place)
        os.link(name, place)
        return place

    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, copy_function=take)


def drain_silver(spark: SparkSession, settings: Settings) -> float:
    """Seconds that draining silver takes."""
    began = time.monotonic()
    Driver(spark, settings, None, StopSignal()).drain(["silver"])
    return time.monotonic() - began


def ledger_sums(settings: Settings, *columns: str) -> dict[str, float]:
    """Sums of columns of silver's ledger."""
    rows = read_rows(Lake(settings.lake.path), OPS_SILVER_PROMOTIONS, columns)
    return {column: sum(row[column] for row in rows) for column in columns}

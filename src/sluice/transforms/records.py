"""A record on its way through silver: its coordinates and times, and its bytes apart from what is read of them."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from sluice.schemas import COORDINATES

RAW_COLUMNS = ("headers", "key", "value")
# `raw` holds RAW_COLUMNS: an event has a column `value` too.
RECORD_COLUMNS = (*COORDINATES, "kafka_timestamp", "ingested_at", "raw")


def as_records(events: DataFrame) -> DataFrame:
    """Rows of bronze/events in RECORD_COLUMNS."""
    raw = F.struct(*RAW_COLUMNS).alias("raw")
    return events.select(*[name for name in RECORD_COLUMNS if name != "raw"], raw)

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


def with_landing(quarantined: DataFrame, events: DataFrame) -> DataFrame:
    """Rows of silver/quarantine with the `ingested_at` that bronze/events has of them; null where it no longer does.

    Args:
        events: rows of bronze/events, at least all that are quarantined and still there.
    """
    landed = events.select(*COORDINATES, "ingested_at")
    return quarantined.join(landed, on=list(COORDINATES), how="left")

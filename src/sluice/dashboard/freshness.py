"""How far the data reaches and how old it is, from the logs of the tables: no row is read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sluice.schemas import BRONZE_EVENTS, GOLD_LATEST_READINGS, GOLD_READINGS_1MIN, SILVER_READINGS, Table
from sluice.serving.files import DataFile, list_files
from sluice.serving.lake import OpenLake

# Data whose newest record came in longer ago than this is called old, not live.
LIVE_SECONDS = 120.0


@dataclass(frozen=True)
class Freshness:
    """Ends of the data; None where no table tells.

    Attributes:
        first_minute: the earliest minute of gold.
        newest_event: the greatest event time of gold.
        received_at: the greatest Kafka timestamp of bronze, but never later than `ingested_at`: producers stamp it.
        ingested_at: when bronze last took something in.
        promoted_at: when silver last did.
    """

    first_minute: datetime | None = None
    newest_event: datetime | None = None
    received_at: datetime | None = None
    ingested_at: datetime | None = None
    promoted_at: datetime | None = None

    @property
    def ends_at(self) -> datetime | None:
        """Where the data ends: its newest event, but no device's clock is believed beyond the newest record."""
        if self.newest_event is None or self.received_at is None:
            return self.newest_event
        return min(self.newest_event, self.received_at)

    def lag_seconds(self, now: datetime) -> float | None:
        """Seconds since the newest record that bronze has; at least 0."""
        return None if self.received_at is None else max(0.0, (now - self.received_at).total_seconds())

    def is_live(self, now: datetime) -> bool:
        """Whether records came in lately."""
        lag = self.lag_seconds(now)
        return lag is not None and lag <= LIVE_SECONDS


def read_freshness(lake: OpenLake) -> Freshness:
    """The ends of the data as the logs of bronze, silver and gold tell them; a table that is not there tells none."""
    bronze, minutes = _files(lake, BRONZE_EVENTS), _files(lake, GOLD_READINGS_1MIN)
    received, ingested = _greatest(bronze, "kafka_timestamp"), _greatest(bronze, "ingested_at")
    if received is not None and ingested is not None:
        received = min(received, ingested)
    starts = [file.bounds["bucket"][0] for file in minutes if "bucket" in file.bounds]
    newest = _greatest(_files(lake, GOLD_LATEST_READINGS), "event_time")
    promoted = _greatest(_files(lake, SILVER_READINGS), "promoted_at")
    return Freshness(min(starts, default=None), newest, received, ingested, promoted)


def _files(lake: OpenLake, table: Table) -> list[DataFile]:
    return list(list_files(lake, table)) if table.full_name in lake.tables() else []


def _greatest(files: list[DataFile], column: str) -> datetime | None:
    ends: list[Any] = [file.bounds[column][1] for file in files if column in file.bounds]
    # The log knows times in milliseconds, rounded down, and its reader adds one to be safe.
    return max(ends) - timedelta(milliseconds=1) if ends else None

"""Kafka records as bronze events: renamed and dated, never read, never refused."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from sluice.schemas import BRONZE_EVENTS, COORDINATES

_STREAM = COORDINATES[:3]


def land_records(records: DataFrame, generation: int = 1) -> DataFrame:
    """Records of Spark's Kafka source, with headers, in the columns of bronze/events.

    `ingested_at` is the micro-batch's time, which a replay of the batch keeps.

    Args:
        generation: of the topic; 1 until a recreated topic has been accepted.
    """
    landed = records.withColumns(
        {
            "topic_generation": F.lit(generation),
            "kafka_timestamp": F.col("timestamp"),
            "ingested_at": F.current_timestamp(),
            "ingest_date": F.to_date(F.current_timestamp()),
        }
    )
    return landed.select(*[F.col(name).cast(kind).alias(name) for name, kind in BRONZE_EVENTS.columns])


def drop_decided(events: DataFrame, decided: Mapping[str, int]) -> DataFrame:
    """The rows of bronze/events that come after the last one that was decided in their partition.

    Args:
        decided: by ``topic:topic_generation:partition`` the last offset that was; a partition not named has none.
    """
    return events.where(F.col("offset") > _last_decided(decided)) if decided else events


def keep_decided(events: DataFrame, decided: Mapping[str, int]) -> DataFrame:
    """The rows of bronze/events up to the last one that was decided in their partition; see `drop_decided`."""
    return events.where(F.col("offset") <= _last_decided(decided) if decided else F.lit(False))


def _last_decided(decided: Mapping[str, int]) -> Column:
    entries = [F.lit(value) for entry in sorted(decided.items()) for value in entry]
    last = F.try_element_at(F.create_map(*entries), F.concat_ws(":", *_STREAM))
    return F.coalesce(last.cast("bigint"), F.lit(-1))

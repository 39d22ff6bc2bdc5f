"""Kafka records as bronze events: renamed and dated, never read, never refused."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from sluice.schemas import BRONZE_EVENTS


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

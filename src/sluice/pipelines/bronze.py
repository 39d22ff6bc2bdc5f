"""Bronze: Kafka records land raw in bronze/events, each exactly once."""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession

from sluice.pipelines.maintenance import answer_maintenance
from sluice.pipelines.stream import BatchReport, Stream
from sluice.pipelines.topic_watch import TopicWatch
from sluice.schemas import BRONZE_EVENTS
from sluice.settings import Settings
from sluice.sources.kafka import spark_options
from sluice.tables.checkpoints import generation_of
from sluice.tables.delta import Transaction, current_version, rows_written
from sluice.tables.frames import append
from sluice.tables.lake import Lake
from sluice.tables.requests import pending_requests
from sluice.tables.rows import create_tables
from sluice.transforms.bronze import land_records

LAYER = "bronze"


def bronze_stream(spark: SparkSession, settings: Settings, bootstrap_servers: str) -> Stream:
    """The stream from the topic, earliest record first, into bronze/events.

    Raises:
        CheckpointLost: the table holds records and the checkpoint is gone.
        CheckpointDamaged: which topic was read is noted there, and cannot be read.
    """
    lake = Lake(settings.lake.path)
    create_tables(lake, LAYER)
    checkpoint = lake.checkpoint_path(LAYER)
    has_history = current_version(lake, BRONZE_EVENTS) > 0
    generation = generation_of(checkpoint, has_history=has_history, layer=LAYER)
    options = spark_options(bootstrap_servers, settings.kafka.topic, settings.kafka.options)
    limit = str(settings.bronze.max_records_per_batch)
    records = spark.readStream.format("kafka").options(**options).option("maxOffsetsPerTrigger", limit).load()
    topic = TopicWatch(lake, settings, bootstrap_servers)

    def land(batch: DataFrame, batch_id: int) -> BatchReport:
        topic.verify()
        append(batch, lake, BRONZE_EVENTS, Transaction(f"{LAYER}:{generation}", batch_id), is_few=False)
        return BatchReport(rows_written(lake, BRONZE_EVENTS), "landed")

    landed = land_records(records, topic.generation)
    return Stream(
        LAYER,
        landed,
        land,
        checkpoint,
        settings.bronze.trigger_seconds,
        has_requests=lambda: bool(pending_requests(lake, LAYER)),
        answer=lambda: answer_maintenance(lake, LAYER),
        ready=topic.ready,
        diagnose=topic.diagnose,
        close=topic.close,
    )

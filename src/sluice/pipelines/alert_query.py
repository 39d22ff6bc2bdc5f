"""The alert query itself: how it is put together of silver's own parts, and started in either mode."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from py4j.protocol import Py4JError
from pyspark.sql import DataFrame, SparkSession

from sluice.errors import RealTimeUnavailable
from sluice.pipelines.alert_start import MICRO, NAME, USE_MICRO, starting_offsets
from sluice.pipelines.reader import open_reader
from sluice.pipelines.rulebook import Rulebook
from sluice.settings import Settings
from sluice.sources.kafka import LiveTopic, spark_options
from sluice.sources.kafka_sink import sink_options
from sluice.tables.lake import Lake
from sluice.tables.topics import recall_topic
from sluice.transforms.bronze import land_records
from sluice.transforms.reading_rules import ReadingRule
from sluice.transforms.records import as_records
from sluice.transforms.signals import Destinations, cut_large, route_records
from sluice.transforms.silver import Reader, flag_at_once

if TYPE_CHECKING:
    from pyspark.sql.streaming.query import StreamingQuery

logger = logging.getLogger("sluice")


def outgoing_rows(
    spark: SparkSession,
    settings: Settings,
    bootstrap_servers: str,
    partitions: int,
    rulebook: Rulebook,
    rules: list[ReadingRule],
) -> DataFrame:
    """The stream of what leaves, in OUTGOING_COLUMNS."""
    lake, kafka, alerts = Lake(settings.lake.path), settings.kafka, settings.alerts
    options = spark_options(bootstrap_servers, kafka.topic, kafka.options)
    offsets = starting_offsets(lake.checkpoint_path(NAME), kafka.topic, partitions)
    records = spark.readStream.format("kafka").options(**{**options, "startingOffsets": offsets}).load()
    known = recall_topic(lake)
    generation = known.generation if known and known.name == kafka.topic else 1
    reader = open_lone_reader(spark, settings, rulebook)
    landed = as_records(land_records(records, generation))
    flagged = flag_at_once(cut_large(landed, reader.limits.message_bytes, alerts.dead_letter_bytes), reader)
    destinations = Destinations(alerts.processed_topic, alerts.topic, alerts.dead_letter_topic)
    return route_records(flagged, reader.registry, reader.rules, rules, destinations)


def open_lone_reader(spark: SparkSession, settings: Settings, rulebook: Rulebook) -> Reader:
    """Silver's reader without the rules that compare rows with each other, which no row by itself can break.

    Raises:
        SuiteInvalid: Spark or Great Expectations does not take a row rule.
    """
    rules, reader = open_reader(spark, settings, rulebook)
    if rules.together:
        logger.warning("%s: not judged here, since they compare rows: %s", NAME, ", ".join(rules.together))
    alone = [rule for rule in reader.rules if rule.rule_id not in rules.together]
    return reader._replace(rules=alone, marks=(), judges_together=False)


def start_query(rows: DataFrame, settings: Settings, bootstrap_servers: str) -> StreamingQuery:
    """The one query that writes all topics.

    Raises:
        RealTimeUnavailable: this Spark has no real-time mode.
    """
    alerts = settings.alerts
    checkpoint = Lake(settings.lake.path).checkpoint_path(NAME)
    options = {**sink_options(bootstrap_servers, settings.kafka.options), "checkpointLocation": str(checkpoint)}
    writer = rows.writeStream.queryName(NAME).format("kafka").outputMode("update").options(**options)
    if alerts.mode == MICRO:
        return writer.trigger(processingTime=f"{round(alerts.micro_seconds * 1000)} milliseconds").start()
    try:
        # Not yet in PySpark's own writer.
        trigger = rows.sparkSession._jvm.org.apache.spark.sql.streaming.Trigger  # type: ignore[union-attr]
        writer._jwrite.trigger(trigger.RealTime(round(alerts.duration_seconds * 1000)))
    except (Py4JError, TypeError, AttributeError) as error:
        raise RealTimeUnavailable(f"this Spark has no real-time mode ({type(error).__name__})", USE_MICRO) from None
    return writer.start()


def require_slots(spark: SparkSession, topic: LiveTopic) -> None:
    """Raises RealTimeUnavailable if there is not one slot for each partition; the query would wait for ever."""
    slots = spark.sparkContext.defaultParallelism
    if slots < topic.partitions:
        raise RealTimeUnavailable(
            f"real-time mode needs a task slot for each of the {topic.partitions} partitions of {topic.name}, "
            f"Spark has {slots}",
            f"give it as many cores (spark.master), or: {USE_MICRO}",
        )

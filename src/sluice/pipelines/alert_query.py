"""The alert query itself: how it is put together of silver's own parts, and started in either mode."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
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
# The second query's checkpoint, in the first one's.
OVERLAP = "overlap"


class AlertQueries:
    """The alert query, and beside it one that sends signals alone.

    Between two of its real-time batches a query reads nothing for a second or two. The second query's batches end at
    other moments (alert_overlap.py); it sends the same signals under the same ids, so a reader has each as soon as the
    first of both has it. Nothing depends on the second: it remembers nothing, and always begins at the topic's end.

    Attributes:
        readers: how many of both there are slots for, once the first was started.

    Raises:
        SuiteInvalid: Spark or Great Expectations does not take a row rule.
    """

    def __init__(
        self,
        spark: SparkSession,
        settings: Settings,
        bootstrap_servers: str,
        rulebook: Rulebook,
        rules: list[ReadingRule],
    ) -> None:
        self._spark = spark
        self._settings = settings
        self._bootstrap_servers = bootstrap_servers
        self._lake = Lake(settings.lake.path)
        self._reader = open_lone_reader(spark, settings, rulebook)
        self._rules = rules
        self.readers = 1

    def start(self, topic: LiveTopic) -> StreamingQuery:
        """Starts the query itself.

        Raises:
            RealTimeUnavailable: there is no real-time mode, or not a task slot for each partition.
            CheckpointDamaged: where it began cannot be read.
        """
        alerts, checkpoint = self._settings.alerts, self._lake.checkpoint_path(NAME)
        self.readers = readers_of(self._settings)
        if alerts.mode != MICRO:
            self.readers = affordable_readers(self._spark, topic, self.readers)
        offsets = starting_offsets(checkpoint, topic.name, topic.partitions)
        return self._start(self._outgoing(offsets), checkpoint)

    def start_second(self) -> StreamingQuery:
        """Starts the one beside it, at the end of the topic."""
        checkpoint = self._lake.checkpoint_path(NAME) / OVERLAP
        shutil.rmtree(checkpoint, ignore_errors=True)
        return self._start(self._outgoing("latest", signals_only=True), checkpoint)

    def _outgoing(self, offsets: str, *, signals_only: bool = False) -> DataFrame:
        """The stream of what leaves, in OUTGOING_COLUMNS."""
        kafka, alerts = self._settings.kafka, self._settings.alerts
        options = spark_options(self._bootstrap_servers, kafka.topic, kafka.options)
        records = self._spark.readStream.format("kafka").options(**{**options, "startingOffsets": offsets}).load()
        known = recall_topic(self._lake)
        generation = known.generation if known and known.name == kafka.topic else 1
        reader = self._reader
        landed = as_records(land_records(records, generation))
        flagged = flag_at_once(cut_large(landed, reader.limits.message_bytes, alerts.dead_letter_bytes), reader)
        destinations = Destinations(alerts.processed_topic, alerts.topic, alerts.dead_letter_topic)
        registry, row_rules = reader.registry, reader.rules
        return route_records(flagged, registry, row_rules, self._rules, destinations, signals_only=signals_only)

    def _start(self, rows: DataFrame, checkpoint: Path) -> StreamingQuery:
        """Starts one query that writes to Kafka."""
        alerts = self._settings.alerts
        options = sink_options(self._bootstrap_servers, self._settings.kafka.options)
        writer = rows.writeStream.queryName(checkpoint.name).format("kafka").outputMode("update")
        writer = writer.options(**{**options, "checkpointLocation": str(checkpoint)})
        if alerts.mode == MICRO:
            return writer.trigger(processingTime=f"{round(alerts.micro_seconds * 1000)} milliseconds").start()
        try:
            # Not yet in PySpark's own writer.
            trigger = rows.sparkSession._jvm.org.apache.spark.sql.streaming.Trigger  # type: ignore[union-attr]
            writer._jwrite.trigger(trigger.RealTime(round(alerts.duration_seconds * 1000)))
        except (Py4JError, TypeError, AttributeError) as error:
            raise RealTimeUnavailable(f"this Spark has no real-time mode ({type(error).__name__})", USE_MICRO) from None
        return writer.start()


def readers_of(settings: Settings) -> int:
    """How many queries read the topic beside each other."""
    return 2 if settings.alerts.overlap and settings.alerts.mode != MICRO else 1


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


def affordable_readers(spark: SparkSession, topic: LiveTopic, wanted: int) -> int:
    """How many of the wanted queries have a task slot for each partition; one without would wait for ever.

    Raises:
        RealTimeUnavailable: not even one has.
    """
    slots = spark.sparkContext.defaultParallelism
    affordable = min(wanted, slots // topic.partitions)
    if not affordable:
        raise RealTimeUnavailable(
            f"real-time mode needs a task slot for each of the {topic.partitions} partitions of {topic.name}, "
            f"Spark has {slots}",
            f"give it as many cores (spark.master), or: {USE_MICRO}",
        )
    if affordable < wanted:
        logger.warning(
            "%s: %d task slots are not enough for a second query (alerts.overlap), which needs %d: signals wait while "
            "the first is between two batches",
            NAME,
            slots,
            wanted * topic.partitions,
        )
    return affordable

"""The alert query: Kafka to Kafka beside the lakehouse, each record by itself, in Spark's real-time mode.

Its own process with its own Spark. It owns the lock and the checkpoint `alerts` of the lake, and writes no table.
"""

from __future__ import annotations

import logging
import re
import time
from typing import TYPE_CHECKING

from sluice.alerting.configuration import load_configuration
from sluice.errors import BrokerDown, RealTimeUnavailable, RecordsLost, SluiceError, StreamFailed
from sluice.pipelines.alert_overlap import Overlap
from sluice.pipelines.alert_rules import rules_of_readings
from sluice.pipelines.alert_start import MICRO, NAME, REAL_TIME, USE_MICRO, anew, settle_start
from sluice.pipelines.driver import StopSignal, start_logging
from sluice.pipelines.patience import Patience
from sluice.pipelines.start import find_broker, job_parser, run_job
from sluice.pipelines.topic_watch import AWAY
from sluice.settings import Settings
from sluice.sources.kafka import LiveTopic, require_topic
from sluice.sources.kafka_topics import OwnTopic, make_topics
from sluice.tables.lake import Lake, own_layer

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.streaming.query import StreamingQuery

    from sluice.pipelines.rulebook import Rulebook
    from sluice.transforms.reading_rules import ReadingRule

logger = logging.getLogger("sluice")
_POLL_SECONDS = 0.2
_TELL_SECONDS = 60.0
# What Spark says of a query that it does not run in real-time mode.
_UNAVAILABLE = re.compile(r"REAL_TIME|RealTime|[Rr]eal-[Tt]ime [Mm]ode")
_LOST = re.compile(r"may have been lost|OffsetOutOfRange|DATA_LOSS|data_loss", re.IGNORECASE)


def run_alerts(settings: Settings) -> None:
    """Runs the alert query until a stop is asked for.

    Raises:
        AlertRulesInvalid, ContractInvalid, RegistryInvalid, SuiteInvalid: what it judges by is not as it must be.
        LayerLocked: another alert query works on this lake.
        BrokerDown, TopicMissing: at the start; later it waits.
        TopicReplaced, RecordsLost, CheckpointDamaged: it must not go on by itself.
        RealTimeUnavailable: Spark does not run it in real-time mode here.
        StreamFailed: it ended with another error.
    """
    from sluice.pipelines.rulebook import load_rulebook

    start_logging()
    rules, rulebook, lake = (
        load_configuration(settings).rules,
        load_rulebook(settings, "silver"),
        Lake(settings.lake.path),
    )
    bootstrap_servers = find_broker(settings)
    lake.prepare()
    stop = StopSignal()
    with own_layer(lake, NAME), stop.installed():
        topic = prepare_topics(settings, lake, bootstrap_servers)
        logger.info("%s: starting Spark for %s, which takes some seconds", NAME, topic.name)
        from sluice.pipelines.alert_query import readers_of
        from sluice.session import open_session

        spark = open_session(_with_slots(settings, topic.partitions * readers_of(settings)), "sluice alerts")
        # A new SparkContext takes SIGINT for itself.
        stop.install()
        run = AlertRun(spark, settings, bootstrap_servers, rulebook, rules_of_readings(rules))
        try:
            run.follow(stop)
        finally:
            run.close()
            spark.stop()


def job_main() -> int:
    """Entry point of the spark-submit job; gives back its exit code."""
    parser = job_parser("The alert query.")
    parser.add_argument("--mode", choices=(REAL_TIME, MICRO), help="micro: in micro-batches")
    arguments = parser.parse_args()
    return run_job(arguments, {"alerts.mode": arguments.mode}, run_alerts)


def prepare_topics(settings: Settings, lake: Lake, bootstrap_servers: str) -> LiveTopic:
    """The topic that is read, once it is settled where; those that are written are there.

    Raises:
        BrokerDown, TopicMissing, TopicReplaced, CheckpointDamaged, SettingsInvalid: as settle_start.
    """
    alerts, kafka = settings.alerts, settings.kafka
    checkpoint = lake.checkpoint_path(NAME)
    topic = settle_start(checkpoint, bootstrap_servers, kafka.topic, kafka.options, alerts.start)
    written = (alerts.processed_topic, alerts.topic, alerts.dead_letter_topic)
    topics = [OwnTopic(name, partitions=topic.partitions) for name in written]
    make_topics(bootstrap_servers, topics, kafka.options)
    return topic


def _with_slots(settings: Settings, occupied: int) -> Settings:
    """With as many slots as queries in real-time mode occupy, whatever the number of cores: most of them wait."""
    update: dict[str, object] = {"driver_memory_megabytes": settings.alerts.driver_memory_megabytes}
    if re.fullmatch(r"local\[[\w*]+\]", settings.spark.master):
        update["master"] = f"local[{occupied + 1}]"
    return settings.model_copy(update={"spark": settings.spark.model_copy(update=update)})


class AlertRun:
    """The query in one Spark session: started, waited for while the broker is away, stopped."""

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
        self._rulebook = rulebook
        self._rules = rules
        self._query: StreamingQuery | None = None
        self._overlap: Overlap | None = None
        self._patience = Patience(NAME)
        self._lake = Lake(settings.lake.path)
        self._tally = _Tally()

    def follow(self, stop: StopSignal) -> None:
        """Runs until a stop is asked for.

        Raises:
            SluiceError: as run_alerts, but for a broker that is away, which is waited for.
        """
        self.start()
        while not stop.event.wait(_POLL_SECONDS):
            if self._patience.is_waiting:
                if self._patience.is_due:
                    self.start()
            elif self._query:
                self._look(self._query)

    def start(self) -> None:
        """Starts the query, unless the broker is away.

        Raises:
            SluiceError: as run_alerts.
        """
        try:
            topic = prepare_topics(self._settings, self._lake, self._bootstrap_servers)
        except BrokerDown as error:
            self._patience.wait(error)
            return
        self._patience.end()
        from sluice.pipelines.alert_query import AlertQueries

        queries = AlertQueries(self._spark, self._settings, self._bootstrap_servers, self._rulebook, self._rules)
        self._query = queries.start(topic)
        if queries.readers > 1:
            self._overlap = Overlap(queries.start_second, self._query, self._settings.alerts.duration_seconds)
        self._tally = _Tally()
        alerts = self._settings.alerts
        if alerts.mode == REAL_TIME:
            again = ", two beside each other" if self._overlap else ""
            how = f"real-time mode, batches of {alerts.duration_seconds:g} s{again}"
        else:
            how = f"micro-batches every {alerts.micro_seconds:g} s, not in real-time mode"
        logger.info("%s: %d rules on %s, %s", NAME, len(self._rules), topic.name, how)

    def close(self) -> None:
        """Stops what runs; what the running batch has read is read again at the next start."""
        if self._overlap:
            self._overlap.stop()
        if self._query:
            self._query.stop()
        self._query, self._overlap = None, None

    def _look(self, query: StreamingQuery) -> None:
        second = self._overlap.query if self._overlap else None
        failure = query.exception() or (second.exception() if second else None)
        if failure is None:
            self._tally.tell(query)
            if self._overlap:
                self._overlap.steer()
            return
        from sluice.pipelines.running import reason_of

        self.close()
        named = self._diagnose(reason_of(failure), str(failure))
        if not isinstance(named, BrokerDown):
            raise named
        self._patience.wait(named)

    def _diagnose(self, reason: str, text: str) -> SluiceError:
        kafka, where = self._settings.kafka, self._bootstrap_servers
        try:
            require_topic(where, kafka.topic, kafka.options)
        except SluiceError as error:
            return error
        if AWAY.search(reason):
            return BrokerDown(f"the broker at {where} was away: {reason}", "see that it keeps running")
        if _LOST.search(text):
            checkpoint = self._lake.checkpoint_path(NAME)
            return RecordsLost(f"records of {kafka.topic} are gone that no alert rule has seen", anew(checkpoint))
        if self._settings.alerts.mode == REAL_TIME and _UNAVAILABLE.search(reason):
            return RealTimeUnavailable(f"Spark does not run the query in real-time mode: {reason}", USE_MICRO)
        return StreamFailed(f"{NAME} stopped: {reason}", "mend the cause and start it again; it goes on where it was")


class _Tally:
    """Tells now and then how many records a query has read."""

    def __init__(self) -> None:
        self._seen = -1
        self._records = 0
        self._told_at = time.monotonic()

    def tell(self, query: StreamingQuery) -> None:
        """To be called often; Spark remembers the last hundred batches."""
        for progress in query.recentProgress:
            if progress.batchId > self._seen:
                self._seen = progress.batchId
                self._records += progress.numInputRows
        if self._records and time.monotonic() - self._told_at >= _TELL_SECONDS:
            logger.info("%s: %s records, batch %d done", NAME, f"{self._records:,}", self._seen)
            self._records, self._told_at = 0, time.monotonic()

"""Kafka as the rest of Sluice sees it: a topic that must be there, its end, and how Spark reads it.

With its neighbours kafka_producer, kafka_records and record_batch, and embedded/, the only place that knows a Kafka
client. Creates no topic; kafka_topics does.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from sluice.errors import BrokerDown, SettingsInvalid, TopicMissing
from sluice.settings import Settings
from sluice.sources.kafka_options import CONSUMER, java_options, python_options
from sluice.sources.kafka_producer import TopicProducer
from sluice.sources.kafka_ranges import RangeReader
from sluice.sources.kafka_records import RecordSender

# How long a command waits for a first answer before it says that no broker is there.
BOOTSTRAP_TIMEOUT_MS = 4_000
# How long one question of Spark's to the broker may take; not less than Kafka's own limit for a request.
API_TIMEOUT_MS = 30_000
# The embedded broker takes messages of 32 MiB; one fetch must be able to carry the largest.
MAX_PARTITION_FETCH_BYTES = 32 * 1024 * 1024 + 1024 * 1024
MAX_FETCH_BYTES = 2 * MAX_PARTITION_FETCH_BYTES
# What brokers say that give topics no id.
_NO_ID = str(uuid.UUID(int=0))


def resolve_bootstrap(settings: Settings, embedded: str | None) -> str:
    """The broker's address: `kafka.bootstrap_servers` if set, else the embedded broker's.

    Args:
        settings: those in force.
        embedded: host:port of the embedded broker while it is up, else None.

    Raises:
        BrokerDown: neither is there.
    """
    found = settings.kafka.bootstrap_servers or embedded
    if not found:
        raise BrokerDown(
            "no Kafka broker is configured and the embedded one is not up", "sluice up, or set kafka.bootstrap_servers"
        )
    return found


@dataclass(frozen=True)
class LiveTopic:
    """A topic as the broker describes it now.

    Attributes:
        topic_id: Kafka's own id, another one for each topic ever created; None from brokers that give none.
        cluster_id: of the cluster; None likewise.
        partitions: how many.
    """

    name: str
    topic_id: str | None
    cluster_id: str | None
    partitions: int


def require_topic(bootstrap_servers: str, topic: str, options: Mapping[str, str]) -> LiveTopic:
    """The topic, which must exist.

    Args:
        bootstrap_servers: host:port,…
        topic: its name.
        options: further options of the clients, by Kafka's names.

    Raises:
        BrokerDown: nobody answers within about five seconds, or the login is refused.
        TopicMissing: the broker has no such topic.
        SettingsInvalid: an option is unknown or wrong.
    """
    with TopicObserver(bootstrap_servers, topic, options) as observer:
        return observer.look()


class TopicObserver:
    """Asks a broker again and again what a topic is, over one connection; for one thread.

    Args:
        bootstrap_servers, topic, options: as of require_topic.
    """

    def __init__(self, bootstrap_servers: str, topic: str, options: Mapping[str, str]) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._topic = topic
        self._options = options
        self._admin: Any = None

    def look(self) -> LiveTopic:
        """The topic as it is now.

        Raises:
            BrokerDown, TopicMissing, SettingsInvalid: as require_topic.
        """
        was_connected = self._admin is not None
        try:
            return self._ask()
        except BrokerDown:
            self.close()
            if not was_connected:
                raise
        # The connection may be one to a broker that has been started anew since.
        return self._ask()

    def _ask(self) -> LiveTopic:
        with reaching_broker(self._bootstrap_servers):
            found = self._connected().describe_topics([self._topic])[0]
            cluster = self._connected().describe_cluster()["cluster_id"]
        if not found["partitions"]:
            raise topic_missing(self._bootstrap_servers, self._topic)
        topic_id = str(found.get("topic_id") or _NO_ID)
        known_id = None if topic_id == _NO_ID else topic_id
        return LiveTopic(self._topic, known_id, str(cluster) if cluster else None, len(found["partitions"]))

    def close(self) -> None:
        """Ends the connection; the next look makes another."""
        if self._admin is not None:
            self._admin.close()
        self._admin = None

    def __enter__(self) -> TopicObserver:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _connected(self) -> Any:
        from kafka import KafkaAdminClient

        if self._admin is None:
            self._admin = KafkaAdminClient(
                **client_of(self._bootstrap_servers, python_options(self._options)),
                **short_timeout(self._options, BOOTSTRAP_TIMEOUT_MS),
            )
        return self._admin


def topic_missing(bootstrap_servers: str, topic: str) -> TopicMissing:
    """The error for a topic that is not there, with the command that creates it."""
    create = f"kafka-topics.sh --bootstrap-server {bootstrap_servers} --create --topic {topic} --partitions 4"
    return TopicMissing(
        f"the topic {topic} does not exist on {bootstrap_servers}",
        f"sluice up creates it on the embedded broker; elsewhere: {create}",
    )


def end_offsets(bootstrap_servers: str, topic: str, options: Mapping[str, str]) -> dict[int, int]:
    """Per partition the offset after the last record that a read-committed consumer can see.

    Raises:
        BrokerDown, TopicMissing, SettingsInvalid: as require_topic.
    """
    return {partition: end for partition, (_, end) in offset_bounds(bootstrap_servers, topic, options).items()}


def offset_bounds(bootstrap_servers: str, topic: str, options: Mapping[str, str]) -> dict[int, tuple[int, int]]:
    """Per partition the first offset that is still there, and the one after the last that can be read.

    Raises:
        BrokerDown, TopicMissing, SettingsInvalid: as require_topic.
    """
    from kafka import KafkaConsumer, TopicPartition

    with reaching_broker(bootstrap_servers):
        consumer = KafkaConsumer(
            **client_of(bootstrap_servers, python_options(options, CONSUMER)),
            isolation_level="read_committed",
            allow_auto_create_topics=False,
        )
        try:
            partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
            first = consumer.beginning_offsets(partitions) if partitions else {}
            end = consumer.end_offsets(partitions) if partitions else {}
        finally:
            consumer.close()
    if not end:
        raise topic_missing(bootstrap_servers, topic)
    return {where.partition: (int(first[where]), int(offset)) for where, offset in sorted(end.items())}


def range_reader(bootstrap_servers: str, options: Mapping[str, str], seconds: float) -> RangeReader:
    """What looks up offsets of topics as a read-committed consumer sees them; to be closed.

    Args:
        seconds: after so many nothing more is looked up.

    Raises:
        BrokerDown, SettingsInvalid: as require_topic.
    """

    def reaching() -> AbstractContextManager[None]:
        return reaching_broker(bootstrap_servers)

    with reaching():
        return RangeReader(client_of(bootstrap_servers, python_options(options, CONSUMER)), seconds, reaching)


def producer(bootstrap_servers: str, topic: str, options: Mapping[str, str]) -> TopicProducer:
    """A sink that sends to an existing topic; its partitions are chosen as Kafka's own clients choose them.

    Raises:
        BrokerDown, TopicMissing, SettingsInvalid: as require_topic.
    """
    partitions = require_topic(bootstrap_servers, topic, options).partitions
    with reaching_broker(bootstrap_servers):
        return TopicProducer(client_of(bootstrap_servers, {}), topic, partitions, options)


def record_sender(bootstrap_servers: str, topic: str, options: Mapping[str, str]) -> RecordSender:
    """What sends single records with headers to an existing topic.

    Raises:
        BrokerDown, TopicMissing, SettingsInvalid: as require_topic.
    """
    require_topic(bootstrap_servers, topic, options)
    with reaching_broker(bootstrap_servers):
        return RecordSender(client_of(bootstrap_servers, {}), topic, options)


def spark_options(bootstrap_servers: str, topic: str, options: Mapping[str, str]) -> dict[str, str]:
    """The options of Spark's Kafka source: everything from the earliest record on, committed records only.

    A loss of records (retention, a recreated topic) stops the query. The caller adds its limit per batch.

    Raises:
        SettingsInvalid: an option is unknown or wrong.
    """
    given = java_options(options)
    return {
        "kafka.bootstrap.servers": bootstrap_servers,
        "subscribe": topic,
        "startingOffsets": "earliest",
        "failOnDataLoss": "true",
        "includeHeaders": "true",
        "kafka.max.partition.fetch.bytes": str(MAX_PARTITION_FETCH_BYTES),
        "kafka.fetch.max.bytes": str(MAX_FETCH_BYTES),
        # Spark asks three times and waits a minute each; the layer itself waits for a broker that is away.
        "fetchOffset.numRetries": "1",
        "kafka.default.api.timeout.ms": str(max(API_TIMEOUT_MS, int(given.get("kafka.request.timeout.ms", 0)))),
        **given,
        "kafka.isolation.level": "read_committed",
    }


def client_of(bootstrap_servers: str, options: Mapping[str, object]) -> dict[str, Any]:
    """What every client of kafka-python is given."""
    return {
        **options,
        "bootstrap_servers": bootstrap_servers.split(","),
        "bootstrap_timeout_ms": BOOTSTRAP_TIMEOUT_MS,
    }


def short_timeout(options: Mapping[str, str], milliseconds: int) -> dict[str, int]:
    """A request's time, unless `kafka.options` say it."""
    return {} if "request.timeout.ms" in options else {"request_timeout_ms": milliseconds}


@contextmanager
def reaching_broker(bootstrap_servers: str) -> Iterator[None]:
    """Turns a client's failure into BrokerDown, and keeps the client's own log off standard error."""
    from kafka.errors import KafkaConfigurationError, KafkaError

    logging.getLogger("kafka").propagate = False
    try:
        yield
    except (KafkaConfigurationError, ValueError, AssertionError) as error:
        raise SettingsInvalid(
            f"the settings of Kafka cannot be used: {error}", "see kafka.bootstrap_servers (host:port,…), kafka.options"
        ) from None
    except (KafkaError, OSError) as error:
        reason = "" if "bootstrap" in str(error) else f" ({error})"
        raise BrokerDown(
            f"no Kafka broker answers at {bootstrap_servers}{reason}", "sluice up, or set kafka.bootstrap_servers"
        ) from None


__all__ = [
    "LiveTopic",
    "TopicObserver",
    "TopicProducer",
    "end_offsets",
    "offset_bounds",
    "producer",
    "range_reader",
    "record_sender",
    "require_topic",
    "resolve_bootstrap",
    "spark_options",
    "topic_missing",
]

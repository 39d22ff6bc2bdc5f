"""Topics that Sluice writes: created where they are absent, and how Spark sends to them."""

from __future__ import annotations

from collections.abc import Mapping

from sluice.errors import BrokerDown, DependencyError
from sluice.sources.kafka import BOOTSTRAP_TIMEOUT_MS, client_of, reaching_broker, short_timeout
from sluice.sources.kafka_options import PRODUCER, java_options, python_options

COMPACTED = {"cleanup.policy": "compact"}
# One request carries the largest record; the client holds a few of them.
MAX_REQUEST_BYTES = 34 * 1024 * 1024
BUFFER_BYTES = 2 * MAX_REQUEST_BYTES


def ensure_topics(
    bootstrap_servers: str, wanted: Mapping[str, Mapping[str, str]], partitions: int, options: Mapping[str, str]
) -> list[str]:
    """Creates the topics that are not there, whatever the others are like; which it created.

    Args:
        wanted: by name the configuration of a new topic, by Kafka's names.
        partitions: of a new topic; replicas are the broker's default.

    Raises:
        BrokerDown, SettingsInvalid: as require_topic.
        DependencyError: the broker refuses to create one.
    """
    from kafka import KafkaAdminClient
    from kafka.errors import BrokerResponseError, TopicAlreadyExistsError

    with reaching_broker(bootstrap_servers):
        admin = KafkaAdminClient(
            **client_of(bootstrap_servers, python_options(options)), **short_timeout(options, BOOTSTRAP_TIMEOUT_MS)
        )
        try:
            there = set(admin.list_topics())
            absent = [name for name in wanted if name not in there]
            for name in absent:
                topic = {"num_partitions": partitions, "configs": dict(wanted[name])}
                try:
                    admin.create_topics({name: topic}, wait_for_metadata=True)
                except TopicAlreadyExistsError:
                    continue
                except BrokerResponseError as error:
                    raise _not_created(name, bootstrap_servers, error) from None
        finally:
            admin.close()
    return absent


def _not_created(topic: str, bootstrap_servers: str, error: Exception) -> DependencyError:
    if getattr(error, "retriable", False):
        return BrokerDown(f"the broker at {bootstrap_servers} did not create {topic} in time", "try again")
    reason = type(error).__name__
    return DependencyError(
        f"the broker at {bootstrap_servers} does not create the topic {topic} ({reason})",
        "create it there by hand, or give this user the right to",
    )


def sink_options(bootstrap_servers: str, options: Mapping[str, str]) -> dict[str, str]:
    """The options of Spark's Kafka sink: each record leaves at once, and is there when all replicas have it.

    Raises:
        SettingsInvalid: an option is unknown or wrong.
    """
    return {
        "kafka.bootstrap.servers": bootstrap_servers,
        # Kafka's own default waits five milliseconds for company.
        "kafka.linger.ms": "0",
        "kafka.acks": "all",
        "kafka.compression.type": "none",
        "kafka.max.request.size": str(MAX_REQUEST_BYTES),
        "kafka.buffer.memory": str(BUFFER_BYTES),
        **java_options(options, PRODUCER),
    }

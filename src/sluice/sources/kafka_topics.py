"""Topics that a service of Sluice's needs for itself: made where they are missing, refused where they are unsuited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sluice.errors import TopicUnsuited
from sluice.sources.kafka_clients import API_TIMEOUT_MS, client, reaching_broker, short_timeout
from sluice.sources.kafka_options import python_options

COMPACT, DELETE = "compact", "delete"


@dataclass(frozen=True)
class OwnTopic:
    """A topic as it must be.

    Attributes:
        cleanup: compact keeps the last record of each key, delete what retention lets be.
    """

    name: str
    cleanup: str = DELETE
    partitions: int = 1


def make_topics(bootstrap_servers: str, topics: Sequence[OwnTopic], options: Mapping[str, str]) -> list[str]:
    """Creates those that are missing, with the broker's own replication; the names of those created.

    Raises:
        TopicUnsuited: one is there and keeps its records otherwise than it must.
        BrokerDown: nobody answers, or the broker refuses.
        SettingsInvalid: an option is unknown or wrong.
    """
    connection = {**client(bootstrap_servers, python_options(options)), **short_timeout(options, API_TIMEOUT_MS)}
    with reaching_broker(bootstrap_servers):
        return _make(connection, topics)


def _make(connection: Mapping[str, Any], topics: Sequence[OwnTopic]) -> list[str]:
    from kafka import KafkaAdminClient
    from kafka.admin import ConfigResource
    from kafka.errors import TopicAlreadyExistsError

    admin = KafkaAdminClient(**connection)
    try:
        known = set(admin.list_topics())
        missing = [topic for topic in topics if topic.name not in known]
        for topic in missing:
            wanted = {"num_partitions": topic.partitions, "replication_factor": -1}
            configs = {"configs": {"cleanup.policy": topic.cleanup}} if topic.cleanup == COMPACT else {}
            with suppress(TopicAlreadyExistsError):
                admin.create_topics({topic.name: {**wanted, **configs}}, wait_for_metadata=True)
        resources = [ConfigResource("topic", topic.name) for topic in topics]
        found = admin.describe_configs(resources, config_filter="all")["topic"]
        for topic in topics:
            _require_cleanup(topic, str(found[topic.name]["cleanup.policy"]["value"]))
    finally:
        admin.close()
    return [topic.name for topic in missing]


def _require_cleanup(topic: OwnTopic, policy: str) -> None:
    if set(policy.split(",")) != {topic.cleanup}:
        raise TopicUnsuited(
            f"the topic {topic.name} has cleanup.policy={policy}, and needs {topic.cleanup}",
            f"kafka-configs.sh --alter --entity-type topics --entity-name {topic.name}"
            f" --add-config cleanup.policy={topic.cleanup}",
        )

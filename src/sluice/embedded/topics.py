"""Asks the embedded broker whether it is ready, and creates its topic.

Beside sources/ the only place that knows a Kafka client: Kafka's own Java tool would cost a JVM start.
"""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_ANSWER_SECONDS = 5.0


def answers_as(bootstrap_servers: str, cluster_id: str) -> bool:
    """Whether a broker at this address takes requests and is of this cluster; does not raise."""
    host, _, port = bootstrap_servers.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWER_SECONDS).close()
    except OSError:
        return False
    from kafka.errors import KafkaError

    try:
        with _admin(bootstrap_servers) as admin:
            cluster = admin.describe_cluster()
    except (KafkaError, OSError):
        return False
    return bool(cluster["brokers"]) and cluster["cluster_id"] == cluster_id


def create_topic(bootstrap_servers: str, topic: str, partitions: int) -> bool:
    """Creates the topic unless it is there, whatever its partitions; whether it was created.

    Returns once every partition has a leader.

    Raises:
        KafkaError: the broker refuses, e.g. the name, or does not answer.
    """
    from kafka.errors import TopicAlreadyExistsError

    options = {topic: {"num_partitions": partitions, "replication_factor": 1}}
    with _admin(bootstrap_servers) as admin:
        if topic in admin.list_topics():
            return False
        try:
            admin.create_topics(options, wait_for_metadata=True)
        except TopicAlreadyExistsError:
            return False
    return True


def refusal(error: Exception) -> str:
    """What the broker itself said in a KafkaError, without the request around it."""
    said = re.search(r'error_message="((?:[^"\\]|\\.)+)"', str(error))
    return said.group(1) if said else f"{type(error).__name__} {error}".strip()


@contextmanager
def _admin(bootstrap_servers: str) -> Iterator[Any]:
    from kafka.admin import KafkaAdminClient

    log = logging.getLogger("kafka")
    before = log.level
    # What goes wrong is told by the error; the client's own lines would stand in the middle of a command's output.
    log.setLevel(logging.CRITICAL)
    try:
        admin = KafkaAdminClient(
            bootstrap_servers=[bootstrap_servers],
            request_timeout_ms=int(_ANSWER_SECONDS * 1000),
            bootstrap_timeout_ms=int(_ANSWER_SECONDS * 1000),
        )
        try:
            yield admin
        finally:
            admin.close()
    finally:
        log.setLevel(before)

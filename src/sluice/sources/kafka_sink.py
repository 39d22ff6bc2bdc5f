"""How Spark sends to Kafka."""

from __future__ import annotations

from collections.abc import Mapping

from sluice.sources.kafka_options import PRODUCER, java_options

# One request carries the largest record; the client holds a few of them.
MAX_REQUEST_BYTES = 34 * 1024 * 1024
BUFFER_BYTES = 2 * MAX_REQUEST_BYTES


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

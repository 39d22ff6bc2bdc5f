"""Sends single records with their headers to one topic, and says which the broker has taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from sluice.errors import BrokerDown
from sluice.sources.kafka_options import PRODUCER, python_options

# A record that is not acknowledged by then is sent again later; whoever waits for it waits no longer.
DELIVERY_TIMEOUT_MS = 10_000
REQUEST_TIMEOUT_MS = 5_000
MAX_REQUEST_BYTES = 34 * 1024 * 1024


class OutgoingRecord(NamedTuple):
    """A record to be sent; null key and value stay null."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class RecordSender:
    """Sends records in order and waits for the broker's acknowledgement. Not for several threads.

    Args:
        client: where the broker is, in kafka-python's names.
        options: `kafka.options`; those of a producer win over the defaults here.
    """

    def __init__(self, client: Mapping[str, Any], topic: str, options: Mapping[str, str]) -> None:
        from kafka import KafkaProducer

        tuned: dict[str, Any] = {
            "compression_type": "gzip",
            "acks": "all",
            # Once the broker has refused a batch, sequence numbers make it drop later records as repeated ones.
            "enable_idempotence": False,
            "linger_ms": 20,
            "delivery_timeout_ms": DELIVERY_TIMEOUT_MS,
            "request_timeout_ms": REQUEST_TIMEOUT_MS,
            "max_block_ms": REQUEST_TIMEOUT_MS,
            "max_request_size": MAX_REQUEST_BYTES,
            **python_options(options, PRODUCER),
            **client,
        }
        if tuned["compression_type"] == "none":
            tuned["compression_type"] = None
        self._address = ",".join(client["bootstrap_servers"])
        self._topic = topic
        self._wait_seconds = tuned["delivery_timeout_ms"] / 1000 + 5
        self._producer = KafkaProducer(
            metrics_enabled=False, allow_auto_create_topics=False, value_serializer=_null_serializer(), **tuned
        )

    def send(self, records: Sequence[OutgoingRecord]) -> list[int]:
        """Sends records and waits until each is acknowledged or refused.

        Returns:
            Places in `records` of those that are too large for the client, the broker or the topic.

        Raises:
            BrokerDown: at least one was not acknowledged; any of them may have arrived.
        """
        from kafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

        too_large = (MessageSizeTooLargeError, RecordListTooLargeError)
        sent: list[tuple[int, Any]] = []
        refused: list[int] = []
        try:
            for place, record in enumerate(records):
                try:
                    sent.append((place, self._send(record)))
                except too_large:
                    refused.append(place)
            self._producer.flush(timeout=self._wait_seconds)
            for place, future in sent:
                try:
                    future.get(timeout=self._wait_seconds)
                except too_large:
                    refused.append(place)
        except (KafkaError, OSError) as error:
            reason = type(error).__name__
            raise BrokerDown(
                f"sending to {self._topic} on {self._address} failed ({reason})", "sluice status shows the broker"
            ) from None
        return sorted(refused)

    def _send(self, record: OutgoingRecord) -> Any:
        value = _NULL if record.value is None else record.value
        return self._producer.send(self._topic, value, key=record.key, headers=list(record.headers))

    def close(self) -> None:
        """Disconnects at once; what was not acknowledged may or may not arrive."""
        from kafka.errors import KafkaError

        self._producer._sender.force_close()
        with suppress(KafkaError):
            self._producer.close(timeout=2)


# The client refuses a record without key and value, though Kafka takes it.
_NULL = object()


def _null_serializer() -> Any:
    from kafka.serializer import Serializer

    class NullSerializer(Serializer):  # type: ignore[misc]
        """Hands bytes on as they are, and _NULL as null."""

        def serialize(self, topic: str, headers: Sequence[tuple[str, bytes]], data: Any) -> bytes | None:  # noqa: ARG002
            return None if data is _NULL else data

    return NullSerializer()

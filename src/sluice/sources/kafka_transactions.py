"""Sends records and commits the offsets they came from together: all of it, or nothing.

Needs a broker that knows transactions (Kafka 2.5 and later). Whoever opens a sender under the same name later shuts out
the earlier one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from sluice.errors import BrokerDown, DispatcherReplaced
from sluice.sources.kafka_clients import client, reaching_broker
from sluice.sources.kafka_consumer import GroupReader, Place
from sluice.sources.kafka_options import PRODUCER, python_options
from sluice.sources.kafka_records import OutgoingRecord

# Of a sender that was killed, what it had begun is given up by the broker after so long, or by its successor at once.
TRANSACTION_TIMEOUT_MS = 60_000
REQUEST_TIMEOUT_MS = 10_000
# While the broker closes one transaction the next is refused for some milliseconds.
RETRY_BACKOFF_MS = 5


class TransactionalSender:
    """Sends in transactions. Not for several threads; after an error it must be closed.

    Args:
        connection: where the broker is, in kafka-python's names.
        name: of the transactions; one sender at a time has it.
        options: `kafka.options`; those of a producer win over the defaults here.

    Raises:
        KafkaError, OSError: the broker does not answer or knows no transactions.
    """

    def __init__(self, connection: Mapping[str, Any], name: str, options: Mapping[str, str]) -> None:
        from kafka import KafkaProducer

        tuned: dict[str, Any] = {
            "retry_backoff_ms": RETRY_BACKOFF_MS,
            "request_timeout_ms": REQUEST_TIMEOUT_MS,
            "delivery_timeout_ms": 2 * REQUEST_TIMEOUT_MS,
            "max_block_ms": 2 * REQUEST_TIMEOUT_MS,
            "linger_ms": 0,
            **python_options(options, PRODUCER),
            **connection,
            "acks": "all",
            "enable_idempotence": True,
            "transactional_id": name,
            "transaction_timeout_ms": TRANSACTION_TIMEOUT_MS,
        }
        if tuned.get("compression_type") == "none":
            tuned["compression_type"] = None
        self._address = ",".join(connection["bootstrap_servers"])
        self._producer = KafkaProducer(metrics_enabled=False, allow_auto_create_topics=False, **tuned)
        self._producer.init_transactions()

    def commit(
        self, records: Sequence[tuple[str, OutgoingRecord]], offsets: Mapping[Place, int], reader: GroupReader
    ) -> None:
        """Sends records to their topics and commits the reader's offsets.

        Raises:
            BrokerDown: it was not acknowledged; it is in effect as a whole or not at all.
            DispatcherReplaced: another sender has the name now.
        """
        from kafka import TopicPartition
        from kafka.errors import KafkaError
        from kafka.structs import OffsetAndMetadata

        positions = {TopicPartition(*place): OffsetAndMetadata(offset, "", -1) for place, offset in offsets.items()}
        try:
            self._producer.begin_transaction()
            for topic, record in records:
                self._producer.send(topic, record.value, key=record.key, headers=list(record.headers))
            self._producer.send_offsets_to_transaction(positions, reader.membership)
            self._producer.commit_transaction()
        except (KafkaError, OSError, AssertionError) as error:
            if self._is_shut_out(error):
                raise DispatcherReplaced(
                    f"another dispatcher has taken over on {self._address}", "run one; it does the work of all"
                ) from None
            raise BrokerDown(
                f"a transaction on {self._address} failed ({type(error).__name__})", "sluice status shows the broker"
            ) from None

    def _is_shut_out(self, error: Exception) -> bool:
        """Whether another sender has the name; what is called meanwhile only says that something failed before."""
        from kafka.errors import InvalidProducerEpochError, ProducerFencedError

        known = (error, self._producer._transaction_manager._last_error)
        return any(isinstance(each, (ProducerFencedError, InvalidProducerEpochError)) for each in known)

    def close(self) -> None:
        """Disconnects at once; a transaction that has begun is given up."""
        from kafka.errors import KafkaError

        self._producer._sender.force_close()
        with suppress(KafkaError):
            self._producer.close(timeout=2)

    def __enter__(self) -> TransactionalSender:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def transactional_sender(bootstrap_servers: str, name: str, options: Mapping[str, str]) -> TransactionalSender:
    """What sends records and commits offsets together; whoever had the name before is shut out.

    Raises:
        BrokerDown: nobody answers, or the login is refused.
        SettingsInvalid: an option is unknown or wrong.
    """
    with reaching_broker(bootstrap_servers):
        return TransactionalSender(client(bootstrap_servers, {}), name, options)

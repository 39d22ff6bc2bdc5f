"""Sends many small records to one topic, faster than the client's own `send`, with its own guarantees.

KafkaProducer.send costs about 30 µs a record in Python. Here the records of a batch are encoded in one go (Kafka
record format v2, https://kafka.apache.org/documentation/#recordbatch) and the finished batch is given to the
producer's queue: sequence numbers (idempotence), retries, acknowledgements and connections stay the producer's.
The few private names used are listed in `_enqueue`; tests/integration/test_generate.py would see them change.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from sluice.errors import BrokerDown, InputInvalid, SluiceError
from sluice.sources.kafka_options import PRODUCER, python_options
from sluice.sources.record_batch import MAGIC, RecordBlock, builder_class

BATCH_BYTES = 256 * 1024
LINGER_MS = 50
# How much may be on its way before send waits.
MAX_OUTSTANDING_BYTES = 48 * 1024 * 1024
MAX_MESSAGE_BYTES = 32 * 1024 * 1024
# After this long without an acknowledgement a batch has failed; a restart of the broker takes about five seconds.
DELIVERY_TIMEOUT_MS = 30_000
REQUEST_TIMEOUT_MS = 10_000
_KNOWN_KEYS = 100_000


class TopicProducer:
    """A sink that keeps the order per partition and counts what the broker has acknowledged.

    Records of one key go to the partition Kafka's own clients would choose; those without a key take turns by batch.
    Not for several threads. After a failed send or close, only `acknowledged` is of use.

    Args:
        client: where the broker is, in kafka-python's names.
        topic: an existing topic.
        partitions: how many partitions it has.
        options: `kafka.options`; those of a producer win over the defaults here.
    """

    def __init__(self, client: Mapping[str, Any], topic: str, partitions: int, options: Mapping[str, str]) -> None:
        import threading

        from kafka import KafkaProducer
        from kafka.partitioner.default import murmur2

        tuned: dict[str, Any] = {
            "compression_type": "gzip",
            "batch_size": BATCH_BYTES,
            "delivery_timeout_ms": DELIVERY_TIMEOUT_MS,
            "request_timeout_ms": REQUEST_TIMEOUT_MS,
            "max_request_size": MAX_MESSAGE_BYTES + 1024 * 1024,
            **python_options(options, PRODUCER),
            **client,
        }
        if tuned["compression_type"] == "none":
            tuned["compression_type"] = None
        self._address = ",".join(client["bootstrap_servers"])
        self._topic = topic
        self._max_request_bytes = int(tuned["max_request_size"])
        self._wait_seconds = tuned["delivery_timeout_ms"] / 1000 + 5
        self._murmur2 = murmur2
        self._partition_by_key: dict[bytes, int] = {}
        self._turn = 0
        self._blocks = [RecordBlock() for _ in range(partitions)]
        self._changed = threading.Condition()
        self._outstanding_bytes = 0
        self._failure: Exception | None = None
        self._closed = False
        self.sent = 0
        self.acknowledged = 0
        self._producer = KafkaProducer(metrics_enabled=False, linger_ms=0, allow_auto_create_topics=False, **tuned)
        self._producer.partitions_for(topic)
        self._builder_class = builder_class(BATCH_BYTES)

    def send(self, key: bytes | None, value: bytes) -> None:
        """Takes one record; it leaves with its batch, after LINGER_MS at the next send, or at push.

        Raises:
            InputInvalid: the record is larger than max.request.size.
            BrokerDown: an earlier record was not acknowledged in time.
        """
        if len(value) > self._max_request_bytes - 1024:
            raise InputInvalid(
                f"a message of {len(value):,} bytes is larger than the producer sends ({self._max_request_bytes:,})",
                "set max.request.size in kafka.options, if broker and topic take that much",
            )
        partition = self._turn if key is None else self._partition_of(key)
        block = self._blocks[partition]
        now_ms = int(time.time() * 1000)
        block.append(key, value, now_ms)
        self.sent += 1
        if block.size >= BATCH_BYTES or now_ms - block.first_ms >= LINGER_MS:
            self._hand_over(partition)

    def push(self) -> None:
        """Starts sending everything taken so far, without waiting for its acknowledgement."""
        for partition, block in enumerate(self._blocks):
            if block.count:
                self._hand_over(partition)

    def close(self) -> None:
        """Sends the rest, waits for all acknowledgements and disconnects.

        Raises:
            BrokerDown: not all records were acknowledged; says how many were.
        """
        if self._closed:
            return
        self._closed = True
        try:
            if self._failure is None:
                self.push()
                with self._changed:
                    self._changed.wait_for(self._settled, self._wait_seconds)
            if self._failure is not None or self._outstanding_bytes:
                raise self._lost()
        finally:
            self._disconnect()

    def abandon(self) -> None:
        """Disconnects at once; what was not yet acknowledged may or may not arrive."""
        if not self._closed:
            self._closed = True
            self._disconnect()

    def _partition_of(self, key: bytes) -> int:
        known = self._partition_by_key
        if key not in known:
            if len(known) >= _KNOWN_KEYS:
                known.clear()
            known[key] = (self._murmur2(key) & 0x7FFFFFFF) % len(self._blocks)
        return known[key]

    def _disconnect(self) -> None:
        from kafka.errors import KafkaError

        if self._failure is not None or self._outstanding_bytes:
            # KafkaProducer.close would first wait for what will not be acknowledged.
            self._producer._sender.force_close()
        with suppress(KafkaError):
            self._producer.close(timeout=5)

    def _settled(self) -> bool:
        return self._failure is not None or not self._outstanding_bytes

    def _has_room(self) -> bool:
        return self._failure is not None or self._outstanding_bytes < MAX_OUTSTANDING_BYTES

    def _hand_over(self, partition: int) -> None:
        block, self._blocks[partition] = self._blocks[partition], RecordBlock()
        if partition == self._turn:
            self._turn = (self._turn + 1) % len(self._blocks)
        with self._changed:
            self._changed.wait_for(self._has_room, self._wait_seconds)
            if not self._has_room() or self._failure is not None:
                raise self._lost()
            self._outstanding_bytes += block.size
        self._enqueue(partition, block)

    def _enqueue(self, partition: int, block: RecordBlock) -> None:
        """Puts a finished batch into the producer's queue, as RecordAccumulator.append does with a new batch."""
        from kafka import TopicPartition
        from kafka.producer.producer_batch import ProducerBatch
        from kafka.record.memory_records import MemoryRecordsBuilder

        producer = self._producer
        records = MemoryRecordsBuilder(MAGIC, producer.config.get("compression_attrs", 0), BATCH_BYTES)
        records._builder = self._builder_class.of(block, producer.config.get("compression_attrs", 0))
        records._next_offset = block.count
        where = TopicPartition(self._topic, partition)
        batch = ProducerBatch(where, records)
        batch.produce_future.add_callback(self._settle, block.count, block.size)
        accumulator = producer._accumulator
        with accumulator._tp_lock(where):
            accumulator._batches[where].append(batch)
            accumulator._incomplete.add(batch)
        producer._sender.wakeup()

    def _settle(self, count: int, size: int, result: tuple[int, int, Any]) -> None:
        _, _, failures = result
        with self._changed:
            self._outstanding_bytes -= size
            if failures is None:
                self.acknowledged += count
            elif self._failure is None:
                self._failure = failures(0)
            self._changed.notify_all()

    def _lost(self) -> SluiceError:
        from kafka.errors import MessageSizeTooLargeError

        progress = f"{self.acknowledged:,} of {self.sent:,} events were acknowledged"
        if isinstance(self._failure, MessageSizeTooLargeError):
            return InputInvalid(
                f"{self._address} refused a message as too large for {self._topic}; {progress}",
                "raise max.message.bytes of the topic, or leave the message out",
            )
        why = type(self._failure).__name__ if self._failure is not None else "no answer"
        return BrokerDown(
            f"sending to {self._topic} on {self._address} failed ({why}): {progress}",
            "sluice status shows the broker; send the rest again when it is up",
        )

"""Looks up ranges of offsets in a topic: whether a read-committed consumer sees records there.

Offsets without a record for a reader are normal: markers of transactions, what aborted ones wrote, what compaction took
away. The client passes over them; how far it has come tells that a range was seen to its end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

# Of a range a few records are asked for at a time: most ranges are one offset long.
_FETCH_BYTES = 256 * 1024
_POLL_MS = 500


class SeenRange(NamedTuple):
    """What a consumer sees in a range of offsets.

    Attributes:
        offsets: of records.
        is_whole: whether the range was read to its end.
    """

    offsets: Sequence[int]
    is_whole: bool


class RangeReader:
    """Reads ranges of offsets of topics; creates no topic, commits nothing, belongs to no group.

    Args:
        client: where the broker is, and options of a consumer, in kafka-python's names.
        seconds: after so many nothing more is looked up.
        reaching: a context that turns the client's failures into SluiceErrors.
    """

    def __init__(
        self, client: Mapping[str, Any], seconds: float, reaching: Callable[[], AbstractContextManager[None]]
    ) -> None:
        from kafka import KafkaConsumer

        # A message larger than what is asked for comes all the same, alone.
        tuned = {**client, "max_partition_fetch_bytes": _FETCH_BYTES, "fetch_max_wait_ms": _POLL_MS}
        self._consumer = KafkaConsumer(
            **tuned,
            isolation_level="read_committed",
            allow_auto_create_topics=False,
            auto_offset_reset="none",
            enable_auto_commit=False,
            group_id=None,
        )
        self._reaching = reaching
        self._deadline = time.monotonic() + seconds

    def bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        """Per partition the first offset that is still there and the one after the last that can be seen.

        Empty where the broker has no such topic.

        Raises:
            BrokerDown: nobody answers any more.
        """
        from kafka import TopicPartition

        with self._reaching():
            partitions = [TopicPartition(topic, number) for number in self._consumer.partitions_for_topic(topic) or ()]
            if not partitions:
                return {}
            begins, ends = self._consumer.beginning_offsets(partitions), self._consumer.end_offsets(partitions)
        return {where.partition: (int(begins[where]), int(ends[where])) for where in partitions}

    def look(self, topic: str, ranges: Sequence[tuple[int, int, int]]) -> list[SeenRange]:
        """What there is in each range, in their order; those that time is not left for are not whole.

        Args:
            ranges: partition, first and last offset, both included; before the partition's end.

        Raises:
            BrokerDown: nobody answers any more.
        """
        with self._reaching():
            return [self._look(topic, *each) for each in ranges]

    def close(self) -> None:
        """Closes the connections."""
        self._consumer.close()

    def _look(self, topic: str, partition: int, first: int, last: int) -> SeenRange:
        from kafka import TopicPartition

        offsets: list[int] = []
        if time.monotonic() >= self._deadline:
            return SeenRange(offsets, False)
        where = TopicPartition(topic, partition)
        if self._consumer.assignment() != {where}:
            self._consumer.assign([where])
        self._consumer.seek(where, first)
        while self._consumer.position(where) <= last:
            if time.monotonic() >= self._deadline:
                return SeenRange(offsets, False)
            for record in self._consumer.poll(timeout_ms=_POLL_MS).get(where, ()):
                if record.offset > last:
                    return SeenRange(offsets, True)
                offsets.append(record.offset)
        return SeenRange(offsets, True)

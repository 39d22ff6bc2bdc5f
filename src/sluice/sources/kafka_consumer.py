"""Reads topics from where a group has committed, and commits with a note; one reader a group, chosen by the caller.

Partitions are assigned, not balanced: whoever uses a group makes sure that nobody else does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from sluice.errors import TopicMissing
from sluice.sources.kafka_clients import client, reaching_broker
from sluice.sources.kafka_options import CONSUMER, python_options

# Topic and partition.
Place = tuple[str, int]


class Record(NamedTuple):
    """A record as it was read; times in milliseconds."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None

    @property
    def place(self) -> Place:
        """Its topic and partition."""
        return self.topic, self.partition


class Committed(NamedTuple):
    """What a group has committed: the next offset, and the text beside it."""

    offset: int
    note: str


class GroupReader:
    """Reads all partitions of topics, read-committed. Not for several threads.

    Starts at the committed offsets; where there are none, or what they name is gone, at the earliest record.

    Args:
        connection: where the broker is, and options of a consumer, in kafka-python's names.
        topics: existing topics.
        group: whose offsets; None reads from the earliest records on and commits nothing.
        reaching: a context that turns the client's failures into SluiceErrors.

    Raises:
        BrokerDown: nobody answers.
        TopicMissing: one of the topics does not exist.
    """

    def __init__(
        self,
        connection: Mapping[str, Any],
        topics: Sequence[str],
        group: str | None,
        reaching: Callable[[], AbstractContextManager[None]],
    ) -> None:
        from kafka import KafkaConsumer, TopicPartition

        self._reaching = reaching
        with reaching():
            self._consumer = KafkaConsumer(
                **connection,
                group_id=group,
                enable_auto_commit=False,
                isolation_level="read_committed",
                allow_auto_create_topics=False,
                auto_offset_reset="earliest",
            )
        try:
            with reaching():
                self._places = [
                    TopicPartition(topic, number) for topic in topics for number in self._partitions_of(topic)
                ]
                self._consumer.assign(self._places)
        except BaseException:
            self.close()
            raise

    def _partitions_of(self, topic: str) -> Iterable[int]:
        found = self._consumer.partitions_for_topic(topic)
        if not found:
            raise TopicMissing(f"the topic {topic} does not exist", "sluice dispatch makes the topics of alerts")
        return sorted(found)

    def poll(self, seconds: float, most: int) -> list[Record]:
        """Records that are there, or come within the time; per partition in their order."""
        with self._reaching():
            found = self._consumer.poll(timeout_ms=int(seconds * 1000), max_records=most)
        return [
            Record(where.topic, where.partition, each.offset, each.timestamp, each.key, each.value)
            for where, records in found.items()
            for each in records
        ]

    def positions(self) -> dict[Place, int]:
        """Per partition the offset that is read next; what transactions leave between records is passed over."""
        with self._reaching():
            return {(where.topic, where.partition): int(self._consumer.position(where)) for where in self._places}

    def ends(self) -> dict[Place, int]:
        """Per partition the offset after the last record that can be seen."""
        with self._reaching():
            found = self._consumer.end_offsets(self._places)
        return {(where.topic, where.partition): int(offset) for where, offset in found.items()}

    def committed(self) -> dict[Place, Committed]:
        """What the group has committed; partitions it has not are left out."""
        found = {}
        with self._reaching():
            for where in self._places:
                known = self._consumer.committed(where, metadata=True)
                if known is not None and known.offset >= 0:
                    found[where.topic, where.partition] = Committed(int(known.offset), str(known.metadata or ""))
        return found

    def commit(self, offsets: Mapping[Place, int], notes: Mapping[Place, str] | None = None) -> None:
        """Commits the next offsets, and texts beside them.

        Raises:
            BrokerDown: it was not acknowledged.
        """
        from kafka import TopicPartition
        from kafka.structs import OffsetAndMetadata

        told = notes or {}
        with self._reaching():
            self._consumer.commit(
                {
                    TopicPartition(*place): OffsetAndMetadata(offset, told.get(place, ""), -1)
                    for place, offset in offsets.items()
                }
            )

    def seek(self, place: Place, offset: int) -> None:
        """Goes on at that offset."""
        from kafka import TopicPartition

        self._consumer.seek(TopicPartition(*place), offset)

    def read_to_end(self) -> list[Record]:
        """All records from here to what is the end now, in memory.

        Raises:
            BrokerDown: nobody answers any more.
        """
        found: list[Record] = []
        for records in self.chunks_to_end():
            found += records
        return found

    def chunks_to_end(self, ends: Mapping[Place, int] | None = None) -> Iterable[list[Record]]:
        """The same, some at a time; up to given ends, records after them left out."""
        until = dict(self.ends() if ends is None else ends)
        while any(self.positions()[place] < end for place, end in until.items()):
            yield [each for each in self.poll(0.5, 10_000) if each.offset < until.get(each.place, 0)]

    @property
    def membership(self) -> Any:
        """What a transaction is told of the group."""
        return self._consumer.group_metadata()

    def close(self) -> None:
        """Closes the connections; commits nothing."""
        self._consumer.close(autocommit=False)

    def __enter__(self) -> GroupReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def group_reader(
    bootstrap_servers: str, topics: Sequence[str], group: str | None, options: Mapping[str, str]
) -> GroupReader:
    """What reads topics from where a group has committed; without a group from their beginning.

    Raises:
        BrokerDown: nobody answers, or the login is refused.
        TopicMissing: one of the topics does not exist.
        SettingsInvalid: an option is unknown or wrong.
    """

    def reaching() -> AbstractContextManager[None]:
        return reaching_broker(bootstrap_servers)

    return GroupReader(client(bootstrap_servers, python_options(options, CONSUMER)), topics, group, reaching)

"""Ranges of offsets looked up on a real broker: markers, aborted records, and records that were deleted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from tests.topics import new_topic

from sluice.embedded.broker import RunningBroker
from sluice.errors import BrokerDown
from sluice.sources.kafka import range_reader
from sluice.sources.kafka_ranges import RangeReader


@pytest.fixture(scope="module")
def topic(broker: RunningBroker) -> str:
    """Partition 0: 0-2 plain, 3-4 committed, 5 marker, 6-7 aborted, 8 marker, 9 plain. Partition 1: nothing."""
    name = new_topic(broker, 2)
    plain = KafkaProducer(bootstrap_servers=broker.bootstrap_servers)
    transactional = KafkaProducer(bootstrap_servers=broker.bootstrap_servers, transactional_id=name)
    for number in range(3):
        plain.send(name, b"plain %d" % number, partition=0).get(timeout=30)
    transactional.init_transactions()
    for end in (transactional.commit_transaction, transactional.abort_transaction):
        transactional.begin_transaction()
        for number in range(2):
            transactional.send(name, b"in a transaction %d" % number, partition=0)
        transactional.flush()
        end()
    plain.send(name, b"x" * 600_000, partition=0).get(timeout=30)
    plain.close()
    transactional.close()
    return name


@pytest.fixture
def reader(broker: RunningBroker) -> Iterator[RangeReader]:
    found = range_reader(broker.bootstrap_servers, {}, 60)
    yield found
    found.close()


def test_records_are_seen_and_markers_and_aborted_ones_are_not(reader: RangeReader, topic: str) -> None:
    assert reader.bounds(topic) == {0: (0, 10), 1: (0, 0)}
    ranges = [(0, 5, 5), (0, 5, 8), (0, 1, 1), (0, 2, 6), (0, 6, 7), (0, 8, 9), (0, 0, 9)]
    seen = [list(offsets) for offsets, is_whole in reader.look(topic, ranges) if is_whole]
    assert seen == [[], [], [1], [2, 3, 4], [], [9], [0, 1, 2, 3, 4, 9]]


def test_records_that_were_deleted_are_no_longer_in_bounds(broker: RunningBroker, reader: RangeReader) -> None:
    name = new_topic(broker, 1)
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap_servers)
    for number in range(5):
        producer.send(name, b"%d" % number, partition=0).get(timeout=30)
    producer.close()
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    admin.delete_records({TopicPartition(name, 0): 3})
    admin.close()
    assert reader.bounds(name) == {0: (3, 5)}
    assert [list(offsets) for offsets, _ in reader.look(name, [(0, 3, 4)])] == [[3, 4]]


def test_a_topic_that_does_not_exist_has_no_bounds_and_is_not_made(reader: RangeReader) -> None:
    assert reader.bounds("never-made") == reader.bounds("never-made") == {}


def test_after_its_time_nothing_more_is_looked_up(broker: RunningBroker, topic: str) -> None:
    late = range_reader(broker.bootstrap_servers, {}, 0)
    assert late.look(topic, [(0, 0, 9), (0, 5, 5)]) == [([], False), ([], False)]
    late.close()


def test_a_broker_that_does_not_answer_is_said() -> None:
    with pytest.raises(BrokerDown, match=r"no Kafka broker answers at 127\.0\.0\.1:1"):
        range_reader("127.0.0.1:1", {}, 1)

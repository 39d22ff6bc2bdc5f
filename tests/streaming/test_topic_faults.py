"""What may happen to a topic: made anew, deleted, trimmed unread, given partitions, sent to in vain or twice."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition

from sluice.embedded.topics import create_topic
from sluice.errors import RecordsLost, TopicMissing, TopicReplaced, UsageError
from sluice.pipelines.driver import Driver, StopSignal
from sluice.pipelines.recovery import GAP, NEW_TOPIC, Acceptance, Recovery, recover_layer
from sluice.schemas import BRONZE_EVENTS, OPS_FLOORS, SILVER_DUPLICATES, SILVER_READINGS
from sluice.tables.delta import current_version
from sluice.tables.topics import read_topic
from tests.streaming.conftest import Workshop, reading


@pytest.fixture
def admin(workshop: Workshop) -> Iterator[KafkaAdminClient]:
    client = KafkaAdminClient(bootstrap_servers=workshop.broker.bootstrap_servers)
    yield client
    client.close()


def readings(count: int, first: int = 0) -> list[dict[str, object]]:
    return [reading(20.0, event_id=f"e{number}") for number in range(first, first + count)]


def make_anew(workshop: Workshop, admin: KafkaAdminClient, events: int) -> None:
    """The topic deleted and created again under its name, with other events in it."""
    topic = workshop.settings.kafka.topic
    admin.delete_topics([topic])
    wait_until(lambda: topic not in admin.list_topics())
    assert create_topic(workshop.broker.bootstrap_servers, topic, 2)
    workshop.send(readings(events, first=100))


def wait_until(is_so: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def offsets(workshop: Workshop) -> list[tuple[int, int, int]]:
    rows = workshop.read(BRONZE_EVENTS).select("topic_generation", "partition", "offset").collect()
    return sorted((row[0], row[1], row[2]) for row in rows)


def accept(workshop: Workshop, what: str) -> Recovery:
    """As the command does that a refusal names."""
    settings = workshop.with_settings(kafka__bootstrap_servers=workshop.broker.bootstrap_servers).settings
    return recover_layer(settings, "bronze", accept=Acceptance(what, "ann", "moved"), spark=workshop.spark)


@contextmanager
def following(workshop: Workshop, *layers: str) -> Iterator[list[Exception]]:
    """`sluice run` of some layers beside the block; gives the error that it ended with."""
    stop, errors = StopSignal(), list[Exception]()

    def follow() -> None:
        try:
            Driver(workshop.spark, workshop.settings, workshop.broker.bootstrap_servers, stop).follow(layers)
        except Exception as error:
            errors.append(error)

    workshop.lake.prepare()
    thread = threading.Thread(target=follow)
    thread.start()
    try:
        yield errors
    finally:
        stop.event.set()
        thread.join(120)


@pytest.mark.parametrize(
    "events", [pytest.param(2, id="smaller", marks=pytest.mark.soak), pytest.param(6, id="larger")]
)
def test_a_topic_made_anew_is_refused_and_read_as_a_new_generation_once_accepted(
    workshop: Workshop, admin: KafkaAdminClient, events: int
) -> None:
    workshop.send(readings(4))
    workshop.drain(["bronze"])
    make_anew(workshop, admin, events)
    with pytest.raises(TopicReplaced, match="is not the one bronze has read: its topic id was") as refused:
        workshop.drain(["bronze"])
    assert "sluice recover bronze --accept-new-topic" in refused.value.hint
    assert len(offsets(workshop)) == 4

    recovery = accept(workshop, NEW_TOPIC)
    assert recovery.accepted[0].startswith(f"{workshop.settings.kafka.topic} as generation 2: ")
    workshop.drain(["bronze", "silver"])
    assert offsets(workshop) == [(1, 0, number) for number in range(4)] + [(2, 0, number) for number in range(events)]
    assert workshop.read(SILVER_READINGS).count() == 4 + events
    topic = read_topic(workshop.lake)
    assert topic is not None
    assert (topic.generation, topic.accepted[0]["by"], topic.accepted[0]["why"]) == (2, "ann", "moved")
    with pytest.raises(UsageError, match="is the topic that bronze reads"):
        accept(workshop, NEW_TOPIC)


def test_records_that_went_before_they_were_read_stop_bronze_until_they_are_accepted(
    workshop: Workshop, admin: KafkaAdminClient
) -> None:
    topic = workshop.settings.kafka.topic
    workshop.send(readings(3))
    workshop.drain(["bronze"])
    with pytest.raises(UsageError, match=r"no record of .* is gone"):
        accept(workshop, GAP)
    workshop.send(readings(5, first=3))
    admin.delete_records({TopicPartition(topic, 0): 6})
    with pytest.raises(RecordsLost, match=rf"3 records of {topic} are gone .*: partition 0 offsets 3 to 5") as lost:
        workshop.drain(["bronze"])
    assert "sluice recover bronze --accept-gap" in lost.value.hint

    accept(workshop, GAP)
    workshop.drain(["bronze"])
    assert offsets(workshop) == [(1, 0, number) for number in (0, 1, 2, 6, 7)]
    (floor,) = workshop.read(OPS_FLOORS).collect()
    assert tuple(floor)[:6] == ("bronze.events", f"{topic}:1:0", "3", "6", "ann", "moved")


def test_a_deleted_topic_stops_bronze_with_its_name(workshop: Workshop, admin: KafkaAdminClient) -> None:
    workshop.send(readings(1))
    workshop.drain(["bronze"])
    admin.delete_topics([workshop.settings.kafka.topic])
    wait_until(lambda: workshop.settings.kafka.topic not in admin.list_topics())
    with pytest.raises(TopicMissing, match="does not exist"):
        workshop.drain(["bronze"])


def test_partitions_added_while_bronze_runs_are_read_and_a_topic_made_anew_meanwhile_stops_it(
    workshop: Workshop, admin: KafkaAdminClient
) -> None:
    topic = workshop.settings.kafka.topic
    workshop.send(readings(2))
    with following(workshop, "bronze") as errors:
        wait_until(lambda: current_version(workshop.lake, BRONZE_EVENTS) > 0 and len(offsets(workshop)) == 2)
        admin.create_partitions({topic: 3})
        workshop.send(readings(2, first=2), partition=2)
        wait_until(lambda: len(offsets(workshop)) == 4)
        make_anew(workshop, admin, 8)
        wait_until(lambda: errors)
    assert isinstance(errors[0], (TopicReplaced, TopicMissing)), errors
    assert offsets(workshop) == [(1, 0, 0), (1, 0, 1), (1, 2, 0), (1, 2, 1)]


def test_only_committed_sends_are_read_and_a_batch_sent_twice_counts_once(workshop: Workshop) -> None:
    name = f"sender-of-{workshop.settings.kafka.topic}"
    producer = KafkaProducer(bootstrap_servers=workshop.broker.bootstrap_servers, transactional_id=name)
    producer.init_transactions()

    def send(first: int, *, commit: bool) -> None:
        producer.begin_transaction()
        for event in readings(2, first):
            producer.send(workshop.settings.kafka.topic, json.dumps(event).encode(), partition=0)
        producer.flush()
        producer.commit_transaction() if commit else producer.abort_transaction()

    for number, is_committed in enumerate((True, False, True)):
        send(2 * number, commit=is_committed)
    workshop.drain(["bronze"])
    # Two records and a marker of the transaction each.
    assert [offset for _, _, offset in offsets(workshop)] == [0, 1, 6, 7]
    # A batch of nothing but what was aborted is a batch, too; the next start finds it done.
    send(6, commit=False)
    producer.close()
    workshop.drain(["bronze"])
    workshop.send(readings(2) + readings(2, first=4))
    workshop.drain(["bronze", "silver"])
    assert workshop.read(SILVER_READINGS).count() == workshop.read(SILVER_DUPLICATES).count() == 4

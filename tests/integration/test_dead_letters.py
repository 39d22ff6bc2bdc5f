"""What silver refuses, on a Kafka topic: once as a rule, twice rather than never, whatever becomes of the broker."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from tests.topics import new_topic
from tests.unit.serving.lake_builder import append, build_lake, refused

from sluice.embedded.broker import RunningBroker
from sluice.errors import BrokerDown
from sluice.pipelines import dead_letters as dead_letters_module
from sluice.pipelines.dead_letters import DeadLetters
from sluice.settings import Settings, load_settings
from sluice.sources.kafka_records import RecordSender
from sluice.tables.lake import Lake

QUARANTINE = "silver.quarantine"
NOWHERE = "127.0.0.1:1"


class Clock:
    """Stands still unless it is told to go on."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def row(offset: int, value: bytes | None = b"{", **odd: Any) -> dict[str, Any]:
    return {**refused(offset, "NOT_JSON", stage="parse", promotion_id="p1", value=value), **odd}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """One version with a row of each stage."""
    rows = [
        row(1, b"\xff\x00{", key=b"\x00k", headers=[{"key": "trace", "value": b"\x01"}, {"key": "no", "value": None}]),
        row(2, stage="rules"),
        row(3, None),
        row(4, stage="deduplicate"),
    ]
    return Lake(build_lake(tmp_path / "lake", {QUARANTINE: rows}))


@pytest.fixture
def topic(broker: RunningBroker) -> str:
    return new_topic(broker, 1, "dlq")


def settings_for(lake: Lake, address: str, topic: str, **odd: object) -> Settings:
    options = {"lake.path": str(lake.path), "kafka.bootstrap_servers": address, "quarantine.publish_topic": topic}
    return load_settings(options={**options, **{key.replace("__", "."): value for key, value in odd.items()}})


@pytest.fixture
def letters(lake: Lake, broker: RunningBroker, topic: str) -> DeadLetters:
    return DeadLetters(settings_for(lake, broker.bootstrap_servers, topic), lake, Clock())


def received(broker: RunningBroker, topic: str) -> list[Any]:
    """All that the topic holds."""
    consumer, where = KafkaConsumer(bootstrap_servers=broker.bootstrap_servers), TopicPartition(topic, 0)
    found: list[Any] = []
    try:
        consumer.assign([where])
        consumer.seek_to_beginning(where)
        end = consumer.end_offsets([where])[where]
        while consumer.position(where) < end:
            for records in consumer.poll(timeout_ms=1000).values():
                found += records
        return found
    finally:
        consumer.close()


def offsets(records: list[Any]) -> list[int]:
    return [int(dict(record.headers)["sluice-offset"]) for record in records]


def test_what_is_unreadable_is_sent_with_its_bytes_and_where_it_came_from(
    letters: DeadLetters, broker: RunningBroker, topic: str
) -> None:
    assert letters.is_due(False)
    assert letters.publish() == 2

    first, second = received(broker, topic)
    assert (first.key, first.value) == (b"\x00k", b"\xff\x00{")
    assert first.headers == [
        ("sluice-coordinates", b"iot.raw:1:0:1"),
        ("sluice-topic", b"iot.raw"),
        ("sluice-topic-generation", b"1"),
        ("sluice-partition", b"0"),
        ("sluice-offset", b"1"),
        ("sluice-stage", b"parse"),
        ("sluice-error-code", b"NOT_JSON"),
        ("sluice-error-detail", b"detail 1"),
        ("sluice-promotion-id", b"p1"),
        ("trace", b"\x01"),
        ("no", b""),
    ]
    # Kafka takes a record that has neither.
    assert (second.key, second.value) == (None, None)
    assert not letters.is_due(True)


def test_only_what_is_added_is_sent_afterwards_and_other_stages_if_the_settings_name_them(
    lake: Lake, letters: DeadLetters, broker: RunningBroker, topic: str
) -> None:
    letters.publish()
    append(lake.path, QUARANTINE, [row(5), row(6, stage="rules")])
    table = DeltaTable(lake.path / "silver" / "quarantine")
    # A replay writes rows anew, and compaction too; neither adds one.
    table.update({"status": "'replayed'"}, predicate='"offset" = 5')
    table.optimize.compact()
    append(lake.path, QUARANTINE, [row(7)])
    assert letters.is_due(False)
    assert letters.publish() == 2
    assert offsets(received(broker, topic)) == [1, 3, 5, 7]
    assert DeadLetters(letters._settings, lake).is_due(False) is False

    append(lake.path, QUARANTINE, [row(8, stage="rules"), row(9)])
    both = settings_for(lake, broker.bootstrap_servers, topic, quarantine__publish_stages=["parse", "rules"])
    assert DeadLetters(both, lake).publish() == 2
    assert offsets(received(broker, topic))[4:] == [8, 9]


def test_without_the_setting_or_a_table_nothing_is_due(lake: Lake, tmp_path: Path) -> None:
    assert not DeadLetters(load_settings(options={"lake.path": str(lake.path)}), lake).is_due(True)
    empty = Lake(tmp_path / "empty")
    assert not DeadLetters(settings_for(empty, NOWHERE, "dlq"), empty).is_due(True)
    assert not lake.checkpoint_path("silver").exists()


def test_a_broker_that_is_away_delays_and_loses_nothing(
    lake: Lake, broker: RunningBroker, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    nowhere = settings_for(lake, "", topic, kafka__bootstrap_servers=None, broker__data_path=str(lake.path / "none"))
    away = DeadLetters(nowhere, lake, clock)
    pauses = []
    for _ in range(6):
        assert away.is_due(False)
        assert away.publish() == 0
        assert not away.is_due(False)
        before = clock.seconds
        while not away.is_due(True):
            clock.seconds += 1
        pauses.append(clock.seconds - before)
    assert pauses == [5, 10, 20, 40, 60, 60]
    assert "wait to be sent" in caplog.text
    assert DeadLetters(settings_for(lake, NOWHERE, topic), lake).publish() == 0
    append(lake.path, QUARANTINE, [row(5)])
    assert DeadLetters(settings_for(lake, broker.bootstrap_servers, topic), lake).publish() == 3
    assert sorted(offsets(received(broker, topic))) == [1, 3, 5]


def test_a_topic_that_is_missing_is_named_and_waits(
    lake: Lake, broker: RunningBroker, caplog: pytest.LogCaptureFixture
) -> None:
    assert DeadLetters(settings_for(lake, broker.bootstrap_servers, "dlq.absent"), lake).publish() == 0
    assert "the topic dlq.absent does not exist" in caplog.text


def test_a_death_after_the_acknowledgement_sends_twice_what_carries_the_same_identity(
    lake: Lake, letters: DeadLetters, broker: RunningBroker, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(dead_letters_module, "write_atomically", die)
        with pytest.raises(KeyboardInterrupt):
            letters.publish()
    assert DeadLetters(letters._settings, lake).publish() == 2
    identities = [dict(record.headers)["sluice-coordinates"] for record in received(broker, topic)]
    assert identities == [b"iot.raw:1:0:1", b"iot.raw:1:0:3"] * 2


def test_a_failure_in_the_middle_goes_on_after_the_last_rows_that_were_acknowledged(
    lake: Lake, letters: DeadLetters, broker: RunningBroker, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters_module, "_CHUNK_ROWS", 2)
    append(lake.path, QUARANTINE, [row(offset) for offset in range(10, 15)])
    send: Callable[..., list[int]] = RecordSender.send
    calls = itertools.count()

    def failing(sender: RecordSender, records: Any) -> list[int]:
        if next(calls) == 2:
            raise BrokerDown("gone", "")
        return send(sender, records)

    with monkeypatch.context() as patch:
        patch.setattr(RecordSender, "send", failing)
        letters.publish()
    DeadLetters(letters._settings, lake).publish()
    assert sorted(offsets(received(broker, topic))) == [1, 3, *range(10, 15)]


def test_a_slice_ends_between_rows_and_the_end_of_a_drain_takes_all(
    lake: Lake, broker: RunningBroker, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters_module, "_CHUNK_ROWS", 1)
    ticks = itertools.count()
    letters = DeadLetters(settings_for(lake, broker.bootstrap_servers, topic), lake, lambda: next(ticks) * 0.6)
    assert letters.is_due(False)
    assert letters.publish() == 1
    assert letters.is_due(True)
    assert letters.publish() == 1
    assert offsets(received(broker, topic)) == [1, 3]


def test_what_is_too_large_for_the_topic_is_sent_without_its_bytes_and_holds_nothing_up(
    lake: Lake, letters: DeadLetters, broker: RunningBroker, topic: str
) -> None:
    from kafka.admin import ConfigResource

    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    admin.alter_configs([ConfigResource("topic", topic, {"max.message.bytes": "2000"})])
    admin.close()
    append(lake.path, QUARANTINE, [row(5, random.Random(0).randbytes(90_000), key=b"k"), row(6)])
    assert letters.publish() == 4
    found = {int(dict(record.headers)["sluice-offset"]): record for record in received(broker, topic)}
    assert sorted(found) == [1, 3, 5, 6]
    assert (found[5].value, dict(found[5].headers)["sluice-value-left-out"]) == (None, b"90000")
    assert found[6].value == b"{"


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"version": 1}'])
def test_a_cursor_that_is_gone_or_damaged_sends_all_that_is_open(
    lake: Lake, letters: DeadLetters, broker: RunningBroker, topic: str, damage: str
) -> None:
    letters.publish()
    DeltaTable(lake.path / "silver" / "quarantine").update({"status": "'discarded'"}, predicate='"offset" = 1')
    cursor = lake.checkpoint_path("silver") / "dead_letters.json"
    assert set(json.loads(cursor.read_text())) == {"version", "rows", "is_whole"}
    cursor.write_text(damage)
    assert DeadLetters(letters._settings, lake).publish() == 1
    assert offsets(received(broker, topic)) == [1, 3, 3]


def test_rows_whose_files_were_cleaned_away_are_sent_from_what_the_table_holds(
    lake: Lake, letters: DeadLetters, broker: RunningBroker, topic: str
) -> None:
    letters.publish()
    append(lake.path, QUARANTINE, [row(5)])
    append(lake.path, QUARANTINE, [row(6)])
    table = DeltaTable(lake.path / "silver" / "quarantine")
    table.optimize.compact()
    table.vacuum(0, dry_run=False, enforce_retention_duration=False)
    assert DeadLetters(letters._settings, lake).publish() == 4
    assert sorted(set(offsets(received(broker, topic)))) == [1, 3, 5, 6]


def test_a_log_that_was_cleaned_up_is_no_end(
    lake: Lake, letters: DeadLetters, broker: RunningBroker, topic: str
) -> None:
    letters.publish()
    append(lake.path, QUARANTINE, [row(5)])
    append(lake.path, QUARANTINE, [row(6)])
    table = DeltaTable(lake.path / "silver" / "quarantine")
    table.create_checkpoint()
    (lake.path / "silver" / "quarantine" / "_delta_log" / f"{1:020d}.json").unlink()
    assert DeadLetters(letters._settings, lake).publish() == 4
    assert sorted(offsets(received(broker, topic))) == [1, 1, 3, 3, 5, 6]

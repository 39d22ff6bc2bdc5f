"""`sluice generate` as a process, against a real broker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.partitioner.default import murmur2
from tests.topics import new_topic

from sluice.embedded.broker import RunningBroker, start_broker, stop_broker
from sluice.errors import TopicMissing
from sluice.settings import load_settings
from sluice.sources.kafka import end_offsets, producer, require_topic

START = "2026-01-01T00:00:00Z"
FAULTS = "late=0.02,duplicate=0.02,corrupt=0.02,out_of_range=0.02"
PARTITIONS = 4


def sluice(*arguments: str, address: str = "127.0.0.1:1", topic: str = "iot.raw") -> list[str]:
    place = ["--set", f"kafka.bootstrap_servers={address}", "--set", f"kafka.topic={topic}"]
    return [sys.executable, "-c", "from sluice.cli import main; main()", *place, *arguments]


def run(command: list[str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, capture_output=True, timeout=120, check=False)


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


@pytest.fixture
def topic(broker: RunningBroker) -> str:
    return new_topic(broker, PARTITIONS, "generate")


def records(address: str, topic: str) -> list[Any]:
    ends = end_offsets(address, topic, {})
    consumer = KafkaConsumer(
        bootstrap_servers=address, auto_offset_reset="earliest", max_partition_fetch_bytes=64 * 1024 * 1024
    )
    consumer.assign([TopicPartition(topic, partition) for partition in ends])
    found: list[Any] = []
    while len(found) < sum(ends.values()):
        for batch in consumer.poll(timeout_ms=1000).values():
            found += batch
    consumer.close()
    return found


def test_the_file_and_standard_output_get_the_same_bytes(tmp_path: Path) -> None:
    options = ("generate", "--events", "3000", "--start", START, "--seed", "5", "--faults", FAULTS)
    to_file = run(sluice(*options, "--sink", "file", "--out", str(tmp_path / "events.jsonl"), "--json"))
    to_stdout = run(sluice(*options, "--sink", "stdout", "--rate", "20000", "--json"))
    assert (to_file.returncode, to_stdout.returncode) == (0, 0)
    assert to_stdout.stdout == (tmp_path / "events.jsonl").read_bytes()
    assert to_stdout.stdout.count(b"\n") == 3000
    summary = json.loads(to_file.stdout)
    of_stdout = json.loads(to_stdout.stderr)
    varying = ("sink", "target", "seconds", "events_per_second")
    assert {k: v for k, v in summary.items() if k not in varying} == {
        k: v for k, v in of_stdout.items() if k not in varying
    }
    assert summary["events"] == 3000
    assert sum(summary["versions"].values()) == 3000
    assert all(30 <= count <= 90 for count in summary["faults"].values())
    assert (summary["stopped"], summary["first_event_time"]) == (False, "2026-01-01T00:00:00.000Z")


def test_kafka_gets_the_same_messages_in_order_keyed_by_device(
    broker: RunningBroker, topic: str, tmp_path: Path
) -> None:
    options = ("generate", "--events", "20000", "--start", START, "--seed", "5", "--faults", FAULTS)
    assert run(sluice(*options, "--sink", "file", "--out", str(tmp_path / "events.jsonl"))).returncode == 0
    sent = run(sluice(*options, "--json", address=broker.bootstrap_servers, topic=topic))
    assert (sent.returncode, sent.stderr) == (0, b"")
    summary = json.loads(sent.stdout)
    assert (summary["events"], summary["target"]) == (20000, f"{topic} on {broker.bootstrap_servers}")
    found = records(broker.bootstrap_servers, topic)
    lines = (tmp_path / "events.jsonl").read_bytes().splitlines()
    assert sorted(record.value for record in found) == sorted(lines)
    assert {record.partition for record in found} == set(range(PARTITIONS))
    assert all((murmur2(record.key) & 0x7FFFFFFF) % PARTITIONS == record.partition for record in found)
    for partition in range(PARTITIONS):
        values = [record.value for record in found if record.partition == partition]
        mine = set(values)
        assert values == [line for line in lines if line in mine]


def test_without_a_start_no_event_is_ahead_of_its_kafka_timestamp(broker: RunningBroker, topic: str) -> None:
    for options in (["--events", "500"], ["--events", "60", "--rate", "100", "--devices", "7"]):
        assert run(sluice("generate", *options, address=broker.bootstrap_servers, topic=topic)).returncode == 0
    for record in records(broker.bootstrap_servers, topic):
        event = json.loads(record.value)
        moment = (event.get("timestamp") or event["dt"]).replace("Z", "+00:00")
        assert datetime.fromisoformat(moment).timestamp() * 1000 <= record.timestamp


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_ends_a_live_stream_cleanly(broker: RunningBroker, topic: str, number: int) -> None:
    command = sluice("generate", "--rate", "200", "--json", address=broker.bootstrap_servers, topic=topic)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for(lambda: sum(end_offsets(broker.bootstrap_servers, topic, {}).values()) > 50)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=30)
    summary = json.loads(stdout)
    assert (process.returncode, stderr, summary["stopped"]) == (0, b"", True)
    assert summary["events"] == sum(end_offsets(broker.bootstrap_servers, topic, {}).values())
    assert summary["events_per_second"] <= 210


def test_a_topic_that_is_not_there_is_named_with_the_command_that_creates_it(broker: RunningBroker) -> None:
    sent = run(sluice("generate", "--events", "1", address=broker.bootstrap_servers, topic="no.such.topic"))
    assert sent.returncode == 3
    first, second = sent.stderr.decode().splitlines()
    assert first == f"sluice: the topic no.such.topic does not exist on {broker.bootstrap_servers}"
    assert f"--bootstrap-server {broker.bootstrap_servers} --create --topic no.such.topic" in second
    for ask in (require_topic, end_offsets, producer):
        with pytest.raises(TopicMissing):
            ask(broker.bootstrap_servers, "no.such.topic", {})


def test_a_broker_that_is_not_there_is_one_clear_line() -> None:
    sent = run(sluice("generate", "--events", "1"))
    assert (sent.returncode, sent.stdout) == (3, b"")
    assert sent.stderr.decode().splitlines() == [
        "sluice: no Kafka broker answers at 127.0.0.1:1",
        "  next: sluice up, or set kafka.bootstrap_servers",
    ]


def test_a_broker_that_dies_is_one_clear_line_with_what_was_acknowledged(tmp_path: Path) -> None:
    settings = load_settings(options={"broker.data_path": str(tmp_path / "broker"), "broker.port": 0}, environment={})
    mortal = start_broker(settings)
    short = '{"delivery.timeout.ms": "3000", "request.timeout.ms": "1000"}'
    command = sluice("generate", "--rate", "2000", "--set", f"kafka.options={short}", address=mortal.bootstrap_servers)
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        wait_for(lambda: sum(end_offsets(mortal.bootstrap_servers, "iot.raw", {}).values()) > 1000)
        os.kill(mortal.pid, signal.SIGKILL)
        stdout, stderr = process.communicate(timeout=60)
    finally:
        stop_broker(tmp_path / "broker", timeout_seconds=5)
    assert (process.returncode, stdout) == (3, b"")
    what, hint = stderr.decode().splitlines()
    assert what.startswith(f"sluice: sending to iot.raw on {mortal.bootstrap_servers} failed (")
    acknowledged, sent = (int(word.replace(",", "")) for word in what.split() if word.replace(",", "").isdigit())
    assert 1000 < acknowledged < sent
    assert hint == "  next: sluice status shows the broker; send the rest again when it is up"


def test_everything_sent_is_acknowledged_at_the_close_also_large_and_keyless_messages(
    broker: RunningBroker, topic: str
) -> None:
    sink = producer(broker.bootstrap_servers, topic, {})
    large = os.urandom(20 * 1024 * 1024)
    sink.send(b"large", large)
    for number in range(1000):
        sink.send(None, b"%d" % number)
    sink.send(b"", b"")
    sink.close()
    assert (sink.sent, sink.acknowledged) == (1002, 1002)
    found = records(broker.bootstrap_servers, topic)
    assert sorted((r.key is None, r.key, r.value) for r in found if r.key is not None) == [
        (False, b"", b""),
        (False, b"large", large),
    ]
    assert sorted(int(record.value) for record in found if record.key is None) == list(range(1000))


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = sluice("generate", "--events", "200000", "--sink", "stdout")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b"{")
    process.stdout.close()
    assert process.stderr is not None
    assert (process.wait(timeout=60), process.stderr.read()) == (0, b"")
    process.stderr.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--faults", "lates=0.1"], "--faults lates=0.1: not of the form name=share"),
        (["--start", "now"], "--start now: not a time with an offset"),
        (["--sink", "file"], "--sink file needs --out FILE"),
        (["--out", "x"], "--out x goes with --sink file only"),
        (["--devices", "0"], "--devices 0: not from 1 to 100000"),
    ],
)
def test_wrong_options_are_one_clear_line(options: list[str], message: str) -> None:
    refused = run(sluice("generate", *options))
    assert (refused.returncode, refused.stdout) == (2, b"")
    assert refused.stderr.decode().splitlines()[0] == f"sluice: {message}"

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import ConfigResource

from sluice.cli import run_command
from sluice.embedded.broker import RunningBroker, running_broker, start_broker, stop_broker
from sluice.errors import BrokerFailed
from sluice.settings import Settings, load_settings

MEBIBYTE = 1024 * 1024


def broker_settings(data_path: Path, **options: object) -> Settings:
    named = {f"broker.{key}": value for key, value in options.items()}
    return load_settings(options={"broker.data_path": str(data_path), **named}, environment={})


@pytest.fixture
def data_path(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "broker"
    stop_broker(tmp_path / "broker", timeout_seconds=5)


def send(broker: RunningBroker, *values: bytes) -> None:
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap_servers, max_request_size=4 * MEBIBYTE)
    for value in values:
        producer.send("iot.raw", value).get(timeout=30)
    producer.close()


def received(broker: RunningBroker, count: int) -> list[bytes]:
    consumer = KafkaConsumer(
        "iot.raw",
        bootstrap_servers=broker.bootstrap_servers,
        auto_offset_reset="earliest",
        consumer_timeout_ms=20_000,
    )
    values = [record.value for record in itertools.islice(consumer, count)]
    consumer.close()
    return sorted(values)


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def sluice(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from sluice.cli import main; main()", *arguments]


def test_the_topic_is_there_with_the_partitions_of_the_settings(broker: RunningBroker) -> None:
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    topic = admin.describe_topics(["iot.raw"])[0]
    admin.close()
    assert len(topic["partitions"]) == 4


def test_a_topic_that_nobody_created_does_not_come_to_be_by_asking(broker: RunningBroker) -> None:
    consumer = KafkaConsumer("mistyped", bootstrap_servers=broker.bootstrap_servers, consumer_timeout_ms=500)
    assert list(consumer) == []
    consumer.close()
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    assert "mistyped" not in admin.list_topics()
    admin.close()


def test_starting_it_again_gives_the_same_broker_and_adds_the_topic(broker: RunningBroker) -> None:
    settings = broker_settings(broker.data_path, partitions=2)
    assert start_broker(settings, topic="another") == broker
    assert start_broker(settings) == broker
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    partitions = {topic["name"]: len(topic["partitions"]) for topic in admin.describe_topics(["another", "iot.raw"])}
    admin.close()
    assert partitions == {"another": 2, "iot.raw": 4}


def test_the_topic_takes_messages_as_large_as_the_settings_say(broker: RunningBroker) -> None:
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    found = admin.describe_configs([ConfigResource("topic", "iot.raw")], config_filter="all")["topic"]["iot.raw"]
    admin.close()
    assert int(found["max.message.bytes"]["value"]) == 32 * MEBIBYTE
    assert found["retention.ms"]["value"] == "-1"


def test_it_lives_in_a_session_of_its_own(broker: RunningBroker) -> None:
    assert os.getsid(broker.pid) != os.getsid(0)


def test_records_and_port_survive_a_stop_and_a_kill(data_path: Path) -> None:
    settings = broker_settings(data_path)
    first = start_broker(settings)
    large = b"x" * 2 * MEBIBYTE
    send(first, b"before the stop", large)
    assert stop_broker(data_path)
    assert running_broker(data_path) is None
    assert not stop_broker(data_path)

    second = start_broker(settings)
    assert second.pid != first.pid
    assert second.bootstrap_servers == first.bootstrap_servers
    send(second, b"before the kill")
    os.kill(second.pid, signal.SIGKILL)
    wait_for(lambda: running_broker(data_path) is None)

    third = start_broker(settings)
    assert received(third, 3) == sorted([b"before the stop", large, b"before the kill"])


def test_two_starts_at_once_end_in_one_broker(data_path: Path) -> None:
    command = sluice("up", "--json", "--set", f"broker.data_path={data_path}")
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [json.loads(process.communicate(timeout=120)[0]) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert answers[0]["pid"] == answers[1]["pid"]


def test_a_broker_left_behind_by_a_killed_start_is_taken_over(data_path: Path) -> None:
    starter = subprocess.Popen(sluice("up", "--set", f"broker.data_path={data_path}"))
    wait_for((data_path / "broker.json").exists)
    starter.kill()
    starter.wait()
    state = json.loads((data_path / "broker.json").read_text())
    assert start_broker(broker_settings(data_path)).pid == state["pid"]


def test_a_port_in_use_is_named_with_the_setting_to_change(data_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(BrokerFailed, match=f"port {port} on 127.0.0.1 is in use") as raised:
            start_broker(broker_settings(data_path, port=port))
    assert "broker.port" in raised.value.hint


def test_a_broker_that_dies_at_its_start_is_quoted(data_path: Path) -> None:
    with pytest.raises(BrokerFailed, match=r"ended while it started: .*heap"):
        start_broker(broker_settings(data_path, heap_megabytes=10**12))
    assert running_broker(data_path) is None


def test_a_folder_that_cannot_be_made_is_an_error_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BrokerFailed, match="cannot write"):
        start_broker(broker_settings(tmp_path / "file" / "broker"))


def test_a_pid_that_is_somebody_elses_by_now_is_neither_trusted_nor_killed(data_path: Path) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    data_path.mkdir()
    state = {"pid": stranger.pid, "port": 1, "controller_port": 2, "ready": True}
    (data_path / "broker.json").write_text(json.dumps(state))
    try:
        assert running_broker(data_path) is None
        assert not stop_broker(data_path)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x"}'])
def test_a_damaged_state_file_means_no_broker(data_path: Path, content: str) -> None:
    data_path.mkdir()
    (data_path / "broker.json").write_text(content)
    assert running_broker(data_path) is None


def test_down_says_so_when_it_was_not_up(data_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["down", "--set", f"broker.data_path={data_path}"]) == 0
    assert capsys.readouterr().out == "the broker was not up\n"


def test_up_and_down_tell_programs_what_they_did(data_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    option = ["--set", f"broker.data_path={data_path}", "--set", "kafka.topic=mine"]
    assert run_command(["up", "--json", *option]) == 0
    answer = json.loads(capsys.readouterr().out)
    running = running_broker(data_path)
    assert running is not None
    assert answer == {
        "bootstrap_servers": running.bootstrap_servers,
        "topic": "mine",
        "data_path": str(data_path),
        "pid": running.pid,
        "started": True,
    }
    assert run_command(["up", *option]) == 0
    assert running.bootstrap_servers in capsys.readouterr().out
    assert run_command(["down", "--json", *option]) == 0
    assert json.loads(capsys.readouterr().out)["stopped"] is True

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from sluice.embedded.broker_config import Ports, choose_ports, logging_properties, server_properties
from sluice.errors import BrokerFailed
from sluice.sections import BrokerSettings


def settings(**values: object) -> BrokerSettings:
    defaults = {
        "data_path": Path("/data/broker"),
        "port": 0,
        "partitions": 4,
        "heap_megabytes": 512,
        "max_message_bytes": 33554432,
    }
    return BrokerSettings.model_validate({**defaults, **values})


def listening() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener


def free_port() -> int:
    with listening() as listener:
        return int(listener.getsockname()[1])


def properties(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_the_ports_of_last_time_are_taken_again_when_free() -> None:
    last_time = Ports(free_port(), free_port())
    assert choose_ports(settings(), last_time) == last_time


def test_a_port_of_last_time_that_is_in_use_gives_way_to_another() -> None:
    with listening() as listener:
        taken = listener.getsockname()[1]
        chosen = choose_ports(settings(), Ports(taken, taken))
    assert taken not in (chosen.clients, chosen.controller)
    assert chosen.clients != chosen.controller


def test_a_set_port_goes_before_that_of_last_time() -> None:
    wanted = free_port()
    assert choose_ports(settings(port=wanted), Ports(free_port(), 0)).clients == wanted


def test_a_set_port_in_use_is_named_with_the_setting_to_change() -> None:
    with listening() as listener:
        taken = listener.getsockname()[1]
        with pytest.raises(BrokerFailed) as raised:
            choose_ports(settings(port=taken), None)
    assert raised.value.message == f"port {taken} on 127.0.0.1 is in use by another program"
    assert "broker.port" in raised.value.hint


def test_every_listener_is_on_loopback() -> None:
    found = properties(server_properties(settings(), Ports(9092, 9093)))
    assert found["listeners"] == "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093"
    assert found["advertised.listeners"] == "PLAINTEXT://127.0.0.1:9092"
    assert found["controller.quorum.voters"] == "1@127.0.0.1:9093"


def test_the_largest_message_fits_through_every_limit() -> None:
    size = 200 * 1024 * 1024
    found = properties(server_properties(settings(max_message_bytes=size), Ports(1, 2)))
    assert int(found["message.max.bytes"]) == size
    assert int(found["replica.fetch.max.bytes"]) == size
    assert int(found["socket.request.max.bytes"]) > size


def test_paths_are_written_so_that_java_reads_them_back() -> None:
    odd = settings(data_path=Path("/data/a b\\c$d"))
    assert properties(server_properties(odd, Ports(1, 2)))["log.dirs"] == "/data/a b\\\\c$d/data"
    assert properties(logging_properties(odd))["appender.file.fileName"] == "/data/a b\\\\c$$d/logs/server.log"

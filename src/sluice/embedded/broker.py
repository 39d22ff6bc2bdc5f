"""The embedded Kafka broker: a real KRaft broker of one node, on loopback, for laptops and tests.

All of it lies in one folder: broker.json (which process, which ports), server.properties, data/, logs/.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import re
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sluice.embedded.broker_config import Ports, choose_ports, logging_properties, port_unusable, server_properties
from sluice.embedded.jars import class_path
from sluice.embedded.processes import is_running, start_detached, stop_process
from sluice.embedded.topics import answers_as, create_topic, refusal
from sluice.errors import BrokerFailed
from sluice.java import find_java
from sluice.settings import Settings

START_TIMEOUT_SECONDS = 90.0
# A port that was free when it was chosen may be taken before the broker binds it.
_PORT_ATTEMPTS = 3
_STATE = "broker.json"
_PROPERTIES = "server.properties"
_CAUSE = re.compile(r"^(?:Caused by: |Exception in thread \"[^\"]*\" )?([\w.$]+(?:Exception|Error)(?:: .+)?)$")


@dataclass(frozen=True)
class RunningBroker:
    """An embedded broker that is up.

    Attributes:
        pid: of its JVM.
        bootstrap_servers: host:port for clients.
        data_path: its folder.
    """

    pid: int
    bootstrap_servers: str
    data_path: Path


@dataclass(frozen=True)
class _State:
    """What broker.json holds; pid is 0 while no broker was left running."""

    pid: int
    ports: Ports
    ready: bool

    def is_alive(self, data_path: Path) -> bool:
        return is_running(self.pid, str(data_path / _PROPERTIES))


def running_broker(data_path: Path) -> RunningBroker | None:
    """The broker whose folder this is, if its process lives and has once been ready; costs no connection.

    A pid that meanwhile belongs to another program is not taken for the broker.
    """
    state = _read_state(data_path)
    if state is None or not state.ready or not state.is_alive(data_path):
        return None
    return RunningBroker(state.pid, state.ports.bootstrap_servers, data_path)


def start_broker(settings: Settings, *, topic: str | None = None) -> RunningBroker:
    """The broker of these settings, started if it was not up, with its topics in it.

    It runs on after this process. Its data survives a stop and a kill. When two processes start it at once,
    the second waits and is given the first one's.

    Args:
        settings: section broker; kafka.topic and, if it is set, quarantine.publish_topic name the topics.
        topic: created instead of those; one that is there keeps its partitions.

    Raises:
        BrokerFailed: it does not start, or a port is in use; holds what the broker said.
        JarsMissing, JavaMissing: as their names say.
    """
    data_path = settings.broker.data_path
    names = [topic] if topic else [settings.kafka.topic, settings.quarantine.publish_topic]
    running = running_broker(data_path)
    if running is None:
        with _only_one(data_path):
            running = running_broker(data_path) or _adopt(data_path) or _start(settings)
    from kafka.errors import KafkaError

    for name in filter(None, names):
        try:
            create_topic(running.bootstrap_servers, name, settings.broker.partitions)
        except KafkaError as error:
            raise BrokerFailed(
                f"the broker does not create the topic {name}: {refusal(error)}", _see_logs(data_path)
            ) from None
    return running


def stop_broker(data_path: Path, timeout_seconds: float = 30) -> bool:
    """Whether a broker was up; it is down when this returns.

    Args:
        data_path: the broker's folder.
        timeout_seconds: how long it may take to close its files before it is killed; its data survive that.

    Raises:
        BrokerFailed: its process belongs to another user, or does not even die.
    """
    if not data_path.is_dir():
        return False
    with _only_one(data_path):
        state = _read_state(data_path)
        if state is None or not state.is_alive(data_path):
            return False
        try:
            gone = stop_process(state.pid, str(data_path / _PROPERTIES), timeout_seconds)
        except PermissionError:
            raise BrokerFailed(
                f"the broker, process {state.pid}, belongs to another user", "stop it as that user"
            ) from None
        if not gone:
            raise BrokerFailed(f"the broker, process {state.pid}, does not end", f"kill -9 {state.pid}")
        _write_state(data_path, _State(0, state.ports, ready=False))
    return True


def _start(settings: Settings) -> RunningBroker:
    data_path = settings.broker.data_path
    java = str(find_java())
    jars = class_path(settings.spark.jars_path, "broker")
    last_time = _read_state(data_path)
    for attempt in range(_PORT_ATTEMPTS):
        ports = choose_ports(settings.broker, last_time.ports if last_time and not attempt else None)
        _write_configuration(settings, ports)
        if not (data_path / "data" / "meta.properties").exists():
            _format(java, jars, data_path)
        state = _State(_launch(java, jars, settings), ports, ready=False)
        _write_state(data_path, state)
        try:
            return _wait_until_ready(data_path, state)
        except _PortTaken:
            if settings.broker.port:
                break
        except BaseException:
            stop_process(state.pid, str(data_path / _PROPERTIES), 0)
            raise
    raise port_unusable(ports.clients, "in use by another program")


def _adopt(data_path: Path) -> RunningBroker | None:
    """The broker that a starter which was killed has left behind, once it is ready."""
    state = _read_state(data_path)
    if state is None or not state.is_alive(data_path):
        return None
    return _wait_until_ready(data_path, state)


def _write_configuration(settings: Settings, ports: Ports) -> None:
    data_path = settings.broker.data_path
    if "," in str(data_path):
        raise BrokerFailed(f"Kafka takes no comma in a path: {data_path}", "set broker.data_path to another folder")
    (data_path / "logs").mkdir(exist_ok=True)
    (data_path / _PROPERTIES).write_text(server_properties(settings.broker, ports), "utf-8")
    (data_path / "log4j2.properties").write_text(logging_properties(settings.broker), "utf-8")


def _format(java: str, jars: str, data_path: Path) -> None:
    """Gives the storage its identity; needed once."""
    # A leading dash would be read as an option.
    cluster_id = "-"
    while cluster_id.startswith("-"):
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    command = [java, "-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", jars]
    command += ["kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(data_path / _PROPERTIES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = _telling_line((done.stdout + done.stderr).splitlines())
        raise BrokerFailed(f"the broker's storage {data_path} cannot be formatted: {said}", "check the folder")


def _launch(java: str, jars: str, settings: Settings) -> int:
    data_path = settings.broker.data_path
    command = [
        java,
        f"-Xmx{settings.broker.heap_megabytes}m",
        "-XX:+UseG1GC",
        "-XX:MaxGCPauseMillis=20",
        "-XX:+ExitOnOutOfMemoryError",
        f"-Dlog4j2.configurationFile={(data_path / 'log4j2.properties').as_uri()}",
        "-cp",
        jars,
        "kafka.Kafka",
        str(data_path / _PROPERTIES),
    ]
    return start_detached(command, data_path / "logs" / "console.log")


class _PortTaken(Exception):
    """Another program bound the port between our look and the broker's."""


def _wait_until_ready(data_path: Path, state: _State) -> RunningBroker:
    cluster_id = _cluster_id(data_path)
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while not answers_as(state.ports.bootstrap_servers, cluster_id):
        if not state.is_alive(data_path):
            said = _telling_line((data_path / "logs" / "console.log").read_text("utf-8", "replace").splitlines())
            if "Address already in use" in said:
                raise _PortTaken(said)
            raise BrokerFailed(f"the broker ended while it started: {said}", _see_logs(data_path))
        if time.monotonic() > deadline:
            raise BrokerFailed(f"the broker is not ready after {START_TIMEOUT_SECONDS:.0f} s", _see_logs(data_path))
        time.sleep(0.1)
    _write_state(data_path, _State(state.pid, state.ports, ready=True))
    return RunningBroker(state.pid, state.ports.bootstrap_servers, data_path)


def _cluster_id(data_path: Path) -> str:
    lines = (data_path / "data" / "meta.properties").read_text("utf-8").splitlines()
    return next((line.partition("=")[2].strip() for line in lines if line.startswith("cluster.id=")), "")


def _telling_line(lines: list[str]) -> str:
    """The innermost cause in the output, else its last line that is no stack frame."""
    causes = [match.group(1) for line in lines if (match := _CAUSE.match(line))]
    rest = [line.strip() for line in lines if line.strip() and not line.startswith("\t")]
    return (causes or rest or ["it said nothing"])[-1]


def _see_logs(data_path: Path) -> str:
    return f"see {data_path / 'logs'}"


@contextlib.contextmanager
def _only_one(data_path: Path) -> Iterator[None]:
    """Keeps a second start or stop waiting until this one is done."""
    try:
        data_path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(data_path / "broker.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise BrokerFailed(f"cannot write {data_path}: {error.strerror}", "set broker.data_path") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read_state(data_path: Path) -> _State | None:
    try:
        found = json.loads((data_path / _STATE).read_text("utf-8"))
        return _State(int(found["pid"]), Ports(int(found["port"]), int(found["controller_port"])), bool(found["ready"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_state(data_path: Path, state: _State) -> None:
    content = {
        "pid": state.pid,
        "bootstrap_servers": state.ports.bootstrap_servers,
        "port": state.ports.clients,
        "controller_port": state.ports.controller,
        "ready": state.ready,
    }
    temporary = data_path / f".{_STATE}.tmp"
    temporary.write_text(json.dumps(content) + "\n", "utf-8")
    temporary.replace(data_path / _STATE)

"""The alerts of `sluice demo`: the real-time query at work on single readings, and how long each signal took."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from sluice.errors import StreamFailed, TopicMissing

if TYPE_CHECKING:
    from sluice.settings import Settings
    from sluice.sources.kafka_consumer import GroupReader
    from sluice.sources.kafka_records import RecordSender

READINGS, PER_SECOND, HOT_EVERY = 200, 50, 10
# Each reading that is too hot breaks the rule on 60 °C and that on the registered range.
SIGNALS = 2 * READINGS // HOT_EVERY
_START_SECONDS, _REST_SECONDS, _STOP_SECONDS = 240.0, 20.0, 20.0
_NO_LINGER = {"linger.ms": "0", "compression.type": "none"}


@dataclass(frozen=True)
class Heard:
    """What was sent, and how long its signals took.

    Attributes:
        sent: readings in all, with those that found out when the query was ready.
        milliseconds: per signal, from just before its reading was sent to the time Kafka has of the signal.
    """

    sent: int
    milliseconds: list[float]


def hear_alerts(settings: Settings, bootstrap_servers: str, folder: Path) -> Heard:
    """Starts the alert query, sends readings to it, and stops it again.

    Raises:
        StreamFailed: the query ended, or was not ready in time; names its log.
    """
    from sluice.sources.kafka import record_sender

    log = folder / "alerts.log"
    with _query(settings, bootstrap_servers, log) as process:
        sender = record_sender(bootstrap_servers, settings.kafka.topic, _NO_LINGER)
        try:
            with _listen(settings, bootstrap_servers, process, log) as reader:
                probes = _await_ready(settings, sender, reader, process, log)
                return _measure(settings, sender, reader, probes)
        finally:
            sender.close()


@contextmanager
def _query(settings: Settings, bootstrap_servers: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    chosen = {
        "LAKE__PATH": settings.lake.path,
        "KAFKA__BOOTSTRAP_SERVERS": bootstrap_servers,
        "SPARK__JAVA_OPTIONS": settings.spark.java_options,
    }
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", "from sluice.cli import main; main()", "alerts", "run"],
            env={**os.environ, **{f"SLUICE_{name}": str(value) for name, value in chosen.items()}},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _listen(settings: Settings, bootstrap_servers: str, process: subprocess.Popen[bytes], log: Path) -> GroupReader:
    from sluice.sources.kafka_consumer import group_reader

    topics = (settings.alerts.topic, settings.alerts.processed_topic)
    for _ in _patiently(process, log):
        try:
            return group_reader(bootstrap_servers, topics, None, settings.kafka.options)
        except TopicMissing:
            continue
    raise AssertionError("unreachable")


def _await_ready(
    settings: Settings, sender: RecordSender, reader: GroupReader, process: subprocess.Popen[bytes], log: Path
) -> int:
    probes = 0
    for _ in _patiently(process, log):
        _send(sender, "sensor-0500", 20.0)
        probes += 1
        if any(record.topic == settings.alerts.processed_topic for record in reader.poll(1.0, 1000)):
            break
    return probes


def _patiently(process: subprocess.Popen[bytes], log: Path) -> Iterator[None]:
    """Rounds until the query has had its time to start."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise StreamFailed("the alert query ended before it was ready", f"its output is in {log}")
        yield
        time.sleep(0.2)
    raise StreamFailed(f"the alert query was not ready within {_START_SECONDS:g} s", f"its output is in {log}")


def _measure(settings: Settings, sender: RecordSender, reader: GroupReader, probes: int) -> Heard:
    from sluice.alerting.signals import decode_signal

    began = time.monotonic()
    for number in range(READINGS):
        time.sleep(max(0.0, began + number / PER_SECOND - time.monotonic()))
        is_hot = number % HOT_EVERY == HOT_EVERY - 1
        _send(sender, f"sensor-{1 + number // HOT_EVERY % 10:04d}", 65.0 + number / 100 if is_hot else 20.0)
    taken: list[float] = []
    deadline = time.monotonic() + _REST_SECONDS
    while len(taken) < SIGNALS and time.monotonic() < deadline:
        for record in reader.poll(0.2, 1000):
            if record.topic == settings.alerts.topic:
                taken.append(record.timestamp_ms - decode_signal(record.value).event_time.timestamp() * 1000)
    return Heard(READINGS + probes, taken)


def _send(sender: RecordSender, device_id: str, temperature: float) -> None:
    from sluice.sources.kafka_records import OutgoingRecord

    moment = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    reading = {"schema_version": 1, "device_id": device_id, "timestamp": moment, "temperature": temperature}
    content = json.dumps({**reading, "humidity": 50.0}).encode()
    sender.send([OutgoingRecord(device_id.encode(), content, [])])

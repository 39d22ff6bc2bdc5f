"""Readings published at a steady rate, and how long each took until its signal was read from the topic of alerts.

Both clocks are this machine's: the moment just before a reading is given to the producer stands in it as its time,
and comes back as `event_time` of its signal; the other is the moment at which a consumer has the signal in its hands,
in a process of its own. So the time of the producer, both ways through the broker, the query and the consumer count.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from multiprocessing.connection import Connection
from pathlib import Path

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

DEVICES = 1000
_STEP_SECONDS = 0.001
# After the last reading, how long signals are waited for that were not yet read.
_REST_SECONDS = 10.0


@dataclass(frozen=True)
class Sample:
    """One signal: when its reading was published (seconds since 1970), and after how many seconds it was read."""

    published: float
    seconds: float


def percentile(values: Sequence[float], share: float) -> float:
    """The value that so large a share of the sorted values does not exceed; NaN of none."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


class Listener:
    """Reads the topic of alerts in a process of its own, from its end on."""

    def __init__(self, bootstrap_servers: str, topic: str) -> None:
        self._own, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.Process(target=_listen, args=(bootstrap_servers, topic, theirs), daemon=True)
        self._process.start()
        self._own.recv()

    def count(self, since: float) -> int:
        """How many signals it has read of readings that were published from then on."""
        self._own.send(since)
        return int(self._own.recv())

    def close(self) -> list[Sample]:
        """All it has read; a signal that came twice counts once, the first time."""
        self._own.send("close")
        samples: list[Sample] = self._own.recv()
        self._process.join(10)
        return samples


def _listen(bootstrap_servers: str, topic: str, parent: Connection) -> None:
    options = {"bootstrap.servers": bootstrap_servers, "group.id": "latency", "enable.auto.commit": False}
    consumer = Consumer({**options, "fetch.wait.max.ms": 500})
    consumer.assign(_ends_of(consumer, topic))
    found: dict[str, tuple[str, float]] = {}
    parent.send("ready")
    while True:
        # One by one: asked for several, the consumer waits for them.
        message = consumer.poll(0.01)
        now = time.time()
        if message is not None and message.error() is None:
            signal = json.loads(message.value() or b"{}")
            found.setdefault(signal["signal_id"], (signal["event_time"], now))
        if parent.poll():
            samples = [_sample(moment, read_at) for moment, read_at in found.values()]
            if (asked := parent.recv()) != "close":
                parent.send(sum(each.published >= asked for each in samples))
                continue
            parent.send(samples)
            return


def _ends_of(consumer: Consumer, topic: str) -> list[TopicPartition]:
    """Where a topic ends, once it is there: the query makes it shortly after it has chosen where to begin.

    By number: "latest" is looked up a moment after the assignment, and what comes meanwhile is passed over.
    """
    deadline = time.monotonic() + 30
    while True:
        try:
            numbers = consumer.list_topics(topic, 30).topics[topic].partitions
            ends = {each: consumer.get_watermark_offsets(TopicPartition(topic, each), 30)[1] for each in numbers}
        except KafkaException:
            ends = {}
        if ends:
            return [TopicPartition(topic, each, end) for each, end in ends.items()]
        if time.monotonic() > deadline:
            raise RuntimeError(f"there is no topic {topic}")
        time.sleep(0.1)


def _sample(moment: str, read_at: float) -> Sample:
    published = datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp()
    return Sample(published, read_at - published)


def publish(bootstrap_servers: str, topic: str, rate: int, seconds: float, share: float) -> int:
    """Sends readings at a steady rate, each by itself; of them the given share raises one signal.

    Returns:
        How many raise one.
    """
    producer = Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": 0, "acks": "1"})
    every = max(1, round(1 / share))
    began, sent = time.monotonic(), 0
    while (elapsed := time.monotonic() - began) < seconds:
        while sent < elapsed * rate:
            _send(producer, topic, sent, is_hot=sent % every == 0)
            sent += 1
        producer.poll(0)
        time.sleep(_STEP_SECONDS)
    producer.flush(30)
    return -(-sent // every)


def _send(producer: Producer, topic: str, number: int, *, is_hot: bool) -> None:
    now = datetime.fromtimestamp(time.time(), timezone.utc).isoformat(timespec="microseconds")
    device = f"sensor-{1 + number % DEVICES:04d}"
    text = (
        f'{{"schema_version": 2, "event_id": "{number}-{now}", "device_id": "{device}", "timestamp": "{now}", '
        f'"temperature": {44.5 if is_hot else 21.5}, "humidity": 48.2, "pressure": 1013.2, "battery_level": 87.0}}'
    )
    producer.produce(topic, text.encode(), device.encode())


def await_rest(listener: Listener, wanted: int, since: float) -> None:
    """Waits until so many signals were read, or for a while none came."""
    last, changed = -1, time.monotonic()
    while (count := listener.count(since)) < wanted and time.monotonic() - changed < _REST_SECONDS:
        if count != last:
            last, changed = count, time.monotonic()
        time.sleep(0.5)


def boundaries(checkpoint: Path, since: float, until: float) -> list[float]:
    """When batches were committed, in seconds since 1970."""
    moments = [path.stat().st_mtime for path in (checkpoint / "commits").glob("[0-9]*")]
    return sorted(moment for moment in moments if since <= moment <= until)

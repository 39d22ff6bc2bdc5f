"""What the benchmarks send: events of about 220 bytes, versions mixed, made and encoded before they leave."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from confluent_kafka import Producer

from sluice.simulator.plan import Plan, resolve_plan
from sluice.simulator.stream import message_batches

DEVICES = 1000
FAULTS = {"late": 0.01, "duplicate": 0.01, "corrupt": 0.005, "out_of_range": 0.01}
VERSIONS = {"1": 0.12, "2": 0.8, "reading": 0.08}
SEED = 7
# Event time of the first event of a backlog; fixed, so that every run has the same bytes.
BACKLOG_MS = 1_772_323_200_000
_DELIVERY = {
    "linger.ms": 50,
    "batch.size": 1_000_000,
    "compression.type": "none",
    "queue.buffering.max.messages": 1_000_000,
    "acks": "all",
}


def backlog(events: int, *, start_ms: int = BACKLOG_MS) -> Plan:
    """The events of a backlog: each device every five seconds, one after the other."""
    plan, _ = resolve_plan(
        now_ms=start_ms,
        start_ms=start_ms,
        rate=0,
        events=events,
        devices=DEVICES,
        seed=SEED,
        versions=VERSIONS,
        faults=FAULTS,
    )
    return plan


def fill(bootstrap_servers: str, topic: str, events: int) -> float:
    """Sends a backlog to a topic as fast as it goes; returns the mean size of a message in bytes."""
    producer = Producer({"bootstrap.servers": bootstrap_servers, **_DELIVERY})
    size = 0
    for batch in message_batches(backlog(events)):
        size += sum(map(len, batch.values))
        _send(producer, topic, zip(batch.keys, batch.values, strict=True))
    _flush(producer)
    return size / events


def send_paced(
    bootstrap_servers: str, topic: str, plan: Plan, rate: Callable[[float], float], seconds: float
) -> tuple[int, float]:
    """Sends a plan's messages, encoded beforehand, at a rate that may change; ends after so many seconds.

    Args:
        rate: messages a second, by the seconds since the start.

    Returns:
        Messages sent, and the processor seconds that sending them took.
    """
    messages = [pair for batch in message_batches(plan) for pair in zip(batch.keys, batch.values, strict=True)]
    producer = Producer({"bootstrap.servers": bootstrap_servers, **_DELIVERY, "linger.ms": 5})
    began, used = time.monotonic(), time.process_time()
    sent, due, last = 0, 0.0, 0.0
    while (now := time.monotonic() - began) < seconds and sent < len(messages):
        due, last = due + rate(now) * (now - last), now
        if count := min(int(due) - sent, len(messages) - sent):
            _send(producer, topic, iter(messages[sent : sent + count]))
            sent += count
        time.sleep(0.005)
    _flush(producer)
    return sent, time.process_time() - used


def _send(producer: Producer, topic: str, messages: Iterator[tuple[bytes, bytes]]) -> None:
    for key, value in messages:
        try:
            producer.produce(topic, value, key)
        except BufferError:
            producer.poll(0.5)
            producer.produce(topic, value, key)
    producer.poll(0)


def _flush(producer: Producer) -> None:
    if left := producer.flush(120):
        raise RuntimeError(f"{left} messages did not reach the broker")

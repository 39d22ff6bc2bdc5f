"""What the benchmarks send: events of about 220 bytes, versions mixed, made and encoded before they leave."""

from __future__ import annotations

from collections.abc import Iterator

from confluent_kafka import Producer
from pyspark.sql import SparkSession

from sluice.embedded.broker import start_broker, stop_broker
from sluice.pipelines.driver import Driver, StopSignal
from sluice.settings import Settings
from sluice.simulator.plan import Plan, resolve_plan
from sluice.simulator.stream import message_batches

DEVICES = 1000
FAULTS = {"late": 0.01, "duplicate": 0.01, "corrupt": 0.005, "out_of_range": 0.01}
VERSIONS = {"1": 0.12, "2": 0.8, "reading": 0.08}
SEED = 7
# Event time of the first event of a backlog; fixed, so that every run has the same bytes.
BACKLOG_MS = 1_772_323_200_000
DELIVERY = {
    "linger.ms": 50,
    "batch.size": 1_000_000,
    "compression.type": "none",
    "queue.buffering.max.messages": 1_000_000,
    "acks": "all",
}


def backlog(events: int) -> Plan:
    """The events of a backlog: each device every five seconds, one after the other."""
    return _plan(events, BACKLOG_MS)


def live(events: int, rate: float, start_ms: int) -> Plan:
    """The events of a stream that follows the clock: the same devices report so often that they send `rate` a second.

    Args:
        start_ms: the time of the first one, milliseconds since 1970.
    """
    return _plan(events, start_ms, DEVICES / rate)


def _plan(events: int, start_ms: int, interval_seconds: float | None = None) -> Plan:
    plan, _ = resolve_plan(
        now_ms=start_ms,
        start_ms=start_ms,
        rate=0,
        events=events,
        devices=DEVICES,
        interval_seconds=interval_seconds,
        seed=SEED,
        versions=VERSIONS,
        faults=FAULTS,
    )
    return plan


def fill(bootstrap_servers: str, topic: str, plan: Plan) -> float:
    """Sends a plan's messages to a topic as fast as it goes; returns their mean size in bytes."""
    producer = Producer({"bootstrap.servers": bootstrap_servers, **DELIVERY})
    size = sent = 0
    for batch in message_batches(plan):
        size += sum(map(len, batch.values))
        sent += len(batch.values)
        send(producer, topic, zip(batch.keys, batch.values, strict=True))
    if left := producer.flush(120):
        raise RuntimeError(f"{left} messages did not reach the broker")
    return size / sent


def fill_bronze(spark: SparkSession, settings: Settings, plan: Plan) -> None:
    """Sends a plan's messages to a broker of its own and lands them in bronze."""
    broker = start_broker(settings)
    try:
        fill(broker.bootstrap_servers, settings.kafka.topic, plan)
        Driver(spark, settings, broker.bootstrap_servers, StopSignal()).drain(["bronze"])
    finally:
        stop_broker(settings.broker.data_path, timeout_seconds=10)


def send(producer: Producer, topic: str, messages: Iterator[tuple[bytes, bytes]]) -> None:
    """Hands keys with values to a producer; waits where its queue is full."""
    for key, value in messages:
        try:
            producer.produce(topic, value, key)
        except BufferError:
            producer.poll(0.5)
            producer.produce(topic, value, key)
    producer.poll(0)

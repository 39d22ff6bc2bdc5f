"""The alert query as a user starts it, in real-time mode on a real broker: what it sends, and what a kill costs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer

from sluice.alerting.signals import decode_signal, signal_id_of
from sluice.embedded.broker import RunningBroker
from sluice.schemas import RULE_FAILED, TIME_OUT_OF_RANGE, TOO_LARGE
from tests.integration.conftest import BIN, ROOT, environment
from tests.streaming.conftest import reading
from tests.topics import new_topic
from tests.unit.transforms.messages import BERLIN_DEVICE, cases

_PATIENCE_SECONDS = 240.0
RULES = """
rules:
  - {id: hot, type: threshold, severity: critical, metric: temperature_celsius, above: 60, devices: ["hot-*"]}
  - {id: flat_battery, type: battery_low, severity: info, below_percent: 10, devices: ["hot-?"]}
  - {id: away, type: offline, severity: info, after_seconds: 60}
"""
# Its time zone stands in a registry that is not this one's.
CASES = sorted(
    (case for case in cases() if BERLIN_DEVICE.encode() not in (case.message or b"")),
    key=lambda case: case.message is None,
)
NOON = datetime(2024, 3, 1, 12, tzinfo=timezone.utc)


@dataclass
class Site:
    """A topic, a lake, and what was sent to the topics of the query so far.

    Attributes:
        signals: by signal_id how often it came.
        processed, refused: by (partition, offset) how often it came.
        codes: of refused records.
        duration_seconds: of a real-time batch. By default nothing is written down before a kill; and on a machine so
            busy that starting a batch takes longer than a short one lasts, none would read anything.
    """

    broker: RunningBroker
    folder: Path
    topics: dict[str, str]
    duration_seconds: int = 60
    signals: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    processed: dict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))
    refused: dict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))
    codes: dict[tuple[int, int], str] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, object]:
        rules = self.folder / "alerts.yaml"
        rules.write_text(RULES)
        return {
            "lake__path": self.folder / "lake",
            "kafka__bootstrap_servers": self.broker.bootstrap_servers,
            "kafka__topic": self.topics["raw"],
            "alerts__path": rules,
            "alerts__topic": self.topics["alerts"],
            "alerts__processed_topic": self.topics["processed"],
            "alerts__dead_letter_topic": self.topics["dlq"],
            "alerts__state_topic": self.topics["state"],
            "alerts__duration_seconds": self.duration_seconds,
            "alerts__driver_memory_megabytes": 1024,
        }

    @property
    def log(self) -> str:
        return (self.folder / "told.log").read_text("utf-8", "replace")

    def command(self, *options: str) -> subprocess.Popen[bytes]:
        with (self.folder / "told.log").open("ab") as log:
            return subprocess.Popen(
                [str(BIN / "sluice"), "alerts", "run", *options],
                env={**environment(**self.settings), "SPARK_LOCAL_DIRS": str(self.folder)},
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @contextmanager
    def running(self, *options: str) -> Iterator[subprocess.Popen[bytes]]:
        """The command in a session of its own; at the end it is killed, Python and JVM at once."""
        process = self.command(*options)
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)

    def send(self, messages: list[tuple[bytes | None, bytes | None]]) -> None:
        producer = KafkaProducer(bootstrap_servers=self.broker.bootstrap_servers, max_request_size=33_000_000)
        for key, value in messages:
            producer.send(self.topics["raw"], value, key=key, partition=0)
        producer.close()

    def await_that(self, is_so: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
        """Reads what comes until it is so."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not is_so():
            assert process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            for records in self._consumer.poll(timeout_ms=200).values():
                for record in records:
                    self._take(record)

    def listen(self) -> None:
        """Takes what stands in the topics from their beginning."""
        names = [self.topics[name] for name in ("alerts", "processed", "dlq")]
        self._consumer = KafkaConsumer(
            *names,
            bootstrap_servers=self.broker.bootstrap_servers,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=33_000_000,
        )

    def _take(self, record: Any) -> None:
        if record.topic == self.topics["alerts"]:
            self.signals[decode_signal(record.value).signal_id] += 1
        elif record.topic == self.topics["processed"]:
            content = json.loads(record.value)
            self.processed[content["partition"], content["offset"]] += 1
        else:
            headers = {name: value.decode() for name, value in record.headers}
            place = (int(headers["sluice-partition"]), int(headers["sluice-offset"]))
            self.refused[place] += 1
            self.codes[place] = headers["sluice-error-code"]


@pytest.fixture
def site(broker: RunningBroker, tmp_path: Path) -> Site:
    return open_site(broker, tmp_path)


def open_site(broker: RunningBroker, folder: Path, duration_seconds: int = 60) -> Site:
    """A place on a broker, its topics made."""
    made = {name: new_topic(broker, 2, name) for name in ("raw", "alerts", "processed", "dlq")}
    return Site(broker, folder, {**made, "state": f"state.{folder.name}"}, duration_seconds)


def hot(number: int) -> tuple[bytes, bytes]:
    """A hot reading, whose device the rules know, as key and value."""
    moment = (NOON + timedelta(milliseconds=number)).isoformat()
    event = reading(61.0, device_id="hot-1", event_id=f"h{number}", timestamp=moment, battery_level=50)
    return b"hot-1", json.dumps(event).encode()


def ids_of(numbers: range) -> set[str]:
    """The signals that hot readings raise."""
    return {
        signal_id_of("raise", "hot", "hot-1", NOON + timedelta(milliseconds=number), f"h{number}") for number in numbers
    }


def test_a_killed_query_loses_no_signal_and_each_hostile_message_leaves_once_as_what_it_is(site: Site) -> None:
    site.listen()
    sent = [(b"k" if case.message is None else None, case.message) for case in CASES]
    sent.append((None, os.urandom(20 * 1024 * 1024)))
    with site.running() as first:
        started = site.folder / "lake" / "_checkpoints" / "alerts" / "start.json"
        site.await_that(started.exists, first)
        # Spark is not up yet: what comes from now on is read.
        site.send([*sent, *map(hot, range(50))])
        second = site.command()
        assert second.wait(60) == 3
        assert "alerts of the lake" in site.log
        site.await_that(lambda: set(site.signals) == ids_of(range(50)), first)
        site.send([hot(number) for number in range(50, 300)])
    # Killed right after the records were there, in the middle of a batch whose offsets nobody has written down.
    with site.running() as again:
        site.send([hot(number) for number in range(300, 350)])
        wanted = {(0, offset) for offset in range(len(sent) + 350)}
        site.await_that(
            lambda: set(site.signals) >= ids_of(range(350)) and {*site.processed, *site.refused} >= wanted, again
        )
        twice = 350

        def both_queries_sent_it() -> bool:
            nonlocal twice
            site.send([hot(twice)])
            twice += 1
            return any(site.signals.get(each, 0) == 2 for each in ids_of(range(350, twice)))

        site.await_that(both_queries_sent_it, again)
        wanted = {(0, offset) for offset in range(len(sent) + twice)}
        site.await_that(lambda: {*site.processed, *site.refused} >= wanted, again)
    assert set(site.signals) == ids_of(range(twice))
    # The second query sends signals only: what is read once in this run leaves once.
    assert {site.processed[0, len(sent) + number] for number in range(350, twice)} == {1}
    assert set(site.processed) & set(site.refused) == set()
    assert set(site.processed) | set(site.refused) == wanted
    expected = {(0, number): case.outcome for number, case in enumerate(CASES) if isinstance(case.outcome, str)}
    expected[0, len(CASES)] = TOO_LARGE
    assert {place: site.codes.get(place) for place in expected} == expected
    assert {site.codes[place] for place in set(site.refused) - set(expected)} <= {RULE_FAILED, TIME_OUT_OF_RANGE}
    assert "3 rules" not in site.log
    assert "alerts: 2 rules on" in site.log
    assert "real-time mode, batches of 60 s, two beside each other" in site.log


@pytest.mark.soak
def test_in_micro_batches_it_sends_the_same_and_says_that_it_is_not_in_real_time_mode(site: Site) -> None:
    site.listen()
    with site.running("--mode", "micro") as process:
        site.await_that((site.folder / "lake" / "_checkpoints" / "alerts" / "start.json").exists, process)
        site.send([hot(0), (None, b"{")])
        site.await_that(lambda: bool(site.signals) and bool(site.refused), process)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == 0
    assert dict(site.signals) == dict.fromkeys(ids_of(range(1)), 1)
    assert dict(site.processed) == {(0, 0): 1}
    assert dict(site.refused) == {(0, 1): 1}
    assert "micro-batches every 0.2 s, not in real-time mode" in site.log

"""A place of its own for a test of the dispatcher: topics, lake, rules and channels on a shared broker."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import yaml

from sluice.alerting.running import Dispatch
from sluice.alerting.signals import Signal, encode_signal, signal_id_of
from sluice.embedded.broker import RunningBroker
from sluice.schemas import GOLD_ALERTS
from sluice.serving.lake import open_lake
from sluice.settings import Settings, load_settings
from sluice.sources.kafka import record_sender
from sluice.sources.kafka_consumer import Record, group_reader
from sluice.sources.kafka_records import OutgoingRecord
from sluice.sources.kafka_topics import OwnTopic, make_topics

START = datetime.now(timezone.utc) - timedelta(hours=1)
RULE = {"id": "hot", "type": "threshold", "severity": "critical", "metric": "temperature_celsius", "above": 60}


def raised(seconds: float, subject: str = "d1", kind: Any = "raise", rule_id: str = "hot") -> Signal:
    """A signal of an hour ago, and so many seconds."""
    moment = START + timedelta(seconds=seconds)
    name = signal_id_of(kind, rule_id, subject, moment, None)
    return Signal(name, kind, rule_id, "warning", subject, moment, device_id=subject, value=61.0, threshold=60.0)


@dataclass
class AlertSite:
    """One dispatcher's world.

    Attributes:
        channels: as in conf/alerts.yaml; the file `log` unless told otherwise.
        rules: likewise; one, `hot`, to all channels.
    """

    folder: Path
    bootstrap_servers: str
    channels: dict[str, Any] = field(default_factory=dict)
    rules: list[dict[str, Any]] = field(default_factory=list)
    name: str = field(default_factory=lambda: f"t{uuid.uuid4().hex[:10]}")

    def __post_init__(self) -> None:
        self.channels = self.channels or {"log": {"type": "file", "path": str(self.lines_path)}}
        self.rules = self.rules or [{**RULE, "cooldown_seconds": 0, "channels": list(self.channels)}]
        self.write()
        make_topics(self.bootstrap_servers, [OwnTopic(self.settings.alerts.topic, partitions=2)], {})

    @property
    def lines_path(self) -> Path:
        """Where the channel `log` writes."""
        return self.folder / "alerts.jsonl"

    def write(self) -> None:
        """Writes rules and channels down as they are now."""
        (self.folder / "alerts.yaml").write_text(yaml.safe_dump({"channels": self.channels, "rules": self.rules}))

    @property
    def options(self) -> dict[str, object]:
        """The settings that differ from the defaults."""
        topics = {f"alerts.{key}": f"{self.name}.{key}" for key in ("topic", "state_topic", "dead_letter_topic")}
        return {
            **topics,
            "alerts.path": str(self.folder / "alerts.yaml"),
            "dispatch.path": str(self.folder / "dispatch"),
            "dispatch.notice_topic": f"{self.name}.notices",
            "dispatch.group": self.name,
            "dispatch.log_seconds": 0.2,
            "lake.path": str(self.folder / "lake"),
            "kafka.bootstrap_servers": self.bootstrap_servers,
        }

    @property
    def settings(self) -> Settings:
        """Those in force."""
        return load_settings(options=self.options, environment={})

    def environment(self) -> dict[str, str]:
        """The same for a process."""
        return {f"SLUICE_{key.upper().replace('.', '__')}": str(value) for key, value in self.options.items()}

    def send(self, *signals: Signal) -> None:
        """Sends signals as the query does."""
        self.send_raw(*[(signal.subject.encode(), encode_signal(signal)) for signal in signals])

    def send_raw(self, *messages: tuple[bytes | None, bytes | None]) -> None:
        """Sends messages to the topic of signals."""
        sender = record_sender(self.bootstrap_servers, self.settings.alerts.topic, {})
        sender.send([OutgoingRecord(key, value, []) for key, value in messages])
        sender.close()

    def dispatch(self, **odd: Any) -> Dispatch:
        """A dispatcher."""
        return Dispatch(self.settings, lambda: self.bootstrap_servers, **odd)

    def run_once(self, **odd: Any) -> None:
        """Deals with all that is there."""
        self.dispatch(**odd).run(once=True)

    @contextmanager
    def running(self, **odd: Any) -> Iterator[Dispatch]:
        """A dispatcher at work in a thread."""
        dispatch = self.dispatch(**odd)
        thread = threading.Thread(target=dispatch.run, daemon=True)
        thread.start()
        try:
            yield dispatch
        finally:
            dispatch.stop.set()
            thread.join(30)

    def lines(self) -> list[dict[str, Any]]:
        """What the channel `log` has written."""
        return (
            [json.loads(line) for line in self.lines_path.read_text().splitlines()] if self.lines_path.exists() else []
        )

    def told(self) -> Counter[tuple[str, str]]:
        """The same, as subject and status."""
        return Counter((line["subject"], line["status"]) for line in self.lines())

    def rows(self) -> list[dict[str, Any]]:
        """The rows of gold/alerts, by their first event."""
        found = open_lake(self.folder / "lake").arrow(GOLD_ALERTS.full_name).to_pylist()
        return sorted(found, key=lambda row: (row["first_event_time"], row["subject"]))

    def records(self, topic: str) -> list[Record]:
        """All that a topic holds."""
        with group_reader(self.bootstrap_servers, [topic], None, {}) as reader:
            return reader.read_to_end()


def site_on(broker: RunningBroker, folder: Path, **odd: Any) -> AlertSite:
    """A place on a broker."""
    return AlertSite(folder, broker.bootstrap_servers, **odd)


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    """Returns once the condition holds; it fails where that takes longer than so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def ids_by_alert(bodies: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], set[str]]:
    """Under which ids of messages each alert and status was told."""
    found: dict[tuple[str, str], set[str]] = {}
    for body in bodies:
        for alert in body["alerts"]:
            found.setdefault((alert["alert_id"], alert["status"]), set()).add(body["id"])
    return found

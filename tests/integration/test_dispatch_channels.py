"""The channels `kafka` and `pagerduty` of a dispatcher at work: what they hand on, and what faults leave of it."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer
from tests.integration.alert_site import AlertSite, raised, site_on, wait_for
from tests.integration.receivers import Answer, HttpReceiver, http_receiver
from tests.streaming.test_broker_away import Fault, bring_back, broker_of, freeze, kill, mortal, stop
from tests.topics import new_topic

from sluice.alerting.dead_letters import DeadLetterFile
from sluice.alerting.replaying import replay_letters
from sluice.alerting.state import alert_id_of
from sluice.embedded.broker import RunningBroker
from sluice.settings import Settings
from sluice.sources.kafka_consumer import Record

__all__ = ["mortal"]


def topic_channel(broker: RunningBroker, **odd: Any) -> dict[str, Any]:
    """A topic of its own as a channel."""
    return {"type": "kafka", "topic": new_topic(broker, 2, "told"), "retry_seconds": 0.2, **odd}


def told(site: AlertSite) -> list[Record]:
    return site.records(site.channels["topic"]["topic"])


def ids(site: AlertSite) -> dict[tuple[str, str], set[str]]:
    """By subject and status the ids of the messages that the records of the channel came with."""
    topic = site.channels["topic"]["topic"]
    consumer = KafkaConsumer(
        topic, bootstrap_servers=site.bootstrap_servers, auto_offset_reset="earliest", consumer_timeout_ms=3_000
    )
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for record in consumer:
        alert = json.loads(record.value)
        found[alert["subject"], alert["status"]].add(dict(record.headers)["sluice-message-id"].decode())
    consumer.close()
    return dict(found)


def test_each_alert_and_status_is_a_record_with_the_subject_as_key(broker: RunningBroker, tmp_path: Path) -> None:
    site = site_on(broker, tmp_path, channels={"topic": topic_channel(broker)})
    site.send(raised(0), raised(1, "d2"), raised(5, kind="clear"))
    site.run_once(with_log=False)
    records = [(record.key, json.loads(record.value or b"")) for record in told(site)]
    assert sorted((key, alert["subject"], alert["status"]) for key, alert in records) == [
        (b"d1", "d1", "firing"),
        (b"d1", "d1", "resolved"),
        (b"d2", "d2", "firing"),
    ]
    expected = {alert_id_of("hot", name, raised(at, name).event_time) for at, name in ((0, "d1"), (1, "d2"))}
    assert {alert["alert_id"] for _, alert in records} == expected


def test_what_was_sent_before_a_death_is_sent_again_under_the_same_id(broker: RunningBroker, tmp_path: Path) -> None:
    site = site_on(broker, tmp_path, channels={"topic": topic_channel(broker)})
    # One subject, so that one poll brings both, and they are one message.
    site.send(raised(0), raised(1, kind="clear"))
    site.run_once(with_log=False)
    before = ids(site)
    # As a death leaves it after the records were acknowledged: the message noted, and its end not committed.
    with site.dispatch().open_notices("topic") as reader:
        ends = reader.ends()
        reader.commit(dict.fromkeys(ends, 0), {place: json.dumps({"until": end}) for place, end in ends.items()})
    site.send(raised(0, "d2"))
    site.run_once(with_log=False)
    after = ids(site)
    assert len(told(site)) == 5
    assert {key: after[key] for key in before} == before
    assert after["d2", "firing"].isdisjoint(set().union(*before.values()))


@pytest.mark.soak
@pytest.mark.parametrize("fault", [kill, stop, freeze], ids=["killed", "stopped", "frozen"])
def test_a_broker_that_goes_away_before_an_alert_is_told_delays_it(
    mortal: Settings, tmp_path: Path, fault: Fault
) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    broker = broker_of(mortal)
    site = site_on(broker, folder, channels={"topic": topic_channel(broker, group_seconds=2)})
    with site.running(with_log=False):
        site.send(raised(0))
        wait_for(lambda: len(told(site)) == 1)
        # The notice is there, and waits for others: so the channel holds a connection and something to send.
        site.send(raised(0, "d2"))
        wait_for(lambda: len(site.records(site.settings.dispatch.notice_topic)) == 2)
        fault(mortal)
        pause_until_noticed()
        bring_back(mortal)
        site.send(raised(1, kind="clear"))
        wait_for(lambda: len(ids(site)) == 3, seconds=180)
    assert {len(each) for each in ids(site).values()} == {1}
    assert not (folder / "dispatch").exists()


def pause_until_noticed() -> None:
    """Longer than the channel waits before it sends, and than a first attempt takes to fail."""
    time.sleep(20)


@pytest.fixture
def pager() -> Iterator[HttpReceiver]:
    with http_receiver() as receiver:
        yield receiver


@pytest.fixture
def paged(broker: RunningBroker, pager: HttpReceiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AlertSite:
    """A dispatcher that gives two alerts of a message incidents of their own."""
    monkeypatch.setenv("PAGER_KEY", "key")
    target = {"url": f"http://127.0.0.1:{pager.port}/", "hosts": ["127.0.0.1"], "allow_http": True}
    pace = {"max_alerts": 2, "max_attempts": 1, "group_seconds": 0.3, "messages_per_minute": 6000}
    channel = {"type": "pagerduty", "routing_key": {"env": "PAGER_KEY"}, "allow_private": True, **target, **pace}
    return site_on(broker, tmp_path, channels={"pager": channel})


def open_incidents(pager: HttpReceiver) -> set[str]:
    """What the receiver has open: a trigger opens, a resolve closes, whatever else was sent."""
    found: set[str] = set()
    for event in (json.loads(each.body) for each in pager.received):
        if event["event_action"] == "trigger":
            found.add(event["dedup_key"])
        elif event["event_action"] == "resolve":
            found.discard(event["dedup_key"])
    return found


def incident(device: str) -> str:
    return alert_id_of("hot", device, raised(0, device).event_time)


def test_an_incident_of_many_alerts_ends_with_the_last_of_them_across_restarts(
    paged: AlertSite, pager: HttpReceiver
) -> None:
    devices = [f"d{number}" for number in range(5)]
    paged.send(*[raised(0, device) for device in devices])
    paged.run_once(with_log=False)
    opened = open_incidents(pager)
    own = opened & {incident(device) for device in devices}
    (together,) = opened - own
    assert len(own) == 2
    for count, device in enumerate(devices, 1):
        paged.send(raised(1, device, "clear"))
        paged.run_once(with_log=False)
        own.discard(incident(device))
        assert open_incidents(pager) == (own | {together} if count < len(devices) else set())


def test_what_was_given_up_opens_no_incident_once_it_is_over(paged: AlertSite, pager: HttpReceiver) -> None:
    pager.answers.append(Answer(500))
    paged.send(raised(0, "d1"), raised(0, "d2"))
    paged.run_once(with_log=False)
    assert len(DeadLetterFile(paged.settings.dispatch.path, "pager").read()) == 1
    paged.send(raised(1, "d1", "clear"))
    paged.run_once(with_log=False)
    outcome = replay_letters(paged.dispatch(), None)["pager"]
    assert (outcome.delivered, outcome.failed) == (1, 0)
    # The first attempt was answered with 500, so that nothing came of it.
    del pager.received[0]
    assert open_incidents(pager) == {incident("d2")}

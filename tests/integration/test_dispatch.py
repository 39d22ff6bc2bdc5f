"""The dispatcher on a real broker: signals in, alerts kept and told, whatever becomes of receivers and messages."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.integration.alert_site import START, AlertSite, raised, site_on, wait_for
from tests.integration.receivers import Answer, HttpReceiver, free_port, http_receiver
from tests.unit.serving.lake_builder import build_lake

from sluice.alerting.configuration import load_configuration
from sluice.alerting.dead_letters import DeadLetterFile
from sluice.alerting.dispatcher import Dispatcher
from sluice.alerting.replaying import replay_letters
from sluice.alerting.running import Dispatch
from sluice.cli import run_command
from sluice.embedded.broker import RunningBroker
from sluice.errors import DispatcherReplaced, LayerLocked, TopicUnsuited
from sluice.pipelines.alert_start import NAME as QUERY
from sluice.sources.kafka_topics import OwnTopic, make_topics
from sluice.tables.lake import Lake, own_layer

SECRET = "whsec_" + "Q0FOQVJZ" * 4


@pytest.fixture
def site(broker: RunningBroker, tmp_path: Path) -> AlertSite:
    return site_on(broker, tmp_path)


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)


def hook(port: int, **odd: Any) -> dict[str, Any]:
    """A webhook on loopback that is tried fast."""
    known = {"type": "webhook", "url": f"http://127.0.0.1:{port}/", "hosts": ["127.0.0.1"], "allow_http": True}
    fast = {"group_seconds": 0, "messages_per_minute": 6000, "retry_seconds": 0.05, "timeout_seconds": 20}
    return {**known, "allow_private": True, "secrets": [{"env": "HOOK_SECRET"}], **fast, **odd}


def bodies(receiver: HttpReceiver) -> list[dict[str, Any]]:
    return [json.loads(each.body) for each in receiver.received]


def work_until(dispatcher: Dispatcher, condition: Callable[[], bool]) -> None:
    while not condition():
        dispatcher.work(0.2)


def test_signals_become_alerts_that_are_told_once_and_logged(site: AlertSite) -> None:
    site.send(raised(0), raised(5), raised(5), raised(1, "d2"), raised(9, kind="clear"), raised(20))
    site.run_once()
    assert site.told() == {("d1", "firing"): 2, ("d1", "resolved"): 1, ("d2", "firing"): 1}
    # All of them again, as after a crash of the query: nothing new.
    site.send(raised(0), raised(5), raised(1, "d2"), raised(9, kind="clear"), raised(20))
    site.run_once()
    assert sum(site.told().values()) == 4
    rows = site.rows()
    assert [(row["subject"], row["status"], row["signal_count"]) for row in rows] == [
        ("d1", "resolved", 2),
        ("d2", "firing", 1),
        ("d1", "firing", 1),
    ]
    assert len({row["alert_id"] for row in rows}) == 3
    assert {row["alert_id"] for row in rows} == {line["alert_id"] for line in site.lines()}


def test_poison_is_kept_with_its_reason_and_stops_nothing(site: AlertSite) -> None:
    late = b'{"signal_id": "x", "kind": "raise", "rule_id": "hot", "severity": "info", "subject": "d", "event_time": '
    site.send_raw(
        (b"k", b"\xff\x00"),
        (b"k", None),
        (b"k", b"[" * 60_000),
        (b"k", late + b'"9999-01-01T00:00:00Z"}'),
        (b"k", late + b'"1999-01-01T00:00:00Z"}'),
        (b"k", b'{"kind": "ack", "alert_id": "al-0", "rule_id": "hot", "subject": "d", "by": "a", "why": "b"}'),
    )
    site.send(raised(0, rule_id="unheard_of"), raised(0))
    site.run_once()
    assert site.told() == {("d1", "firing"): 1}
    letters = [(record.value, record) for record in site.records(site.settings.alerts.dead_letter_topic)]
    assert len(letters) == 7
    assert {value[:3] if value else value for value, _ in letters} >= {b"\xff\x00", None, b"[[["}


def test_a_channel_that_hangs_delays_no_other(broker: RunningBroker, tmp_path: Path) -> None:
    with http_receiver() as receiver:
        receiver.answers.append(Answer(hang=True))
        log = {"type": "file", "path": str(tmp_path / "alerts.jsonl")}
        site = site_on(broker, tmp_path, channels={"hung": hook(receiver.port), "log": log})
        with site.running(with_log=False):
            site.send(raised(0))
            wait_for(lambda: site.told() == {("d1", "firing"): 1} and receiver.received)
            site.send(raised(1, "d2"))
            wait_for(lambda: len(site.lines()) == 2)
            assert len(receiver.received) == 1
            receiver.closing.set()


def test_what_fails_is_tried_again_with_the_same_id_and_retry_after_is_honoured(
    broker: RunningBroker, tmp_path: Path
) -> None:
    with http_receiver() as receiver:
        receiver.answers += [Answer(500), Answer(429, {"retry-after": "1"})]
        site = site_on(broker, tmp_path, channels={"hook": hook(receiver.port)})
        site.send(raised(0))
        start = time.monotonic()
        site.run_once(with_log=False)
        assert time.monotonic() - start >= 1
        assert len({each.headers["webhook-id"] for each in receiver.received}) == 1
        assert len(receiver.received) == 3


def test_what_nobody_takes_is_kept_and_delivered_again_with_the_same_id(
    broker: RunningBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with http_receiver() as receiver:
        receiver.answers += [Answer(500)] * 3
        site = site_on(broker, tmp_path, channels={"hook": hook(receiver.port, max_attempts=3)})
        site.send(raised(0))
        site.run_once(with_log=False)
        (letter,) = DeadLetterFile(tmp_path / "dispatch", "hook").read()
        assert (letter.reason, letter.attempts) == ("it answers 500", 3)
        (copy,) = site.records(site.settings.alerts.dead_letter_topic)
        assert json.loads(copy.value or b"") == letter.message.as_json()

        for name, value in site.environment().items():
            monkeypatch.setenv(name, value)
        receiver.answers.append(Answer(503))
        assert run_command(["dispatch", "replay", "--channel", "hook", "--json"]) == 1
        assert json.loads(capsys.readouterr().out) == {"hook": {"delivered": 0, "failed": 1, "unreadable": 0}}
        assert run_command(["dispatch", "replay"]) == 0
        assert capsys.readouterr().out == "channel hook: 1 delivered, 0 failed again\n"
        assert run_command(["dispatch", "replay"]) == 0
        assert len({each.headers["webhook-id"] for each in receiver.received}) == 1
        assert len(receiver.received) == 5
        assert run_command(["dispatch", "replay", "--channel", "other"]) == 2


def test_a_channel_that_cannot_be_reached_at_the_start_does_not_stop_the_rest(
    broker: RunningBroker, tmp_path: Path
) -> None:
    log = {"type": "file", "path": str(tmp_path / "alerts.jsonl")}
    channels = {"gone": hook(free_port(), max_attempts=2), "log": log}
    site = site_on(broker, tmp_path, channels=channels)
    site.send(raised(0))
    site.run_once(with_log=False)
    assert site.told() == {("d1", "firing"): 1}
    assert [letter.reason for letter in DeadLetterFile(tmp_path / "dispatch", "gone").read()] == ["cannot connect"]


def test_a_thousand_alerts_at_once_are_few_messages_that_say_how_many(broker: RunningBroker, tmp_path: Path) -> None:
    with http_receiver() as receiver:
        site = site_on(broker, tmp_path, channels={"hook": hook(receiver.port, group_seconds=0.5, max_alerts=3)})
        site.send(*[raised(0, f"d{number}") for number in range(1000)])
        site.run_once(with_log=False)
        told = bodies(receiver)
        assert len(told) <= 3
        assert sum(body["count"] for body in told) == 1000
        assert all(len(body["alerts"]) == 3 for body in told)


def test_an_acknowledgement_reaches_alert_channel_and_table(
    site: AlertSite, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in site.environment().items():
        monkeypatch.setenv(name, value)
    site.send(raised(0))
    with site.running():
        wait_for(lambda: site.lines())
        alert_id = site.lines()[0]["alert_id"]
        assert run_command(["alerts", "ack", alert_id[:12], "--by", "ann", "--why", "on my way"]) == 0
        assert capsys.readouterr().out == f"{alert_id} is acknowledged\n"
        wait_for(lambda: site.told() == {("d1", "firing"): 1, ("d1", "acknowledged"): 1})
        assert run_command(["alerts", "ack", alert_id, "--by", "bob", "--why", "me too"]) == 0
        assert capsys.readouterr().out == f"{alert_id} was acknowledged already by ann\n"
        wait_for(lambda: site.rows()[0]["status"] == "acknowledged")
    assert run_command(["alerts", "show", alert_id, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["acknowledged_by"], shown["acknowledged_why"]) == ("ann", "on my way")
    assert run_command(["alerts", "ack", "al-000000", "--by", "ann", "--why", "x"]) == 1
    # Without a broker as the table has it.
    monkeypatch.setenv("SLUICE_KAFKA__BOOTSTRAP_SERVERS", f"127.0.0.1:{free_port()}")
    capsys.readouterr()
    assert run_command(["alerts", "ls", "--status", "acknowledged", "--device", "d1"]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[1].split()[:5] == [alert_id[:15], "critical", "acknowledged", "hot", "d1"]
    assert captured.err.startswith("as gold/alerts has them; no Kafka broker answers")


@pytest.mark.soak
def test_an_acknowledgement_waits_for_a_dispatcher_that_does_not_run(
    site: AlertSite, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in site.environment().items():
        monkeypatch.setenv(name, value)
    site.send(raised(0))
    site.run_once()
    alert_id = site.lines()[0]["alert_id"]
    assert run_command(["alerts", "ack", alert_id, "--by", "ann", "--why", "seen", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["done"] is False
    site.run_once()
    assert site.told() == {("d1", "firing"): 1, ("d1", "acknowledged"): 1}


@pytest.mark.soak
def test_a_new_channel_begins_with_what_happens_from_then_on(site: AlertSite) -> None:
    site.send(raised(0))
    site.run_once(with_log=False)
    second = site.folder / "second.jsonl"
    site.channels["second"] = {"type": "file", "path": str(second)}
    site.rules[0]["channels"] = ["log", "second"]
    site.write()
    site.send(raised(9, kind="clear"))
    site.run_once(with_log=False)
    assert [json.loads(line)["status"] for line in second.read_text().splitlines()] == ["resolved"]


def test_an_alert_whose_rule_is_taken_out_is_resolved(site: AlertSite) -> None:
    site.send(raised(0))
    site.run_once()
    site.rules[0]["id"] = "another"
    site.write()
    site.run_once()
    (row,) = site.rows()
    assert (row["status"], row["resolved_why"]) == ("resolved", "its rule is no longer defined")
    assert site.told() == {("d1", "firing"): 1, ("d1", "resolved"): 1}


def test_an_alert_that_another_has_replaced_since_is_logged_all_the_same(site: AlertSite) -> None:
    """The compacted topic may hold only the second; the notices tell of both."""
    site.send(raised(0), raised(1, kind="clear"), raised(2))
    site.run_once(with_log=False)
    site.run_once()
    assert [(row["status"], row["signal_count"]) for row in site.rows()] == [("resolved", 1), ("firing", 1)]


def test_alerts_are_logged_while_the_alert_query_works_on_the_lake(site: AlertSite) -> None:
    lake = Lake(site.settings.lake.path)
    lake.prepare()
    site.send(raised(0))
    with own_layer(lake, QUERY):
        site.run_once()
    assert [row["subject"] for row in site.rows()] == ["d1"]


def test_rules_over_tables_raise_and_what_is_back_within_its_limits_resolves(site: AlertSite) -> None:
    site.rules.append(
        {"id": "gone", "type": "offline", "severity": "warning", "after_seconds": 60, "channels": ["log"]}
    )
    site.write()
    site.send(raised(0))
    site.run_once(with_log=False)
    back = {"metric": "temperature_celsius", "value": 20.0, "event_time": START + timedelta(seconds=30)}
    build_lake(site.folder / "lake", {"gold.latest_readings": [{**back, "device_id": "d1"}]})
    # Its signals are among those that it then deals with.
    site.run_once(with_log=False)
    assert site.told() == {("d1", "firing"): 2, ("d1", "resolved"): 1}
    assert {(line["rule_id"], line["status"]) for line in site.lines()} == {
        ("hot", "firing"),
        ("hot", "resolved"),
        ("gone", "firing"),
    }


def test_a_second_dispatcher_for_the_lake_is_refused_and_one_elsewhere_takes_over(
    site: AlertSite, tmp_path: Path
) -> None:
    with site.running(with_log=False):
        site.send(raised(0))
        wait_for(lambda: site.lines())
        with pytest.raises(LayerLocked, match="dispatch of the lake"):
            site.run_once()
    configuration = load_configuration(site.settings)
    first = Dispatcher(site.settings, configuration, site.bootstrap_servers)
    second = Dispatcher(site.settings, configuration, site.bootstrap_servers)
    site.send(raised(9, kind="clear"))
    with pytest.raises(DispatcherReplaced):
        work_until(first, lambda: False)
    work_until(second, lambda: not second.open_alerts())
    first.close()
    second.close()


def test_a_topic_of_state_that_is_not_compacted_is_refused(site: AlertSite) -> None:
    make_topics(site.bootstrap_servers, [OwnTopic(site.settings.alerts.state_topic)], {})
    with pytest.raises(TopicUnsuited, match=r"has cleanup.policy=delete, and needs compact"):
        site.run_once()


def test_no_secret_stands_in_logs_letters_or_topics(
    broker: RunningBroker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    with http_receiver() as receiver:
        receiver.answers += [Answer(500, body=SECRET.encode()), Answer(302, {"location": "http://x/" + SECRET})]
        url = hook(receiver.port)["url"] + "token-CANARY"
        site = site_on(broker, tmp_path, channels={"hook": hook(receiver.port, url=url)})
        site.send(raised(0))
        site.run_once()
        topics = [site.settings.alerts.dead_letter_topic, site.settings.dispatch.notice_topic]
        told = [caplog.text, (tmp_path / "dispatch" / "hook.jsonl").read_text()]
        told += [str(site.records(topic)) for topic in topics]
        assert "it answers 302" in told[1]
        assert not any(canary in text for text in told for canary in ("CANARY", "Q0FOQVJZ"))


@pytest.mark.parametrize("setting", ["secret", "rule"])
def test_what_is_wrong_with_the_file_is_one_clear_line(
    site: AlertSite, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], setting: str
) -> None:
    for name, value in site.environment().items():
        monkeypatch.setenv(name, value)
    if setting == "secret":
        monkeypatch.delenv("HOOK_SECRET")
        site.channels["hook"] = hook(free_port())
        line = "sluice: channel hook: the environment has no HOOK_SECRET"
    else:
        site.rules.append(site.rules[0])
        line = f"sluice: {site.folder}/alerts.yaml: the rule id 'hot' stands there 2 times"
    site.write()
    assert run_command(["dispatch", "--once"]) == 2
    assert capsys.readouterr().err.splitlines()[0] == line


@pytest.mark.soak
def test_replay_of_a_channel_that_is_not_defined_any_more_keeps_its_letters(
    broker: RunningBroker, tmp_path: Path
) -> None:
    site = site_on(broker, tmp_path, channels={"gone": hook(free_port(), max_attempts=1)})
    site.send(raised(0))
    site.run_once(with_log=False)
    site.channels = {"log": {"type": "file", "path": str(site.lines_path)}}
    site.rules[0]["channels"] = ["log"]
    site.write()
    assert replay_letters(Dispatch(site.settings, lambda: site.bootstrap_servers), None) == {}
    assert len(DeadLetterFile(tmp_path / "dispatch", "gone").read()) == 1


@pytest.mark.soak
def test_every_notice_of_a_busy_hour_is_told_exactly_once_where_nothing_fails(site: AlertSite) -> None:
    signals = [
        raised(float(step), f"d{device}", "clear" if step % 3 == 2 else "raise")
        for step in range(12)
        for device in range(40)
    ]
    site.send(*signals, *signals[:200])
    site.run_once()
    expected = Counter({(f"d{device}", status): 4 for device in range(40) for status in ("firing", "resolved")})
    assert site.told() == expected
    assert len(site.rows()) == 160

"""kill -9 of `sluice dispatch`, and a broker that goes and comes: no alert is lost, none is told under two ids."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.integration.alert_site import AlertSite, ids_by_alert, raised, site_on, wait_for
from tests.integration.receivers import Answer, HttpReceiver, http_receiver

from sluice.embedded.broker import RunningBroker, start_broker, stop_broker
from sluice.settings import load_settings

SECRET = "whsec_" + "Q0FOQVJZ" * 4
DEVICES = 30


def hook(port: int, **odd: Any) -> dict[str, Any]:
    """A webhook on loopback that is tried fast, and lists all alerts."""
    known = {"type": "webhook", "url": f"http://127.0.0.1:{port}/", "hosts": ["127.0.0.1"], "allow_http": True}
    fast = {"group_seconds": 0, "messages_per_minute": 60_000, "retry_seconds": 0.05, "max_alerts": 1000}
    return {**known, "allow_private": True, "secrets": [{"env": "HOOK_SECRET"}], **fast, **odd}


@contextmanager
def process(site: AlertSite, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """`sluice dispatch` as a process, killed in the end."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SLUICE_")}
    home = {key: os.environ[key] for key in ("SLUICE_HOME",) if key in os.environ}
    started = subprocess.Popen(
        [sys.executable, "-c", "from sluice.cli import main; main()", "dispatch", *options],
        env={**kept, **home, **site.environment(), "HOOK_SECRET": SECRET},
        stderr=subprocess.DEVNULL,
    )
    try:
        yield started
    finally:
        started.send_signal(signal.SIGKILL)
        started.wait()


def told(receiver: HttpReceiver) -> dict[tuple[str, str], set[str]]:
    return ids_by_alert(json.loads(each.body) for each in receiver.received)


def expected_alerts(site: AlertSite) -> set[tuple[str, str]]:
    """What an undisturbed run of the same signals tells: each device fires, is resolved, and fires again."""
    from sluice.alerting.state import alert_id_of

    return {
        (alert_id_of("hot", f"d{device}", raised(seconds, f"d{device}").event_time), status)
        for device in range(DEVICES)
        for seconds, status in ((0, "firing"), (0, "resolved"), (2, "firing"))
    }


def send_all(site: AlertSite) -> None:
    for device in range(DEVICES):
        name = f"d{device}"
        site.send(raised(0, name), raised(0, name), raised(1, name, "clear"), raised(2, name), raised(2, name))


def test_a_kill_between_state_and_delivery_loses_nothing_and_repeats_under_the_same_id(
    broker: RunningBroker, tmp_path: Path
) -> None:
    with http_receiver() as receiver:
        site = site_on(broker, tmp_path, channels={"hook": hook(receiver.port)})
        # The state is committed and the message on its way, but never answered.
        receiver.answers.append(Answer(hang=True))
        site.send(*[raised(0, f"d{device}") for device in range(3)])
        with process(site, "--no-log") as first:
            wait_for(lambda: receiver.received)
            first.send_signal(signal.SIGKILL)
        # More alerts come while nobody runs: they must not join the message that was begun.
        site.send(*[raised(0, f"d{device}") for device in range(3, 6)])
        environment = pytest.MonkeyPatch()
        environment.setenv("HOOK_SECRET", SECRET)
        site.run_once(with_log=False)
        environment.undo()
        bodies = [json.loads(each.body) for each in receiver.received]
        assert bodies[0] == bodies[1]
        ids = ids_by_alert(bodies)
        assert len(ids) == 6
        assert all(len(each) == 1 for each in ids.values())


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(3))
def test_killed_again_and_again_at_any_moment_every_alert_is_told_under_one_id(
    broker: RunningBroker, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    chance = random.Random(seed)
    with http_receiver() as receiver:
        receiver.answers += [Answer(chance.choice([200, 500, 503])) for _ in range(30)]
        site = site_on(broker, tmp_path, channels={"hook": hook(receiver.port, max_attempts=1000)})
        send_all(site)
        for _ in range(8):
            with process(site):
                deadline = time.monotonic() + chance.uniform(0.5, 6)
                wait_for(lambda until=deadline: time.monotonic() >= until)  # type: ignore[misc]
        site.run_once()
        found = told(receiver)
        assert set(found) == expected_alerts(site)
        assert {len(ids) for ids in found.values()} == {1}
        assert {(row["alert_id"], row["status"]) for row in site.rows()} == {
            (alert_id, status)
            for alert_id, status in expected_alerts(site)
            if status == "resolved" or (alert_id, "resolved") not in expected_alerts(site)
        }


@pytest.mark.soak
def test_a_broker_that_stops_and_starts_delays_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    data_path = tmp_path / "broker"
    settings = load_settings(options={"broker.data_path": str(data_path), "broker.port": 0}, environment={})
    broker = start_broker(settings)
    try:
        with http_receiver() as receiver:
            folder = tmp_path / "site"
            folder.mkdir()
            site = site_on(broker, folder, channels={"hook": hook(receiver.port)})
            with site.running():
                site.send(raised(0))
                wait_for(lambda: len(told(receiver)) == 1)
                stop_broker(data_path)
                assert start_broker(settings).bootstrap_servers == broker.bootstrap_servers
                site.send(raised(1, kind="clear"), raised(0, "d2"))
                wait_for(lambda: len(told(receiver)) == 3, seconds=120)
                wait_for(lambda: len(site.rows()) == 2, seconds=120)
            assert {len(ids) for ids in told(receiver).values()} == {1}
            assert [(row["subject"], row["status"]) for row in site.rows()] == [("d1", "resolved"), ("d2", "firing")]
    finally:
        stop_broker(data_path, timeout_seconds=5)

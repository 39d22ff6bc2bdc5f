"""The broker goes away under a running alert query: it waits with a notice, goes on by itself and loses no signal."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from sluice.settings import Settings
from tests.streaming.test_alerts import Site, hot, ids_of, open_site
from tests.streaming.test_broker_away import Fault, bring_back, broker_of, freeze, kill, mortal, stop

__all__ = ["mortal"]


@pytest.fixture
def site(mortal: Settings, tmp_path: Path) -> Site:
    folder = tmp_path / "site"
    folder.mkdir()
    return open_site(broker_of(mortal), folder, duration_seconds=30)


@pytest.mark.soak
@pytest.mark.parametrize("fault", [kill, stop, freeze], ids=["killed", "stopped", "frozen"])
def test_the_alert_query_waits_for_a_broker_that_went_away_and_loses_no_signal(
    site: Site, mortal: Settings, fault: Fault
) -> None:
    site.listen()
    with site.running() as process:
        site.await_that((site.folder / "lake" / "_checkpoints" / "alerts" / "start.json").exists, process)
        site.send([hot(number) for number in range(50)])
        site.await_that(lambda: set(site.signals) == ids_of(range(50)), process)
        # Acknowledged by the broker; what they raise is on its way when it goes.
        site.send([hot(number) for number in range(50, 2000)])
        fault(mortal)
        site.await_that(lambda: "alerts waits: " in site.log, process)
        bring_back(mortal)
        site.send([hot(number) for number in range(2000, 2050)])
        site.await_that(lambda: set(site.signals) >= ids_of(range(2050)), process)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == 0
    assert set(site.signals) == ids_of(range(2050))
    assert "alerts goes on after" in site.log
    assert "Exception" not in "".join(line for line in site.log.splitlines() if line.startswith("sluice:"))

"""The broker goes away under a running driver: bronze waits and goes on by itself, the other layers do not wait."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from sluice.embedded.broker import RunningBroker, running_broker, start_broker, stop_broker
from sluice.errors import BrokerDown
from sluice.schemas import BRONZE_EVENTS, OPS_SILVER_PROMOTIONS
from sluice.settings import Settings, load_settings
from tests.streaming.conftest import Workshop, open_workshop, reading
from tests.streaming.test_topic_faults import following, wait_until


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Settings]:
    """Settings of a broker of the test's own, which is up; its address stays the same."""
    settings = load_settings(options={"broker.data_path": str(tmp_path / "broker")}, environment={})
    start_broker(settings)
    yield settings
    running = running_broker(tmp_path / "broker")
    if running:
        os.kill(running.pid, signal.SIGCONT)
    stop_broker(tmp_path / "broker", timeout_seconds=5)


@pytest.fixture
def workshop(spark: SparkSession, mortal: Settings, tmp_path: Path) -> Workshop:
    return open_workshop(spark, broker_of(mortal), tmp_path / "lake")


@pytest.fixture(autouse=True)
def notices(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """What the driver tells people meanwhile."""
    with caplog.at_level(logging.INFO, "sluice"):
        yield caplog.messages


def broker_of(settings: Settings) -> RunningBroker:
    running = running_broker(settings.broker.data_path)
    assert running is not None
    return running


def rows(workshop: Workshop) -> int:
    return workshop.read(BRONZE_EVENTS).count() if workshop.lake.has_table(BRONZE_EVENTS) else 0


def stop(settings: Settings) -> None:
    stop_broker(settings.broker.data_path)


def kill(settings: Settings) -> None:
    os.kill(broker_of(settings).pid, signal.SIGKILL)
    wait_until(lambda: running_broker(settings.broker.data_path) is None)


def freeze(settings: Settings) -> None:
    os.kill(broker_of(settings).pid, signal.SIGSTOP)


def bring_back(settings: Settings) -> None:
    running = running_broker(settings.broker.data_path)
    if running:
        os.kill(running.pid, signal.SIGCONT)
    else:
        start_broker(settings)


Fault = Callable[[Settings], None]


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(kill, id="killed", marks=pytest.mark.soak),
        pytest.param(stop, id="stopped", marks=pytest.mark.soak),
        pytest.param(freeze, id="frozen", marks=pytest.mark.soak),
    ],
)
def test_bronze_waits_with_a_notice_and_goes_on_when_the_broker_is_back(
    workshop: Workshop, mortal: Settings, caplog: pytest.LogCaptureFixture, fault: Fault
) -> None:
    workshop.send([reading(20.0)])
    with following(workshop, "bronze") as errors:
        wait_until(lambda: rows(workshop) == 1)
        fault(mortal)
        wait_until(lambda: errors or any(line.startswith("bronze waits: ") for line in caplog.messages), 180)
        assert errors == []
        bring_back(mortal)
        workshop.send([reading(21.0, event_id="e2")])
        wait_until(lambda: errors or rows(workshop) == 2, 120)
    assert errors == []
    assert any(line.startswith("bronze goes on after") for line in caplog.messages)


@pytest.mark.soak
@pytest.mark.parametrize("fault", [kill, freeze], ids=["killed", "frozen"])
def test_a_broker_that_goes_away_while_a_batch_is_read_loses_and_doubles_nothing(
    workshop: Workshop, mortal: Settings, fault: Fault
) -> None:
    workshop.send([reading(20.0, event_id=f"e{number}", firmware="x" * 900) for number in range(60_000)])
    with following(workshop, "bronze", "silver") as errors:
        wait_until(lambda: list((workshop.lake.checkpoint_path("bronze") / "offsets").glob("0")))
        fault(mortal)
        time.sleep(20)
        bring_back(mortal)
        wait_until(lambda: errors or rows(workshop) == 60_000, 240)
        wait_until(lambda: errors or workshop.lake.has_table(OPS_SILVER_PROMOTIONS), 60)
    assert errors == []
    landed = workshop.read(BRONZE_EVENTS).select("partition", "offset")
    assert landed.distinct().count() == landed.count() == 60_000


@pytest.mark.soak
def test_silver_goes_on_while_bronze_waits(workshop: Workshop, mortal: Settings) -> None:
    workshop.send([reading(20.0)])
    workshop.drain(["bronze"])
    kill(mortal)
    with following(workshop, "bronze", "silver") as errors:
        wait_until(lambda: errors or workshop.lake.has_table(OPS_SILVER_PROMOTIONS))
        wait_until(lambda: errors or workshop.read(OPS_SILVER_PROMOTIONS).count() == 1, 120)
        assert errors == []
        bring_back(mortal)
        workshop.send([reading(21.0, event_id="e2")])
        wait_until(lambda: errors or rows(workshop) == 2, 120)
    assert errors == []


def test_a_drain_waits_as_long_as_it_is_told_to_and_drains_the_other_layers(
    workshop: Workshop, mortal: Settings
) -> None:
    workshop.send([reading(20.0)])
    workshop.drain(["bronze"])
    kill(mortal)
    hasty = workshop.with_settings(kafka__wait_seconds=1.0)
    with pytest.raises(BrokerDown, match="no Kafka broker answers"):
        hasty.drain(["bronze", "silver"])
    assert workshop.read(OPS_SILVER_PROMOTIONS).count() == 1

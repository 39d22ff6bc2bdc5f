from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyspark.errors import PySparkException

from sluice.errors import BrokerDown, StreamFailed, TopicReplaced
from sluice.pipelines.running import LayerRun
from sluice.pipelines.stream import Stream


def run_of(wait_seconds: float = 0.0, **odd: Any) -> LayerRun:
    """A layer that was not started, with hooks of the test's own."""
    parts: dict[str, Any] = {"layer": "gold", "source": None, "process": None, "checkpoint": Path(), **odd}
    return LayerRun(Stream(trigger_seconds=1.0, **parts), once=True, wait_seconds=wait_seconds)


def test_requests_are_carried_out_before_what_is_due_and_only_what_is_wanted() -> None:
    done: list[str] = []
    hooks: dict[str, Any] = {"answer": lambda: done.append("answer"), "tend": lambda: done.append("tend")}
    run_of(**hooks).tend()
    assert done == []
    run_of(**hooks, has_requests=lambda: True, is_due=lambda has_ended: not has_ended).tend()
    assert done == ["answer", "tend"]


def test_what_is_due_and_fails_stops_the_layer_with_its_reason() -> None:
    def fail() -> None:
        raise PySparkException("the disk is full")

    with pytest.raises(StreamFailed, match="gold stopped: the disk is full"):
        run_of(is_due=lambda _: True, tend=fail).tend()
    with pytest.raises(StreamFailed, match="gold stopped: the disk is full"):
        run_of(has_requests=lambda: True, answer=fail).tend()
    with pytest.raises(StreamFailed, match="gold stopped: the disk is full"):
        run_of(answer=fail).start()


def test_a_layer_whose_broker_is_away_waits_and_one_that_must_not_start_does_not() -> None:
    def away() -> None:
        raise BrokerDown("nobody answers")

    def replaced() -> None:
        raise TopicReplaced("another topic")

    patient = run_of(wait_seconds=60.0, ready=away)
    patient.start()
    patient.tend()
    assert not patient.has_ended
    for hook, error in ((away, BrokerDown), (replaced, TopicReplaced)):
        with pytest.raises(error):
            run_of(ready=hook).start()

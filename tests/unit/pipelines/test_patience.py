from __future__ import annotations

import logging
from dataclasses import dataclass

import pytest

from sluice.errors import BrokerDown
from sluice.pipelines.patience import Patience

AWAY = BrokerDown("nobody answers")


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def waits(patience: Patience, clock: Clock, times: int) -> list[float]:
    """Fails so many times, each as soon as it is due; how long each wait was."""
    found = []
    for _ in range(times):
        patience.wait(AWAY)
        began = clock.now
        while not patience.is_due:
            clock.now += 0.25
        found.append(clock.now - began)
    return found


def test_waits_double_up_to_a_cap_and_begin_anew_after_a_long_time_without_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    patience = Patience("bronze", clock=clock)
    assert not patience.is_waiting
    with caplog.at_level(logging.INFO, "sluice"):
        assert waits(patience, clock, 7) == [1, 2, 4, 8, 16, 30, 30]
        patience.end()
    assert caplog.messages[:2] == [
        "bronze waits: nobody answers; tried again in 1 s",
        "bronze waits: nobody answers; tried again in 2 s",
    ]
    assert caplog.messages[-1] == "bronze goes on after 91 s"
    clock.now += 60
    assert waits(patience, clock, 1) == [30]
    patience.end()
    clock.now += 600
    assert waits(patience, clock, 1) == [1]


def test_a_limited_wait_ends_with_the_error_and_none_at_all_is_none() -> None:
    clock = Clock()
    patience = Patience("bronze", 10.0, clock)
    with pytest.raises(BrokerDown, match="nobody answers"):
        waits(patience, clock, 10)
    assert clock.now - 1000 == 15
    with pytest.raises(BrokerDown):
        Patience("bronze", 0.0, clock).wait(AWAY)

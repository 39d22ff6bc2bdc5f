"""When the second alert query runs, told by a clock of the test's own and by queries that only count their batches."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sluice.pipelines.alert_overlap import Overlap


class Query:
    """What Spark tells of a query."""

    def __init__(self) -> None:
        self.lastProgress: Any = None
        self.is_stopped = False

    def begin(self, batch: int) -> None:
        self.lastProgress = SimpleNamespace(batchId=batch - 1)

    def stop(self) -> None:
        self.is_stopped = True


class Scene:
    """A first query, and how often the second was started."""

    def __init__(self, duration_seconds: float) -> None:
        self.now = 0.0
        self.first = Query()
        self.seconds: list[Query] = []
        self.overlap = Overlap(self._start, self.first, duration_seconds, lambda: self.now)  # type: ignore[arg-type]

    def _start(self) -> Query:
        self.seconds.append(Query())
        return self.seconds[-1]

    def at(self, now: float, first: int = 0, second: int = 0) -> int:
        """Steers once; how many second queries were started so far."""
        self.now = now
        if first:
            self.first.begin(first)
        if second:
            self.seconds[-1].begin(second)
        self.overlap.steer()
        return len(self.seconds)


def test_the_second_query_begins_when_the_first_ones_batch_is_half_over() -> None:
    scene = Scene(60)
    assert [scene.at(now) for now in (0.2, 23.9, 24.0, 31.0)] == [0, 0, 1, 1]
    assert scene.overlap.query is scene.seconds[0]  # type: ignore[comparison-overlap]


def test_it_goes_on_while_its_boundaries_are_far_from_those_of_the_first() -> None:
    scene = Scene(60)
    scene.at(30)
    assert scene.at(62, first=1) == 1
    assert scene.at(92, second=1) == 1
    assert scene.at(124, first=2) == 1
    assert scene.at(160, second=2) == 1
    assert not scene.seconds[0].is_stopped


@pytest.mark.parametrize("drifted", [62 + 10, 62 + 50])
def test_it_is_started_anew_in_the_middle_once_they_have_come_near(drifted: float) -> None:
    scene = Scene(60)
    scene.at(30)
    scene.at(62, first=1)
    assert scene.at(drifted, second=1) == 1
    assert scene.seconds[0].is_stopped
    assert scene.overlap.query is None
    assert scene.at(121) == 1
    assert scene.at(124, first=2) == 1
    assert [scene.at(now) for now in (140, 154)] == [1, 2]


def test_short_batches_are_left_as_they_fall() -> None:
    scene = Scene(8)
    scene.at(4)
    scene.at(10, first=1)
    assert scene.at(11, second=1) == 1
    assert not scene.seconds[0].is_stopped


def test_stopping_stops_the_second_query() -> None:
    scene = Scene(60)
    scene.overlap.stop()
    scene.at(30)
    scene.overlap.stop()
    assert scene.overlap.query is None
    assert scene.seconds[0].is_stopped

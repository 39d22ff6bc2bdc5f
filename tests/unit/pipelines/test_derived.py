"""What gold's job keeps beside its micro-batches is done in its time, and nothing else with it."""

from __future__ import annotations

from sluice.pipelines.derived import Derived
from sluice.pipelines.schedule import Schedule


class Noting:
    """A part that notes when it was done."""

    def __init__(self, every_seconds: float, clock: list[float], takes: float = 0.0) -> None:
        self.done_at: list[float] = []
        self._clock, self._takes = clock, takes
        self._schedule = Schedule(every_seconds, lambda: clock[0])

    def is_due(self, has_ended: bool) -> bool:
        return self._schedule.is_due(has_ended)

    def bring_up_to_date(self) -> None:
        self._schedule.begin()
        self.done_at.append(self._clock[0])
        self._clock[0] += self._takes
        self._schedule.end()


def test_each_part_is_done_in_its_time_and_all_at_the_end_of_a_drain() -> None:
    clock = [0.0]
    often, seldom = Noting(10.0, clock), Noting(25.0, clock)
    derived = Derived([often, seldom])
    for moment in range(0, 60, 5):
        clock[0] = float(moment)
        if derived.is_due(has_ended=moment == 35):
            derived.bring_up_to_date()
    assert often.done_at == [10.0, 20.0, 30.0, 35.0, 45.0, 55.0]
    assert seldom.done_at == [25.0, 35.0]


def test_work_takes_at_most_a_tenth_of_the_time() -> None:
    clock = [0.0]
    slow = Noting(10.0, clock, takes=5.0)
    derived = Derived([slow])
    for moment in range(0, 200, 5):
        clock[0] = max(clock[0], float(moment))
        if derived.is_due(has_ended=False):
            derived.bring_up_to_date()
    assert slow.done_at == [10.0, 65.0, 120.0, 175.0]

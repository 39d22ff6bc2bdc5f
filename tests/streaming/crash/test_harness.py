"""The harness itself: it sees files as they come, tells where a run died, and leaves no process behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.streaming.crash.points import Point, Trail
from tests.streaming.crash.stages import SILVER, STAGES
from tests.streaming.crash.watch import BEGUN, OPENED, WRITTEN, Event, FileEvents

OWNED = Event(OPENED, "_locks/silver")
OFFSETS = Event(WRITTEN, "_checkpoints/silver/offsets/1")
DECISION = Event(WRITTEN, "_checkpoints/silver/decisions/silver-0123456789ab-1.json")


def told(events: FileEvents) -> list[Event]:
    found = []
    while more := list(events.read(0.1)):
        found += more
    return found


def test_files_are_seen_as_they_come_also_in_new_folders(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    with FileEvents(tmp_path) as events:
        (tmp_path / "old" / ".a.tmp").write_text("1")
        (tmp_path / "old" / ".a.tmp").rename(tmp_path / "old" / "a")
        (tmp_path / "new" / "day=1").mkdir(parents=True)
        first = told(events)
        (tmp_path / "new" / "day=1" / "b").write_text("2")
        (tmp_path / "old" / "a").read_text()
        second = told(events)
    assert [each for each in first if each.kind != OPENED] == [
        Event(BEGUN, "old/.a.tmp"),
        Event(WRITTEN, "old/.a.tmp"),
        Event(BEGUN, "old/a"),
        Event(WRITTEN, "old/a"),
    ]
    assert [each for each in second if each.path != "old/a"] == [
        Event(BEGUN, "new/day=1/b"),
        Event(OPENED, "new/day=1/b"),
        Event(WRITTEN, "new/day=1/b"),
    ]
    assert Event(OPENED, "old/a") in second


def test_a_file_is_told_though_it_came_before_its_folder_was_watched(tmp_path: Path) -> None:
    with FileEvents(tmp_path) as events:
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "a").write_text("1")
        assert told(events) == [Event(BEGUN, "new/a")]


def test_a_point_is_reached_with_the_last_of_its_steps() -> None:
    trail = Trail(Point(SILVER, 2), [])
    assert [trail.reaches(event) for event in (OWNED, OFFSETS)] == [False, True]
    trail = Trail(Point(SILVER, 3, inside=True), [OFFSETS.path, "_checkpoints/silver/sealed.json"])
    begun = Event(BEGUN, "_checkpoints/silver/decisions/.silver-0123456789ab-1.json.77.tmp")
    assert [trail.reaches(event) for event in (OWNED, begun)] == [False, True]


@pytest.mark.parametrize(
    ("new", "faults"),
    [
        ([OFFSETS.path], []),
        ([], ["without silver's offsets/N"]),
        ([OFFSETS.path, DECISION.path], ["with the decision of silver"]),
    ],
)
def test_a_death_elsewhere_is_told_from_one_at_the_point(new: list[str], faults: list[str]) -> None:
    assert Point(SILVER, 2).faults(new) == faults


def test_every_stage_is_killed_at_every_step_or_says_where_that_is_done() -> None:
    points = [point for stage in STAGES for point in stage.points()]
    assert len({str(point) for point in points}) == len(points) >= 22
    for stage in STAGES:
        names = [step.name for step in stage.steps]
        assert len(set(names)) == len(names)
        assert {*stage.inside, *stage.known} <= set(names)
        assert len(list(stage.points())) == len(names) + len(stage.inside) - len(stage.known)

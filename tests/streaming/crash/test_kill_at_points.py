"""A run killed at any commit point of any stage ends, after a restart, as if nothing had happened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from sluice.schemas import LEDGERS
from sluice.tables.lake import Lake
from sluice.tables.requests import pending_requests
from tests.streaming.crash.books import outcome
from tests.streaming.crash.kill import Command, Missed, die_at
from tests.streaming.crash.points import Point, files_of
from tests.streaming.crash.scenes import Scenes
from tests.streaming.crash.stages import STAGES, WHOLE

# A death and a restart are two starts of Spark, and one that missed its point is tried again.
pytestmark = pytest.mark.timeout(1800)

POINTS = {str(point): point for stage in STAGES for point in stage.points()}
# Each in the run that follows the death before it.
IN_TURN = (
    "whole: after bronze's offsets/N",
    "whole: after files of bronze.events",
    "whole: after the commit of bronze.events",
    "whole: after bronze's commits/N",
    "whole: after the commit of silver.readings",
    "whole: after the commit of gold.readings_1min",
)
# Most windows are tens of milliseconds wide; a file bears its temporary name for one or two.
ATTEMPTS, ATTEMPTS_INSIDE = 4, 12


def run_killed_at(points: Sequence[Point], scenes: Scenes, folder: Path) -> Command:
    """Kills the stage's command at one point after the other, in a copy of its scene."""
    stage, scene, misses = points[0].stage, scenes[points[0].stage.scene], []
    arguments = tuple(argument.format(hold=scene.hold) for argument in stage.command)
    for attempt in range(ATTEMPTS_INSIDE if points[0].inside else ATTEMPTS):
        own = folder / str(attempt)
        command = Command(arguments, scene.copied(own / "lake"), own)
        before = files_of(command.lake)
        try:
            for point in points:
                die_at(point, command, before)
        except Missed as miss:
            misses.append(str(miss))
        else:
            return command
    raise AssertionError("it never died there:\n" + "\n".join(misses))


def assert_finished(command: Command, stage: str, scenes: Scenes) -> None:
    """Restarts the command and compares; what people asked for before the death has its answer too."""
    command.run()
    assert [pending_requests(Lake(command.lake), layer) for layer in LEDGERS] == [[], []]
    assert outcome(command.lake) == scenes[stage].expected
    assert command.workshop.audit() == {}


@pytest.mark.soak
@pytest.mark.parametrize("point", POINTS.values(), ids=POINTS)
def test_after_a_death_the_same_command_finishes_the_work(scenes: Scenes, point: Point, tmp_path: Path) -> None:
    command = run_killed_at([point], scenes, tmp_path)
    assert_finished(command, point.stage.scene, scenes)


def test_a_run_that_dies_six_times_on_its_way_finishes_the_work(scenes: Scenes, tmp_path: Path) -> None:
    points = {str(point): point for point in WHOLE.points()}
    command = run_killed_at([points[name] for name in IN_TURN], scenes, tmp_path)
    assert_finished(command, WHOLE.scene, scenes)

"""A backlog drained by runs that are killed at any moment ends as if nothing had happened."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from sluice.embedded.broker import RunningBroker
from sluice.schemas import LAYERS
from sluice.tables.lake import Lake
from tests.streaming.conftest import Workshop, open_workshop, reading
from tests.streaming.crash.books import outcome
from tests.streaming.crash.kill import Command, die_after, is_lasting
from tests.streaming.crash.points import files_of

# Six starts of Spark.
pytestmark = pytest.mark.timeout(1800)

KILLS, BATCHES, PER_PARTITION = 5, 3, 8
# So many files make a micro-batch of silver out of each of bronze, whose files hold as many unreadable bytes.
UNREADABLE_BYTES = 700_000
LIMITS = {"bronze__max_records_per_batch": 2 * PER_PARTITION, "silver__max_megabytes_per_batch": 1}
SOAK_SEEDS = int(os.environ.get("SOAK_SEEDS", "50"))


@dataclass(frozen=True)
class Backlog:
    """A topic with records for several micro-batches.

    Attributes:
        calm: a lake into which they were drained undisturbed.
        expected: its outcome.
        files: how many files that wrote.
    """

    calm: Workshop
    expected: dict[str, list[str]]
    files: int


def messages(chance: random.Random) -> list[bytes | dict[str, Any]]:
    """What one partition brings for one micro-batch: readings, copies, conflicts, refused and unreadable ones."""
    readings: list[bytes | dict[str, Any]] = [
        reading(
            chance.choice([20.0, 21.0, 500.0]),
            event_id=f"e{chance.randint(1, 12)}",
            device_id=f"sensor-{chance.randint(1, 3):04d}",
            timestamp=f"2024-03-0{chance.randint(1, 2)}T10:0{chance.randint(0, 2)}:00Z",
        )
        for _ in range(PER_PARTITION - 2)
    ]
    return [*readings, b"{", b"\xff" + chance.randbytes(UNREADABLE_BYTES)]


@pytest.fixture(scope="module")
def backlog(spark: SparkSession, broker: RunningBroker, tmp_path_factory: pytest.TempPathFactory) -> Backlog:
    folder, chance = tmp_path_factory.mktemp("backlog"), random.Random(11)
    calm = open_workshop(spark, broker, folder / "lake")
    for partition in (0, 1):
        calm.send([message for _ in range(BATCHES) for message in messages(chance)], partition=partition)
    calm = calm.with_settings(**LIMITS)
    calm.drain()
    assert [micro_batches(calm.lake, layer) for layer in LAYERS] == [BATCHES, BATCHES, 1]
    return Backlog(calm, outcome(calm.lake.path), sum(map(is_lasting, files_of(calm.lake.path))))


def micro_batches(lake: Lake, layer: str) -> int:
    """How many micro-batches of a layer are done."""
    return len(list((lake.checkpoint_path(layer) / "commits").glob("[0-9]*")))


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(1, SOAK_SEEDS))])
def test_killed_five_times_a_backlog_ends_as_if_drained_in_peace(backlog: Backlog, seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    workshop = backlog.calm.with_settings(lake__path=str(tmp_path / "lake"), **LIMITS)
    command = Command(("run", "--once"), workshop, tmp_path)
    workshop.lake.prepare()
    # Moments are told by files, since a clock runs otherwise on another day; work done twice only adds to them.
    moments = sorted(chance.randint(1, int(backlog.files * 0.95)) for _ in range(KILLS))
    written, done = 0, [0] * len(LAYERS)
    for moment in moments:
        written += die_after(max(1, moment - written), chance.uniform(0, 0.3), command)
        before, done = done, [micro_batches(workshop.lake, layer) for layer in LAYERS]
        assert all(now >= then for now, then in zip(done, before, strict=True))
    command.run()
    assert outcome(workshop.lake.path) == backlog.expected
    assert workshop.audit() == {}

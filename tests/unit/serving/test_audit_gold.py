"""Gold against silver while gold is behind: what is pending, and what is wrong all the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from deltalake import DeltaTable

from sluice.serving.audit.findings import UNREADABLE, Audit

from .audit_lake import (
    EVENTS,
    TEMPERATURE,
    audited,
    balanced_lake,
    change,
    delete,
    event,
    gold_promotion,
    minutes_of,
    problems,
    silver_promotion,
)
from .lake_builder import append, at, bronze, promotion

DIFFERENT = "minutes that differ from a recompute"
MISSING = "minutes of silver that gold does not have"
POWER = "2026-03-01T12:02:00Z meter-0001 power_watt"


@pytest.fixture(scope="module")
def balanced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gold has taken in everything but version 3 of silver/readings: a new minute, and one more for an old minute."""
    path = balanced_lake(tmp_path_factory.mktemp("balanced") / "lake")
    append(path, "bronze.events", [bronze(4, partition=1)])
    events = [event(3, 20, "silver-g-5", partition=1), event(4, 2, "silver-g-5", partition=1)]
    metered = {**events[1], "device_id": "meter-0001", TEMPERATURE: 30.0}
    append(path, "silver.readings", [events[0], metered])
    append(path, "ops.silver_promotions", [silver_promotion(5, {"1": 4}, promoted=2)])
    return path


@pytest.fixture
def lake(balanced: Path, tmp_path: Path) -> Path:
    """That lake as the test's own."""
    return Path(shutil.copytree(balanced, tmp_path / "lake"))


def pending(found: Audit) -> dict[str, int]:
    return {
        check.name: check.outcome.counts["pending"]
        for check in found.checks
        if check.name in ("gold.minutes", "gold.latest")
    }


def keep_offset(lake: Path, batch_id: int, version: int, index: int, starting: bool, generation: str = "g") -> None:
    """Writes the file of gold's checkpoint that says where a micro-batch ended."""
    checkpoint = lake / "_checkpoints" / "gold"
    (checkpoint / "offsets").mkdir(parents=True, exist_ok=True)
    (checkpoint / "generation").write_text(generation + "\n")
    offset = {"reservoirVersion": version, "index": index, "isStartingVersion": starting}
    (checkpoint / "offsets" / str(batch_id)).write_text(f"v1\n{{}}\n{json.dumps(offset)}")


def test_minutes_with_readings_that_gold_has_not_read_are_pending(lake: Path) -> None:
    found = audited(lake)
    assert problems(found) == {}
    # A minute of one device is pending by metric: its power was read.
    assert pending(found) == {"gold.minutes": 2, "gold.latest": 2}

    change(lake, "gold.readings_1min", "metric = 'power_watt'", reading_count="3")
    assert problems(audited(lake)) == {"gold.minutes": {DIFFERENT: [POWER]}}


def test_once_gold_has_read_them_they_are_compared(lake: Path) -> None:
    append(lake, "ops.gold_promotions", [gold_promotion(2, 3, 3, 2)])
    assert problems(audited(lake))["gold.minutes"] == {
        MISSING: [
            f"2026-03-01T12:02:00Z meter-0001 {TEMPERATURE}",
            f"2026-03-01T12:20:00Z sensor-0001 {TEMPERATURE}",
        ]
    }


@pytest.mark.parametrize(
    ("version", "index", "starting", "expected"),
    [
        (3, -1, False, 2),
        # It ended within version 2: the approved readings may not have been read either.
        (2, 0, False, 4),
        # The table as it was at the start has not been read to its end.
        (2, 1, True, 8),
    ],
)
def test_a_micro_batch_that_ended_within_a_version_has_not_read_all_of_it(
    lake: Path, version: int, index: int, starting: bool, expected: int
) -> None:
    keep_offset(lake, 1, version, index, starting)
    found = audited(lake)
    assert problems(found) == {}
    assert pending(found)["gold.minutes"] == expected


def test_the_checkpoint_of_another_generation_says_nothing(lake: Path) -> None:
    keep_offset(lake, 1, 0, 0, True, generation="another")
    assert pending(audited(lake))["gold.minutes"] == 2


def test_what_was_compacted_since_is_not_unread(lake: Path) -> None:
    compacted = DeltaTable(str(lake / "silver/readings")).optimize.compact()
    assert compacted["numFilesRemoved"] > 1
    assert pending(audited(lake))["gold.minutes"] == 2
    change(lake, "gold.readings_1min", "metric = 'power_watt'", reading_count="3")
    assert problems(audited(lake)) == {"gold.minutes": {DIFFERENT: [POWER]}}


def test_a_version_that_the_log_no_longer_has_cannot_be_compared_with(lake: Path) -> None:
    table = DeltaTable(str(lake / "silver/readings"))
    table.create_checkpoint()
    for version in range(3):
        (lake / f"silver/readings/_delta_log/{version:020d}.json").unlink()

    found = audited(lake)
    check = next(check for check in found.checks if check.name == "gold.minutes")
    assert (check.result, found.exit_code) == (UNREADABLE, 2)
    assert check.reason.startswith("gold has read silver.readings up to version 2, which its log no longer has")
    append(lake, "ops.gold_promotions", [gold_promotion(2, 3, 3, 2)])
    assert "gold.minutes" in problems(audited(lake))


def test_gold_that_has_read_nothing_yet_has_everything_pending(lake: Path) -> None:
    for table in ("gold.readings_1min", "gold.held", "gold.latest_readings", "ops.gold_promotions"):
        delete(lake, table, "true")
    found = audited(lake)
    assert problems(found) == {}
    assert pending(found)["gold.minutes"] == 8


def test_the_latest_of_equal_times_has_the_greatest_coordinates(tmp_path: Path) -> None:
    lake = balanced_lake(tmp_path / "lake")
    tie = event(3, 5, "silver-g-5", partition=1, event_id="tie", temperature_celsius=33.0)
    append(lake, "silver.readings", [{**tie, "event_time": EVENTS[-1]["event_time"]}])
    append(lake, "ops.silver_promotions", [silver_promotion(5, {"1": 3}, promoted=1)])
    append(lake, "ops.gold_promotions", [gold_promotion(2, 3, 3, 1)])

    named = {"latest readings that differ from silver": [f"sensor-0001 {TEMPERATURE}"]}
    assert problems(audited(lake))["gold.latest"] == named
    change(lake, "gold.latest_readings", f"metric = '{TEMPERATURE}' AND device_id = 'sensor-0001'", value="33.0")
    assert "gold.latest" not in problems(audited(lake))


def test_the_latest_readings_that_an_undecided_gate_left_are_no_error(lake: Path) -> None:
    undecided = {"promotion_id": "gold-g-2", "layer": "gold", "kind": "batch", "verdict": "ERROR", "batch_id": 2}
    rows = {"rows_in": 2, "rows_held": 2, "from_version": 3, "to_version": 3, "decided_at": at("14:00:00")}
    new = minutes_of(
        [event(3, 20, partition=1), {**event(4, 2, partition=1), "device_id": "meter-0001", TEMPERATURE: 30.0}]
    )
    candidates = [
        {name: value for name, value in row.items() if name not in ("bucket_date", "updated_at")} for row in new
    ]
    append(lake, "gold.held", [{**row, "promotion_id": "gold-g-2", "status": "open"} for row in candidates])
    append(lake, "ops.gold_promotions", [promotion(0, **{**undecided, **rows})])
    assert problems(audited(lake)) == {}

    # Approving it brings the minutes and the latest readings.
    append(lake, "gold.readings_1min", new)
    change(lake, "gold.held", "promotion_id = 'gold-g-2'", status="'approved'")
    approved = {
        "promotion_id": "gold-g-2-approve",
        "kind": "approve",
        "parent_promotion_id": "gold-g-2",
        "layer": "gold",
    }
    counts = {"rows_in": 2, "rows_promoted": 2, "decided_at": at("14:10:00")}
    append(lake, "ops.gold_promotions", [promotion(0, **{**approved, **counts})])
    assert problems(audited(lake)) == {
        "gold.latest": {
            "latest readings that gold does not have": [f"meter-0001 {TEMPERATURE}"],
            "latest readings that differ from silver": [f"sensor-0001 {TEMPERATURE}"],
        }
    }

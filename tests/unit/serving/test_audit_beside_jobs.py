"""An audit beside running jobs: whatever they commit between the openings of two tables, it raises no alarm."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from deltalake import DeltaTable

from sluice.serving.audit.audit import audit
from sluice.serving.lake import OpenLake, Version
from sluice.tables.lake import Lake

from .audit_lake import (
    EVENTS,
    NO_BROKER,
    TEMPERATURE,
    audited,
    balanced_lake,
    change,
    decided,
    event,
    gold_promotion,
    minutes_of,
    problems,
    silver_promotion,
)
from .lake_builder import Row, append, at, bronze, copy_of, held, promotion, refused

Commit = Callable[[Path], object]
# All tables of an audit, and the two ledgers once more.
OPENINGS = 12


def append_rows(name: str, rows: Sequence[Row]) -> Commit:
    return lambda lake: append(lake, name, rows)


def change_rows(name: str, where: str, **values: str) -> Commit:
    return lambda lake: change(lake, name, where, **values)


def held_minute(row: Row, promotion_id: str) -> Row:
    candidate = {name: value for name, value in row.items() if name not in ("bucket_date", "updated_at")}
    return {**candidate, "failed_rules": ["some"], "promotion_id": promotion_id, "status": "open"}


NEW = [event(offset, 20, "silver-g-5", partition=1) for offset in (3, 4)]
LANDED = append_rows("bronze.events", [bronze(offset, partition=1) for offset in (4, 5, 6, 7)])
PROMOTED = [
    LANDED,
    append_rows("silver.readings", NEW),
    append_rows("silver.quarantine", [refused(5, "NOT_JSON", promotion_id="silver-g-5", partition=1)]),
    append_rows("silver.duplicates", [copy_of(6, at("12:00:00"), promotion_id="silver-g-5", partition=1)]),
    append_rows("ops.silver_promotions", [silver_promotion(5, {"1": 6}, promoted=2, quarantined=1, duplicate=1)]),
]
LAST_SEEN = change_rows(
    "gold.latest_readings",
    f"metric = '{TEMPERATURE}' AND device_id = 'sensor-0001'",
    event_time=f"to_timestamp_micros({int(at('12:20:40').timestamp())}000000)",
)
LATE = event(3, 0, "silver-g-5", partition=1, event_id="late")
CORRECTED = minutes_of([*EVENTS, LATE])[0]
JOBS: dict[str, list[Commit]] = {
    "two batches are promoted": [
        *PROMOTED,
        append_rows("silver.readings", [event(7, 21, "silver-g-6", partition=1)]),
        append_rows("ops.silver_promotions", [silver_promotion(6, {"1": 7}, promoted=1)]),
    ],
    "a batch is held": [
        LANDED,
        append_rows("silver.held", [held(offset, "silver-g-5", partition=1) for offset in (3, 4, 5)]),
        append_rows("ops.silver_promotions", [silver_promotion(5, {"1": 5}, "HOLD", held=3)]),
    ],
    "a hold is approved": [
        append_rows("silver.readings", [event(10, 21, "silver-g-3-approve")]),
        append_rows("silver.quarantine", [refused(11, "NOT_JSON", promotion_id="silver-g-3-approve")]),
        change_rows("silver.held", "promotion_id = 'silver-g-3'", status="'approved'"),
        append_rows("ops.silver_promotions", [decided("approve", "silver-g-3", promoted=1, quarantined=1)]),
    ],
    "a hold is rejected": [
        change_rows("silver.held", "promotion_id = 'silver-g-3'", status="'rejected'"),
        append_rows("ops.silver_promotions", [decided("reject", "silver-g-3", held=2)]),
    ],
    "a refused record is replayed": [
        append_rows("silver.readings", [event(4, 22, "silver-g-5-replay")]),
        change_rows("silver.quarantine", '"offset" = 4', status="'replayed'"),
        append_rows(
            "ops.silver_promotions",
            [promotion(0, promotion_id="silver-g-5-replay", kind="replay", rows_in=1, rows_promoted=1)],
        ),
    ],
    "a held minute is approved": [
        append_rows("gold.readings_1min", minutes_of(EVENTS)[:1]),
        change_rows("gold.held", "status = 'open'", status="'approved'"),
        append_rows("ops.gold_promotions", [decided("approve", "gold-g-0", promoted=1)]),
    ],
    "a batch is promoted and taken into gold": [
        *PROMOTED,
        append_rows("gold.readings_1min", minutes_of(NEW)),
        LAST_SEEN,
        append_rows("ops.gold_promotions", [gold_promotion(2, 3, 3, 1)]),
    ],
    "a batch is promoted and its minute held": [
        *PROMOTED,
        append_rows("gold.held", [held_minute(minutes_of(NEW)[0], "gold-g-2")]),
        LAST_SEEN,
        append_rows("ops.gold_promotions", [gold_promotion(2, 3, 3, 0, 1)]),
    ],
    "a late reading makes a held minute pass": [
        append_rows("silver.readings", [LATE]),
        append_rows("ops.silver_promotions", [silver_promotion(5, {"1": 3}, promoted=1)]),
        append_rows("gold.readings_1min", [CORRECTED]),
        change_rows("gold.held", "status = 'open'", status="'superseded'"),
        append_rows("ops.gold_promotions", [gold_promotion(2, 3, 3, 1)]),
    ],
}


class BusyLake(OpenLake):
    """A lake into which jobs write between the openings of its tables."""

    def __init__(self, lake: Lake, work: Callable[[int], None]) -> None:
        super().__init__(lake)
        self._work = work
        self._opened = 0

    def delta(self, name: str, version: Version | None = None) -> DeltaTable:
        if version is None:
            self._work(self._opened)
            self._opened += 1
        return super().delta(name, version)


@pytest.fixture(scope="module")
def balanced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return balanced_lake(tmp_path_factory.mktemp("balanced") / "lake")


def schedules(commits: int) -> Iterator[list[int]]:
    """Before which opening each commit is made: all at once somewhere, or one after the other from somewhere on."""
    for start in range(OPENINGS):
        yield [start] * commits
        yield [start + number for number in range(commits)]
    # The job had begun before, and ends meanwhile.
    for first in range(1, commits):
        yield [0 if number < first else 3 * (number - first) + 1 for number in range(commits)]


def audit_meanwhile(balanced: Path, path: Path, commits: Sequence[Commit], schedule: Sequence[int]) -> None:
    shutil.copytree(balanced, path)

    def work(opening: int) -> None:
        for when, commit in zip(schedule, commits, strict=True):
            if when == opening:
                commit(path)

    assert problems(audit(BusyLake(Lake(path), work), NO_BROKER)) == {}, schedule
    shutil.rmtree(path)


@pytest.mark.parametrize("job", JOBS)
def test_what_a_job_commits_between_two_openings_raises_no_alarm(balanced: Path, tmp_path: Path, job: str) -> None:
    commits = JOBS[job]
    audit_meanwhile(balanced, tmp_path / "after the ledgers", commits, [5] * len(commits))
    audit_meanwhile(balanced, tmp_path / "all the time", commits, [1 + number for number in range(len(commits))])


@pytest.mark.soak
@pytest.mark.parametrize("job", JOBS)
def test_whenever_a_job_commits_it_raises_no_alarm(balanced: Path, tmp_path: Path, job: str) -> None:
    for number, schedule in enumerate(schedules(len(JOBS[job]))):
        audit_meanwhile(balanced, tmp_path / str(number), JOBS[job], schedule)


def test_a_job_that_ended_leaves_books_that_balance_and_nothing_in_flight(balanced: Path, tmp_path: Path) -> None:
    for job, commits in JOBS.items():
        path = Path(shutil.copytree(balanced, tmp_path / job))
        for commit in commits:
            commit(path)
        found = audited(path)
        assert problems(found) == {}, job
        assert not any(check.outcome.counts.get("in_flight") for check in found.checks)


@pytest.mark.soak
def test_a_job_that_died_between_two_commits_leaves_no_error(balanced: Path, tmp_path: Path) -> None:
    for job, commits in JOBS.items():
        for end in range(1, len(commits)):
            path = Path(shutil.copytree(balanced, tmp_path / f"{job} {end}"))
            for commit in commits[:end]:
                commit(path)
            assert problems(audited(path)) == {}, (job, end)


def test_a_batch_and_an_approval_that_died_one_after_the_other_are_no_error(balanced: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(balanced, tmp_path / "lake"))
    for commit in (*PROMOTED[:3], *JOBS["a hold is approved"][:3]):
        commit(path)
    assert problems(audited(path)) == {}
    append(path, "silver.readings", [event(7, 21, "silver-g-6", partition=1)])
    wrong = problems(audited(path))["silver.ledger"]
    assert wrong == {"promotions that the ledger does not have": ["silver-g-3-approve", "silver-g-5", "silver-g-6"]}


def test_what_a_death_left_is_told_and_no_error(balanced: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(balanced, tmp_path / "lake"))
    for commit in JOBS["a hold is approved"][:3]:
        commit(path)

    found = audited(path)
    (note,) = next(check for check in found.checks if check.name == "silver.ledger").outcome.notes
    assert found.balances
    told = "1 in silver.quarantine, 1 in silver.readings"
    assert [tuple(named) for named in note.first] == [("silver-g-3-approve", told)]

"""An audit after retention: what was let go is not looked for, and what is missing above that is still found."""

from __future__ import annotations

import shutil
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from sluice.schemas import BRONZE_EVENTS, SILVER_DUPLICATES, SILVER_QUARANTINE
from sluice.tables.floors import note_floors
from sluice.tables.lake import Lake

from .audit_lake import audited, balanced_lake, change, delete, problems
from .lake_builder import append, at, bronze

STREAM = "iot.raw:1:0"


@pytest.fixture(scope="module")
def balanced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return balanced_lake(tmp_path_factory.mktemp("balanced") / "lake")


@pytest.fixture
def lake(balanced: Path, tmp_path: Path) -> Path:
    """A balanced lake of the test's own."""
    return Path(shutil.copytree(balanced, tmp_path / "lake"))


def let_go(lake: Path, before: int, *, floor: bool = True) -> None:
    """Takes the first records of partition 0 out of bronze."""
    if floor:
        note_floors(Lake(lake), BRONZE_EVENTS, {STREAM: before}, "ann", "old")
    delete(lake, "bronze.events", f'"partition" = 0 AND "offset" < {before}')


@pytest.mark.parametrize("before", [1, 6, 7, 8, 12])
def test_what_bronze_let_go_is_not_looked_for(lake: Path, before: int) -> None:
    let_go(lake, before)
    found = audited(lake)
    assert (found.balances, problems(found)) == (True, {})


def test_without_a_floor_it_is_missed(lake: Path) -> None:
    let_go(lake, 6, floor=False)
    found = problems(audited(lake))
    assert found["silver.places"]["records that are in a place but not in bronze"] == [
        f"{STREAM}:{i}" for i in range(6)
    ]
    assert "silver.ledger" in found


def test_a_floor_ahead_of_its_rows_changes_nothing(lake: Path) -> None:
    for table in (BRONZE_EVENTS, SILVER_QUARANTINE, SILVER_DUPLICATES):
        note_floors(Lake(lake), table, {STREAM: 6}, "ann", "old")
    assert problems(audited(lake)) == {}


def test_quarantine_and_duplicates_go_after_bronze(lake: Path) -> None:
    let_go(lake, 6)
    for table, where in ((SILVER_QUARANTINE, '"partition" = 0 AND "offset" < 6'), (SILVER_DUPLICATES, '"offset" < 6')):
        note_floors(Lake(lake), table, {STREAM: 6}, "ann", "old")
        delete(lake, table.full_name, where)
    assert problems(audited(lake)) == {}


@pytest.mark.parametrize(
    ("table", "where", "check", "named"),
    [
        ("bronze.events", '"partition" = 0 AND "offset" = 8', "silver.places", f"{STREAM}:8"),
        ("silver.quarantine", '"partition" = 0 AND "offset" = 7', "silver.places", f"{STREAM}:7"),
        ("silver.quarantine", '"partition" = 1', "silver.places", "iot.raw:1:1:2"),
        ("silver.readings", '"partition" = 0 AND "offset" = 6', "silver.places", f"{STREAM}:6"),
        ("silver.readings", '"partition" = 0 AND "offset" = 2', "silver.ledger", "silver-g-0"),
        ("silver.held", '"offset" = 9', "silver.places", f"{STREAM}:9"),
        ("silver.duplicates", '"offset" = 5', "silver.ledger", "silver-g-0"),
    ],
)
def test_a_row_removed_by_hand_is_found(lake: Path, table: str, where: str, check: str, named: str) -> None:
    let_go(lake, 6)
    assert problems(audited(lake)) == {}
    delete(lake, table, where)
    found = problems(audited(lake))
    assert named in [item for items in found[check].values() for item in items]


def test_above_the_floor_of_a_batch_that_it_cuts_rows_are_still_missed(lake: Path) -> None:
    let_go(lake, 3)
    delete(lake, "bronze.events", '"partition" = 0 AND "offset" = 4')
    assert f"{STREAM}:4" in problems(audited(lake))["silver.places"]["records that are in a place but not in bronze"]


def test_more_rows_than_the_ledger_tells_are_found_below_a_floor(lake: Path) -> None:
    let_go(lake, 6)
    note_floors(Lake(lake), SILVER_QUARANTINE, {STREAM: 6}, "ann", "old")
    change(lake, "silver.quarantine", '"partition" = 1', promotion_id="'silver-g-0'")
    assert "silver-g-0" in [item for items in problems(audited(lake))["silver.ledger"].values() for item in items]


def test_since_a_time_the_floor_holds_too(lake: Path) -> None:
    later = at("12:00:00") + timedelta(days=1)
    append(lake, "bronze.events", [bronze(12, ingested_at=later, ingest_date=later.date())])
    let_go(lake, 7)
    assert problems(audited(lake, since=at("12:00:00"))) == {}
    assert problems(audited(lake, since=later)) == {}


def test_the_topic_still_has_what_bronze_let_go(lake: Path) -> None:
    class Topic:
        def bounds(self, _: str) -> dict[int, tuple[int, int]]:
            return {0: (0, 12), 1: (0, 4)}

        def look(self, _: str, ranges: list[tuple[int, int, int]]) -> list[tuple[list[int], bool]]:
            return [(list(range(first, last + 1)), True) for _, first, last in ranges]

    let_go(lake, 6)
    found = audited(lake, Topic())
    assert problems(found) == {}
    delete(lake, "bronze.events", '"partition" = 0 AND "offset" = 7')
    assert f"{STREAM}:7" in [
        item for items in problems(audited(lake, Topic()))["bronze.topic"].values() for item in items
    ]


def test_files_that_compaction_left_behind_are_not_needed_once_gold_has_read_them(lake: Path) -> None:
    readings = DeltaTable(str(lake / "silver" / "readings"))
    before = [Path(uri) for uri in readings.file_uris()]
    readings.optimize.compact()
    for path in before:
        path.unlink()
    assert problems(audited(lake)) == {}
    found = {check.name: check for check in audited(lake).checks}
    assert found["gold.minutes"].outcome.counts["pending"] == 0
    # The same minute, no longer what its readings give: still found.
    change(lake, "gold.readings_1min", "reading_count = 2", reading_count="3")
    assert "gold.minutes" in problems(audited(lake))


@pytest.mark.parametrize("name", ["bronze.events", "silver.readings", "gold.readings_1min"])
def test_files_with_and_without_their_day_are_read_together(lake: Path, name: str) -> None:
    folder = lake / name.replace(".", "/")
    column = {"bronze": "ingest_date", "silver": "event_date", "gold": "bucket_date"}[name.split(".")[0]]
    *_, last = sorted(DeltaTable(folder).file_uris())
    # As compaction writes it; Spark writes the day into the file too.
    without = pq.read_table(last, partitioning=None)
    without = without.drop_columns([column]) if column in without.column_names else without
    pq.write_table(without, last)
    others = [Path(uri) for uri in DeltaTable(folder).file_uris() if uri != last]
    for path in others:
        rows = pq.read_table(path, partitioning=None)
        if column not in rows.column_names:
            day = date.fromisoformat(path.parent.name.split("=")[1])
            pq.write_table(rows.append_column(column, pa.array([day] * len(rows), pa.date32())), path)
    assert (audited(lake).balances, problems(audited(lake))) == (True, {})

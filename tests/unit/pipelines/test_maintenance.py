"""Maintenance of real tables: what is done, by whom, what is refused, and that the books stay true throughout."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from datetime import date, datetime, timezone
from pathlib import Path

import pytest
from deltalake import DeltaTable
from tests.unit.serving.audit_lake import audited, balanced_lake, delete, problems
from tests.unit.serving.lake_builder import append, at, bronze, reading
from tests.unit.tables.streamed_lake import GENERATIONS, append_rows, streamed_lake

from sluice.errors import LakeMissing, UsageError
from sluice.pipelines import retention
from sluice.pipelines.interrupted import unfinished_batch
from sluice.pipelines.maintain_requests import LayerOutcome, is_all_right, job_main, maintain
from sluice.pipelines.maintenance import Plan, Upkeep, maintain_layer, plan_of, read_plan
from sluice.schemas import (
    BRONZE_EVENTS,
    LAYERS,
    OPS_FLOORS,
    OPS_SILVER_PROMOTIONS,
    SILVER_DUPLICATES,
    SILVER_QUARANTINE,
    SILVER_READINGS,
)
from sluice.settings import Settings, load_settings
from sluice.tables.decisions import Decision, Decisions
from sluice.tables.delta import current_version
from sluice.tables.floors import read_floors
from sluice.tables.lake import Lake, own_layer
from sluice.tables.requests import pending_requests
from sluice.tables.rows import read_rows
from sluice.tables.upkeep import LOG_SECONDS, checkpoint_log, live_files, log_files

TARGET = 128 * 1024 * 1024
# After everything in the lakes, and before it.
LATER, EARLIER = date(2026, 3, 2), date(2026, 3, 1)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return streamed_lake(tmp_path / "lake")


@pytest.fixture(scope="module")
def balanced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake whose books balance; its one unread record landed on the second day."""
    path = balanced_lake(tmp_path_factory.mktemp("balanced") / "lake")
    delete(path, "bronze.events", '"partition" = 1 AND "offset" = 3')
    append(path, "bronze.events", [bronze(3, partition=1, ingest_date=LATER)])
    return path


@pytest.fixture
def books(balanced: Path, tmp_path: Path) -> Lake:
    return Lake(Path(shutil.copytree(balanced, tmp_path / "books")))


def settings_of(lake: Lake, **options: object) -> Settings:
    given = {key.replace("__", "."): value for key, value in options.items()}
    return load_settings(options={"lake.path": str(lake.path), **given}, environment={})


def upkeep(lake: Lake, layer: str, *, keep_from: date | None = None, dry_run: bool = False) -> dict[str, Upkeep]:
    tables = (BRONZE_EVENTS, SILVER_QUARANTINE, SILVER_DUPLICATES)
    plan = Plan(TARGET, {table.full_name: keep_from for table in tables} if keep_from else {})
    return {each.table: each for each in maintain_layer(lake, layer, plan, "ann", "old", dry_run=dry_run)}


def forget_at_once(lake: Lake, *tables: str) -> None:
    """Lets files go as soon as nothing refers to them, instead of after seven days."""
    for name in tables:
        opened = DeltaTable(lake.path / name.replace(".", "/"))
        opened.alter.set_table_properties({"delta.deletedFileRetentionDuration": "interval 0 seconds"})


def versions(lake: Lake) -> dict[str, int]:
    return {
        f"{log.parent.parent.name}.{log.parent.name}": DeltaTable(log.parent).version()
        for log in lake.path.glob("*/*/_delta_log")
    }


def test_every_layer_is_maintained_where_nobody_owns_it(lake: Lake) -> None:
    rows = sorted(map(repr, read_rows(lake, SILVER_READINGS, ("offset", "partition", "promotion_id"))))
    outcomes = maintain(settings_of(lake), LAYERS)
    assert is_all_right(outcomes)
    found = {table["table"]: table for outcome in outcomes for table in outcome.tables}
    for name in ("bronze.events", "silver.readings", "ops.silver_promotions", "ops.gold_promotions"):
        assert (found[name]["files_before"], found[name]["files_after"]) == (3, 1), name
    assert sorted(map(repr, read_rows(lake, SILVER_READINGS, ("offset", "partition", "promotion_id")))) == rows
    assert outcomes[0].message == "bronze maintained: 3 files are now 1, 0 unreferenced ones removed"
    assert not any(pending_requests(lake, layer) for layer in LAYERS)
    # Nothing is left to do.
    before = versions(lake)
    assert is_all_right(maintain(settings_of(lake), LAYERS))
    assert versions(lake) == before


def test_a_dry_run_tells_and_does_nothing(books: Lake, tmp_path: Path) -> None:
    before = versions(books)
    with own_layer(books, "silver"):
        outcomes = maintain(settings_of(books, maintain__bronze_days=1), LAYERS, dry_run=True)
    told = {table["table"]: table for outcome in outcomes for table in outcome.tables}
    assert told["bronze.events"]["rows_removed"] == 0
    assert "still needs 1 of iot.raw:1:1" in told["bronze.events"]["refused"][0]
    assert (told["silver.readings"]["files_before"], told["silver.readings"]["files_after"]) == (3, 1)
    assert versions(books) == before
    assert not (books.path / "_requests").exists()
    with pytest.raises(LakeMissing):
        maintain(settings_of(Lake(tmp_path / "none")), LAYERS)
    with pytest.raises(UsageError):
        maintain(settings_of(books), ["lead"])


def test_an_owner_is_asked_and_the_request_is_one(lake: Lake) -> None:
    with own_layer(lake, "silver"):
        for _ in range(2):
            bronze_done, silver_asked = maintain(settings_of(lake), ["bronze", "silver"], wait_seconds=3.0)
            assert bronze_done.done
            assert "the owner of silver has not answered" in silver_asked.message
        (request,) = pending_requests(lake, "silver")
        assert read_plan(request.subject) == plan_of(settings_of(lake))
    assert len(live_files(lake, SILVER_READINGS)) == 3
    (done,) = maintain(settings_of(lake), ["silver"])
    assert is_all_right([done])
    assert (pending_requests(lake, "silver"), len(live_files(lake, SILVER_READINGS))) == ([], 1)


def test_days_are_those_of_when_it_was_asked() -> None:
    settings = load_settings(options={"maintain.bronze_days": 30, "maintain.target_megabytes": 1}, environment={})
    plan = plan_of(settings, datetime(2026, 3, 31, 23, 59, tzinfo=timezone.utc))
    assert plan == Plan(1024 * 1024, {"bronze.events": date(2026, 3, 1)})
    assert read_plan(plan.as_text()) == plan
    for text in ("", "[]", "{}", '{"target_bytes": 1, "keep_from": {"bronze.events": "soon"}}'):
        with pytest.raises(UsageError):
            read_plan(text)


def test_an_interrupted_micro_batch_comes_first(lake: Lake) -> None:
    promotion_id = f"silver-{GENERATIONS['silver']}-3"
    promotion = {"promotion_id": promotion_id, "kind": "batch", "batch_id": 3, "decided_at": at("13:00:00")}
    Decisions(lake.checkpoint_path("silver")).keep(Decision(1, promotion, {}, {}))
    assert unfinished_batch(lake, "silver") == promotion_id
    (outcome,) = maintain(settings_of(lake), ["silver"])
    assert not outcome.done
    assert promotion_id in outcome.message
    assert "sluice run --once --layers silver" in outcome.message
    assert len(live_files(lake, SILVER_READINGS)) == 3
    append_rows(lake, OPS_SILVER_PROMOTIONS, [{**promotion, "layer": "silver"}])
    assert unfinished_batch(lake, "silver") is None
    assert is_all_right(maintain(settings_of(lake), ["silver"]))


def test_files_that_a_lagging_reader_needs_stay(lake: Lake) -> None:
    forget_at_once(lake, "silver.readings")
    # Gold has read up to version 3, the next one has no rows; these it has not.
    for offset in (10, 11):
        append_rows(lake, SILVER_READINGS, [reading(offset, at("12:00:00"))])
    maintain(settings_of(lake), ["silver"])
    time.sleep(0.01)
    (outcome,) = maintain(settings_of(lake), ["silver"])
    assert not is_all_right([outcome])
    (refused,) = outcome.refused
    assert refused.startswith("silver.readings: gold has read silver.readings up to version 4 of 7 (3 versions behind)")
    assert "still needs 5 of 5 files" in refused
    folder = Path(lake.table_path(SILVER_READINGS))
    assert len(list(folder.rglob("*.parquet"))) == 6
    shutil.rmtree(lake.checkpoint_path("gold"))
    (outcome,) = maintain(settings_of(lake), ["silver"])
    assert is_all_right([outcome])
    assert len(list(folder.rglob("*.parquet"))) == 1
    # What has gone is not removed a second time.
    before = versions(lake)
    assert is_all_right(maintain(settings_of(lake), ["silver"]))
    assert versions(lake) == before


def test_commits_that_a_lagging_reader_needs_stay(lake: Lake) -> None:
    for offset in range(10, 40):
        append_rows(lake, BRONZE_EVENTS, [bronze(offset)])
    checkpoint_log(lake, BRONZE_EVENTS)
    old = time.time() - LOG_SECONDS - 86_400
    for path in log_files(lake, BRONZE_EVENTS)[:-1]:
        os.utime(path, (old, old))
    found = upkeep(lake, "bronze")["bronze.events"]
    assert "silver has read bronze.events up to version 3 of 33 (30 versions behind)" in found.refused[0]
    assert (found.files_after, found.commits_after, len(log_files(lake, BRONZE_EVENTS))) == (33, 34, 34)
    shutil.rmtree(lake.checkpoint_path("silver"))
    found = upkeep(lake, "bronze")["bronze.events"]
    assert (found.refused, found.commits_after) == ([], 2)


def test_bronze_goes_once_silver_has_read_it(books: Lake) -> None:
    assert problems(audited(books.path)) == {}
    bronze_events = upkeep(books, "bronze", keep_from=date(2026, 3, 3))["bronze.events"]
    assert bronze_events.rows_removed == 0
    assert bronze_events.refused == [
        "16 records older than 2026-03-03 stay: silver has not begun to read bronze.events and still needs "
        "1 of iot.raw:1:1; let it catch up: sluice run"
    ]
    assert not books.has_table(OPS_FLOORS)
    bronze_events = upkeep(books, "bronze", keep_from=LATER)["bronze.events"]
    assert (bronze_events.rows_removed, bronze_events.refused) == (15, [])
    assert bronze_events.floors == ["iot.raw:1:0 before 12", "iot.raw:1:1 before 3"]
    assert len(read_rows(books, BRONZE_EVENTS, ("offset",))) == 1
    assert (audited(books.path).balances, problems(audited(books.path))) == (True, {})
    (first, _) = read_rows(books, OPS_FLOORS, OPS_FLOORS.column_names)
    assert (first["by"], first["why"], first["since"]) == ("ann", "old", None)


def test_quarantine_and_duplicates_go_below_what_bronze_let_go(books: Lake) -> None:
    found = upkeep(books, "silver", keep_from=LATER)
    assert [found[name].rows_removed for name in ("silver.quarantine", "silver.duplicates")] == [0, 0]
    assert found["silver.quarantine"].notes == [
        "3 rows older than 2026-03-02 stay: bronze, or younger rows before them, do"
    ]
    upkeep(books, "bronze", keep_from=LATER)
    assert upkeep(books, "silver", keep_from=EARLIER)["silver.quarantine"].rows_removed == 0
    planned = upkeep(books, "silver", keep_from=LATER, dry_run=True)
    found = upkeep(books, "silver", keep_from=LATER)
    for name, rows in (("silver.quarantine", 3), ("silver.duplicates", 1)):
        assert (planned[name].rows_removed, found[name].rows_removed, found[name].notes) == (rows, rows, []), name
    assert read_floors(books, SILVER_DUPLICATES) == {("iot.raw", 1, 0): 12}
    assert problems(audited(books.path)) == {}
    assert upkeep(books, "silver", keep_from=LATER)["silver.quarantine"].rows_removed == 0
    delete(books.path, "silver.readings", '"partition" = 1 AND "offset" = 1')
    assert "silver-g-4" in [item for items in problems(audited(books.path))["silver.ledger"].values() for item in items]


def test_younger_rows_end_what_goes(books: Lake) -> None:
    upkeep(books, "bronze", keep_from=LATER)
    quarantine = DeltaTable(books.table_path(SILVER_QUARANTINE))
    quarantine.update({"last_seen_at": "TIMESTAMP '2026-03-05T00:00:00Z'"}, predicate='"offset" = 7')
    found = upkeep(books, "silver", keep_from=LATER)["silver.quarantine"]
    assert (found.rows_removed, found.floors) == (2, ["iot.raw:1:0 before 7", "iot.raw:1:1 before 3"])
    assert problems(audited(books.path)) == {}


def die(*_: object) -> int:
    raise OSError("killed")


@pytest.fixture
def dying(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Dies after the floors are noted, before the rows go."""

    with monkeypatch.context() as patched:
        patched.setattr(retention, "delete_days", die)
        patched.setattr(retention, "delete_up_to", die)
        yield


def test_floors_stand_before_the_rows_go(books: Lake, dying: None) -> None:
    with pytest.raises(OSError, match="killed"):
        upkeep(books, "bronze", keep_from=LATER)
    assert read_floors(books, BRONZE_EVENTS) == {("iot.raw", 1, 0): 12, ("iot.raw", 1, 1): 3}
    assert len(read_rows(books, BRONZE_EVENTS, ("offset",))) == 16
    assert problems(audited(books.path)) == {}
    (outcome,) = maintain(settings_of(books, maintain__bronze_days=1, maintain__quarantine_days=1), ["silver"])
    assert (outcome.done, outcome.message[-6:]) == (False, "killed")
    assert problems(audited(books.path)) == {}


def test_repeated_after_a_death_it_comes_to_the_same(books: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(retention, "delete_days", die)
        with pytest.raises(OSError, match="killed"):
            upkeep(books, "bronze", keep_from=LATER)
    assert upkeep(books, "bronze", keep_from=LATER)["bronze.events"].rows_removed == 15
    assert len(read_rows(books, OPS_FLOORS, ("table",))) == 2


def test_records_that_a_clock_mixed_up_stay_together(books: Lake) -> None:
    delete(books.path, "bronze.events", '"partition" = 0 AND "offset" = 4')
    append(books.path, "bronze.events", [bronze(4, ingest_date=LATER)])
    (refused,) = upkeep(books, "bronze", keep_from=LATER)["bronze.events"].refused
    assert refused.startswith("14 records older than 2026-03-02 stay: among them lie records of iot.raw:1:0")
    assert len(read_rows(books, BRONZE_EVENTS, ("offset",))) == 16


def test_a_table_that_cannot_be_read_is_an_answer(lake: Lake) -> None:
    for path in (Path(lake.table_path(SILVER_READINGS)) / "event_date=2026-03-01").glob("*.parquet"):
        path.write_bytes(b"damaged")
    outcomes = maintain(settings_of(lake), LAYERS)
    assert [outcome.done for outcome in outcomes] == [True, False, True]
    assert "maintenance of silver failed" in outcomes[1].message
    assert not pending_requests(lake, "silver")
    assert current_version(lake, SILVER_READINGS) == 3


def test_the_job_says_what_it_did(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SLUICE_LAKE__PATH", str(lake.path))
    monkeypatch.setattr("sys.argv", ["maintain.py", "--layers", "bronze"])
    assert job_main() == 0
    assert capsys.readouterr().out == "bronze maintained: 3 files are now 1, 0 unreferenced ones removed\n"
    monkeypatch.setenv("SLUICE_LAKE__PATH", str(lake.path / "none"))
    assert job_main() == 3
    assert not is_all_right([LayerOutcome("gold", True, "", [{"table": "t", "refused": ["it"]}])])

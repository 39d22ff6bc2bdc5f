"""Upkeep of real Delta tables: the same rows in fewer files, transactions kept, nothing taken that is needed."""

from __future__ import annotations

import json
import os
import time
from datetime import date, timedelta
from pathlib import Path

import pytest
from deltalake import DeltaTable
from tests.unit.serving.lake_builder import at, bronze, copy_of
from tests.unit.tables.streamed_lake import append_rows as commit
from tests.unit.tables.streamed_lake import streamed_lake, write_batch, write_commit

from sluice.schemas import BRONZE_EVENTS, OPS_FLOORS, SILVER_DUPLICATES, SILVER_READINGS
from sluice.tables.changes import next_with_rows
from sluice.tables.delta import Transaction, current_version
from sluice.tables.floors import first_whole_day, note_floors, read_floors, stream_name, stream_of
from sluice.tables.lake import Lake
from sluice.tables.readers import find_reader, needed_files
from sluice.tables.rows import append_rows, create_table, read_rows
from sluice.tables.upkeep import (
    checkpoint_log,
    clean_log,
    compact,
    delete_days,
    delete_up_to,
    live_files,
    log_files,
    mergeable,
    old_commits,
    unreferenced_files,
    vacuum,
)

TARGET = 128 * 1024 * 1024
DAY = timedelta(days=1)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Bronze in thirty commits, on two days."""
    lake = Lake(tmp_path / "lake")
    lake.prepare()
    create_table(lake, BRONZE_EVENTS)
    for number in range(30):
        moment = at("12:00:00") + (number // 20) * DAY
        odd = {"ingest_date": moment.date(), "ingested_at": moment, "headers": [{"key": "k", "value": b"\x00"}]}
        row = bronze(number, b"\xff{}", **odd)
        append_rows([row], lake, BRONZE_EVENTS, Transaction("bronze:g", number))
    return lake


def all_rows(lake: Lake) -> list[str]:
    return sorted(map(repr, read_rows(lake, BRONZE_EVENTS, BRONZE_EVENTS.column_names)))


def make_old(*paths: Path, days: int = 40) -> None:
    for path in paths:
        os.utime(path, (time.time() - days * 86_400,) * 2)


def actions(lake: Lake) -> list[dict[str, dict[str, object]]]:
    newest = log_files(lake, BRONZE_EVENTS)[-1]
    return [json.loads(line) for line in newest.read_text("utf-8").splitlines()]


def test_compaction_moves_rows_and_changes_none(lake: Lake) -> None:
    before, files = all_rows(lake), live_files(lake, BRONZE_EVENTS)
    assert len(mergeable(files, TARGET)) == 30
    compact(lake, BRONZE_EVENTS, TARGET)
    after = live_files(lake, BRONZE_EVENTS)
    assert (len(after), sum(file.rows or 0 for file in after)) == (2, 30)
    assert all_rows(lake) == before
    assert mergeable(after, TARGET) == []
    moved = [each for action in actions(lake) for name, each in action.items() if name in ("add", "remove")]
    assert len(moved) == 32
    assert all(each["dataChange"] is False for each in moved)
    statistics = [json.loads(str(action["add"]["stats"])) for action in actions(lake) if "add" in action]
    assert {(each["minValues"]["offset"], each["maxValues"]["offset"]) for each in statistics} == {(0, 19), (20, 29)}


def test_a_short_log_knows_the_transactions_and_the_rows(lake: Lake) -> None:
    before = all_rows(lake)
    compact(lake, BRONZE_EVENTS, TARGET)
    checkpoint_log(lake, BRONZE_EVENTS)
    version = current_version(lake, BRONZE_EVENTS)
    assert old_commits(lake, BRONZE_EVENTS, version) == []
    make_old(*log_files(lake, BRONZE_EVENTS)[:-1])
    assert len(old_commits(lake, BRONZE_EVENTS, version)) == 31
    clean_log(lake, BRONZE_EVENTS)
    assert len(log_files(lake, BRONZE_EVENTS)) == 1
    append_rows([bronze(29)], lake, BRONZE_EVENTS, Transaction("bronze:g", 29))
    assert all_rows(lake) == before
    assert current_version(lake, BRONZE_EVENTS) == version


def test_only_old_files_that_nothing_refers_to_go(lake: Lake) -> None:
    folder = Path(lake.table_path(BRONZE_EVENTS)) / "ingest_date=2026-03-01"
    orphan, young = folder / "part-orphan.parquet", folder / "part-young.parquet"
    for path in (orphan, young):
        path.write_bytes(b"cut off")
    make_old(orphan, days=8)
    make_old(*folder.glob("part-0*"), days=8)
    assert unreferenced_files(lake, BRONZE_EVENTS) == [orphan]
    vacuum(lake, BRONZE_EVENTS)
    assert (orphan.exists(), young.exists(), len(all_rows(lake))) == (False, True, 30)


def test_days_go_with_their_files_whole(lake: Lake) -> None:
    assert delete_days(lake, BRONZE_EVENTS, date(2026, 3, 2)) == 20
    assert {name for action in actions(lake) for name in action} == {"commitInfo", "remove"}
    assert len(all_rows(lake)) == 10
    assert delete_days(lake, BRONZE_EVENTS, date(2026, 3, 2)) == 0


def test_rows_go_by_stream_and_offset(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    create_table(lake, SILVER_DUPLICATES)
    topic = "it's:odd"
    streams = [(topic, 1, 0), (topic, 2, 0), (topic, 1, 1)]
    rows = [
        copy_of(offset, at("12:00:00"), topic=stream[0], topic_generation=stream[1], partition=stream[2])
        for stream in streams
        for offset in range(4)
    ]
    append_rows(rows, lake, SILVER_DUPLICATES, Transaction("silver:g", 0))
    assert delete_up_to(lake, SILVER_DUPLICATES, [((topic, 1, 0), 3), ((topic, 1, 1), 1)]) == 4
    assert delete_up_to(lake, SILVER_DUPLICATES, []) == 0
    left = read_rows(lake, SILVER_DUPLICATES, ("topic_generation", "partition", "offset"))
    assert sorted(tuple(row.values()) for row in left) == [(1, 0, 3), (1, 1, 1), (1, 1, 2), (1, 1, 3)] + [
        (2, 0, offset) for offset in range(4)
    ]


def test_a_floor_is_noted_once_and_the_highest_counts(lake: Lake) -> None:
    stream = ("iot:raw", 2, 7)
    assert stream_of(stream_name(stream)) == stream
    assert (read_floors(lake, BRONZE_EVENTS), first_whole_day(lake, BRONZE_EVENTS, "event_time")) == ({}, None)
    for before in (5, 5, 3):
        note_floors(lake, BRONZE_EVENTS, {stream_name(stream): before, "event_time": date(2026, 3, before)}, "a", "b")
    assert read_floors(lake, BRONZE_EVENTS) == {stream: 5}
    assert first_whole_day(lake, BRONZE_EVENTS, "event_time") == date(2026, 3, 5)
    assert read_floors(lake, SILVER_DUPLICATES) == {}
    assert len(read_rows(lake, OPS_FLOORS, ("table",))) == 4


def test_a_reader_is_where_its_last_finished_batch_ended(tmp_path: Path) -> None:
    lake = streamed_lake(tmp_path / "lake")
    reader = find_reader(lake, BRONZE_EVENTS)
    assert reader is not None
    assert (reader.layer, reader.next_version, reader.newest, reader.lag) == ("silver", 4, 3, 0)
    assert needed_files(lake, reader) == set()
    commit(lake, BRONZE_EVENTS, [bronze(6)])
    # Begun, and not finished.
    write_batch(lake, "silver", 3)
    reader = find_reader(lake, BRONZE_EVENTS)
    assert reader is not None
    assert str(reader) == "silver has read bronze.events up to version 3 of 4 (1 versions behind)"
    needed = needed_files(lake, reader)
    assert needed == {Path(lake.table_path(BRONZE_EVENTS)) / file.path for file in live_files(lake, BRONZE_EVENTS)}
    write_commit(lake, "silver", 3)
    reader = find_reader(lake, BRONZE_EVENTS)
    assert reader is not None
    assert reader.lag == 0
    assert find_reader(lake, SILVER_DUPLICATES) is None


def test_a_reader_that_has_not_begun_needs_nothing_and_one_in_its_first_state_all_of_it(tmp_path: Path) -> None:
    lake = streamed_lake(tmp_path / "lake")
    checkpoint = lake.checkpoint_path("gold")
    for path in (checkpoint / "commits").iterdir():
        path.unlink()
    for batch_id in (1, 2):
        (checkpoint / "offsets" / str(batch_id)).unlink()
    first = checkpoint / "offsets" / "0"
    head, metadata, offset = first.read_text("utf-8").split("\n")
    state = {**json.loads(offset), "reservoirVersion": 2, "isStartingVersion": True}
    first.write_text("\n".join([head, metadata, json.dumps(state)]), "utf-8")
    reader = find_reader(lake, SILVER_READINGS)
    assert reader is not None
    assert (reader.next_version, reader.from_state, reader.lag) == (2, True, 2)
    before = {Path(lake.table_path(SILVER_READINGS)) / file.path for file in live_files(lake, SILVER_READINGS)}
    compact(lake, SILVER_READINGS, TARGET)
    reader = find_reader(lake, SILVER_READINGS)
    assert reader is not None
    needed = needed_files(lake, reader)
    assert needed is not None
    assert needed >= before
    # Where the log no longer reaches back to it, nothing may go.
    log_files(lake, SILVER_READINGS)[2].unlink()
    assert needed_files(lake, reader) is None
    first.unlink()
    assert find_reader(lake, SILVER_READINGS) is None


def test_tables_that_are_opened_at_a_version_show_that_version(lake: Lake) -> None:
    assert len(live_files(lake, BRONZE_EVENTS, 3)) == 3
    assert DeltaTable(lake.table_path(BRONZE_EVENTS)).version() == 30


def test_commits_that_only_move_rows_are_nothing_to_read(tmp_path: Path) -> None:
    lake = streamed_lake(tmp_path / "lake")
    compact(lake, BRONZE_EVENTS, TARGET)
    reader = find_reader(lake, BRONZE_EVENTS)
    assert reader is not None
    assert (reader.newest, reader.lag, needed_files(lake, reader)) == (4, 0, set())
    commit(lake, BRONZE_EVENTS, [bronze(6)])
    reader = find_reader(lake, BRONZE_EVENTS)
    assert reader is not None
    assert (reader.next_version, reader.lag) == (5, 1)
    assert next_with_rows(lake, BRONZE_EVENTS, 4, 4) == 5
    log_files(lake, BRONZE_EVENTS)[4].unlink()
    assert next_with_rows(lake, BRONZE_EVENTS, 4, 5) == 4

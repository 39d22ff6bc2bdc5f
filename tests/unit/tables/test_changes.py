from __future__ import annotations

import json
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from sluice.schemas import SILVER_DUPLICATES, SILVER_READINGS
from sluice.tables.changes import NetFiles, Unread, appended_files, changed_days, files_at, net_files, unread_rows
from sluice.tables.lake import Lake

FIRST = datetime(2024, 1, 1, 23, 59, 59, 999_999, tzinfo=timezone.utc)
SCHEMA = pa.schema([("event_time", pa.timestamp("us", tz="UTC")), ("event_date", pa.date32())])


def write(lake: Lake, *times: datetime | None, readings: bool = False) -> None:
    rows = [{"event_time": time, "event_date": time and time.date()} for time in times]
    table = SILVER_READINGS if readings else SILVER_DUPLICATES
    frame = pa.Table.from_pylist(rows, schema=SCHEMA)
    write_deltalake(lake.table_path(table), frame, mode="append", partition_by=["event_date"] if readings else None)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def test_only_commits_after_a_version_count_and_only_up_to_the_other(lake: Lake) -> None:
    for number in range(4):
        write(lake, FIRST + timedelta(days=number))
    days = changed_days(lake, SILVER_DUPLICATES, "event_time", 0, 2)
    assert days == {date(2024, 1, 2), date(2024, 1, 3)}
    assert changed_days(lake, SILVER_DUPLICATES, "event_time", 3, 3) == set()


def test_days_of_a_partitioned_table_are_its_partitions(lake: Lake) -> None:
    write(lake, FIRST, readings=True)
    write(lake, FIRST, FIRST + timedelta(microseconds=1), readings=True)
    assert changed_days(lake, SILVER_READINGS, "event_date", 0, 1) == {date(2024, 1, 1), date(2024, 1, 2)}


def test_rewritten_and_deleted_rows_count_and_compaction_does_not(lake: Lake) -> None:
    write(lake, FIRST, FIRST + timedelta(days=1))
    write(lake, FIRST + timedelta(days=9))
    table = DeltaTable(lake.table_path(SILVER_DUPLICATES))
    table.optimize.compact()
    compacted = table.version()
    table.delete("event_time < '2024-01-02 00:00:00Z'")
    assert changed_days(lake, SILVER_DUPLICATES, "event_time", 1, compacted) == set()
    rewritten = {date(2024, 1, 1), date(2024, 1, 2), date(2024, 1, 10)}
    assert changed_days(lake, SILVER_DUPLICATES, "event_time", compacted, compacted + 1) == rewritten


def test_odd_times_have_a_day_too(lake: Lake) -> None:
    write(lake, FIRST)
    odd = pa.array([-1, 2**63 - 1, -(2**63), None], pa.timestamp("us", tz="UTC"))
    frame = pa.table({"event_time": odd, "event_date": pa.array([None] * 4, pa.date32())}, schema=SCHEMA)
    write_deltalake(lake.table_path(SILVER_DUPLICATES), frame, mode="append")
    expected = {date(1970, 1, 1), date.max}
    assert changed_days(lake, SILVER_DUPLICATES, "event_time", 0, 1) == expected


def test_nothing_is_told_where_a_commit_or_a_file_is_gone(lake: Lake) -> None:
    write(lake, FIRST)
    write(lake, FIRST)
    folder = Path(lake.table_path(SILVER_DUPLICATES))
    assert changed_days(lake, SILVER_DUPLICATES, "event_time", 2, 1) is None
    assert changed_days(lake, SILVER_DUPLICATES, "event_time", 0, 2) is None
    for file in folder.glob("*.parquet"):
        file.unlink()
    assert changed_days(lake, SILVER_DUPLICATES, "event_time", 0, 1) is None


def rows_in(files: list[Path] | None) -> list[datetime]:
    assert files is not None
    return [row["event_time"] for file in files for row in pq.read_table(file).to_pylist()]


def test_rows_that_a_version_added_are_in_its_files_and_rewritten_ones_in_none(lake: Lake) -> None:
    write(lake, FIRST)
    write(lake, FIRST + timedelta(days=1), FIRST + timedelta(days=2))
    table = DeltaTable(lake.table_path(SILVER_DUPLICATES))
    table.update({"event_date": "'2024-05-05'"})
    table.optimize.compact()
    added = [rows_in(appended_files(lake, SILVER_DUPLICATES, version)) for version in range(table.version() + 1)]
    assert added[:2] == [[FIRST], [FIRST + timedelta(days=1), FIRST + timedelta(days=2)]]
    assert added[2:] == [[]] * (table.version() - 1)
    assert appended_files(lake, SILVER_DUPLICATES, table.version() + 1) is None


def test_a_version_holds_what_it_held_then(lake: Lake) -> None:
    write(lake, FIRST)
    write(lake, FIRST + timedelta(days=1))
    assert rows_in(files_at(lake, SILVER_DUPLICATES, 0)) == [FIRST]
    assert sorted(rows_in(files_at(lake, SILVER_DUPLICATES, 1))) == [FIRST, FIRST + timedelta(days=1)]
    assert files_at(lake, SILVER_DUPLICATES, 2) is None


def test_files_of_a_partitioned_table_are_found_whatever_its_partitions_are_called(lake: Lake) -> None:
    write(lake, FIRST, readings=True)
    for files in (appended_files(lake, SILVER_READINGS, 0), files_at(lake, SILVER_READINGS, 0)):
        assert files is not None
        assert [file.exists() for file in files] == [True]


def names(found: NetFiles | None) -> tuple[int, int]:
    assert found is not None
    assert all(path.is_file() for paths in found for path in paths)
    return len(found.added), len(found.removed)


def test_files_that_came_and_went_between_two_versions_are_no_difference(lake: Lake) -> None:
    folder = Path(lake.table_path(SILVER_DUPLICATES))
    write(lake, FIRST)
    write(lake, FIRST)
    write(lake, FIRST)
    table = DeltaTable(folder)
    table.optimize.compact()
    table.delete()
    assert names(net_files(folder, 0, 0)) == (0, 0)
    assert names(net_files(folder, 0, 2)) == (2, 0)
    assert names(net_files(folder, 0, 3)) == (1, 1)
    assert names(net_files(folder, 2, 3)) == (1, 3)
    assert names(net_files(folder, 0, 4)) == (0, 1)
    assert names(net_files(folder, 2, 4)) == (0, 3)


def test_the_difference_of_versions_is_not_told_without_their_commits_and_files(lake: Lake) -> None:
    folder = Path(lake.table_path(SILVER_READINGS))
    write(lake, FIRST, readings=True)
    write(lake, FIRST + timedelta(days=1), readings=True)
    assert names(net_files(folder, 0, 1)) == (1, 0)
    assert net_files(folder, 1, 0) is None
    assert net_files(folder, 0, 2) is None
    for file in folder.rglob("event_date=2024-01-02/*.parquet"):
        file.unlink()
    assert net_files(folder, 0, 1) is None


def test_unread_rows_are_those_that_later_commits_appended_whatever_their_writer_tells(lake: Lake) -> None:
    for number in range(3):
        write(lake, FIRST, FIRST + timedelta(days=number))
    table = DeltaTable(lake.table_path(SILVER_DUPLICATES))
    assert all("numOutputRows" not in (each.get("operationMetrics") or {}) for each in table.history())
    since = min(each["timestamp"] for each in table.history(2)) / 1000
    assert unread_rows(lake, SILVER_DUPLICATES, 0, 2) == Unread(4, since)
    assert unread_rows(lake, SILVER_DUPLICATES, 2, 2) == Unread(0, None)
    table.optimize.compact()
    assert unread_rows(lake, SILVER_DUPLICATES, 0, table.version()) == Unread(4, since)
    (Path(lake.table_path(SILVER_DUPLICATES)) / "_delta_log" / f"{1:020d}.json").unlink()
    assert unread_rows(lake, SILVER_DUPLICATES, 0, 2).rows == 2


def test_unread_rows_of_a_file_without_statistics_are_told_by_the_file(lake: Lake) -> None:
    write(lake, FIRST, FIRST)
    log = Path(lake.table_path(SILVER_DUPLICATES)) / "_delta_log" / f"{0:020d}.json"
    actions = [json.loads(line) for line in log.read_text().splitlines()]
    for action in actions:
        if "add" in action:
            del action["add"]["stats"]
    log.write_text("\n".join(map(json.dumps, actions)))
    assert unread_rows(lake, SILVER_DUPLICATES, -1, 0).rows == 2

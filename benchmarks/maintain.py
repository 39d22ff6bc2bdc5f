"""What `sluice maintain` gives back: a table of many small commits, read before and after, and one written at once.

The same readings thrice, ten to a commit, on two days; read whole as `open_lake().arrow` does, the log included, each
time by a lake that was opened anew. The first read of each variant is not counted.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from benchmarks.measure import Series, print_table
from sluice.pipelines.maintenance import maintain_layer, plan_of
from sluice.schemas import SILVER_READINGS
from sluice.serving.lake import open_lake
from sluice.settings import load_settings
from sluice.tables.lake import Lake
from sluice.tables.rows import arrow_schema, create_table
from sluice.tables.upkeep import live_files, log_files

ABOUT = "reading a table of small commits before and after sluice maintain"
EVENTS = 100_000
ROWS_A_COMMIT = 10
_START = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


def run(folder: Path, events: int, runs: int) -> list[Series]:
    """Measures reads of the fresh, the fragmented and the maintained table, and the maintenance itself."""
    fresh, small = _create(folder / "fresh"), _create(folder / "small")
    write_deltalake(fresh.table_path(SILVER_READINGS), _rows(0, events), mode="append")
    began = time.monotonic()
    table = DeltaTable(small.table_path(SILVER_READINGS))
    for rows in _commits(events):
        write_deltalake(table, rows, mode="append")
    print(f"  {events // ROWS_A_COMMIT:,} commits written in {time.monotonic() - began:.0f} s", flush=True)
    series = [Series("freshly written"), Series("after small commits"), Series("after maintenance")]
    _read(fresh, series[0], runs)
    _read(small, series[1], runs)
    upkeep = Series("the maintenance itself")
    for number in range(runs):
        copy = Lake(Path(shutil.copytree(small.path, folder / f"copy{number}")))
        began = time.monotonic()
        (done,) = maintain_layer(copy, "silver", plan_of(load_settings(environment={})), "", "", dry_run=False)
        upkeep.add(time.monotonic() - began, files_before=done.files_before, files_after=done.files_after)
    _read(copy, series[2], runs)
    print_table([*series, upkeep], series[0])
    ratio = series[2].median / series[0].median
    assert ratio <= 1.5, f"after maintenance a read takes {ratio:.2f} times as long as of a fresh table"
    return [*series, upkeep]


def _create(path: Path) -> Lake:
    lake = Lake(path)
    lake.prepare()
    create_table(lake, SILVER_READINGS)
    return lake


def _commits(events: int) -> Iterator[pa.Table]:
    for first in range(0, events, ROWS_A_COMMIT):
        yield _rows(first, min(first + ROWS_A_COMMIT, events))


def _rows(first: int, end: int) -> pa.Table:
    rows = []
    for number in range(first, end):
        moment = _START + timedelta(seconds=number % 86_400)
        row = {"event_id": f"e{number}", "device_id": f"sensor-{number % 200:04}", "event_time": moment}
        values = {"temperature_celsius": number % 997 / 10, "humidity_percent": number % 613 / 10, "schema_version": 2}
        where = {"topic": "iot.raw", "topic_generation": 1, "partition": number % 4, "offset": number // 4}
        marks = {"quality_flag": "valid", "failed_rules": [], "promotion_id": f"silver-bench-{number // ROWS_A_COMMIT}"}
        rows.append({**row, **values, **where, **marks, "promoted_at": moment, "event_date": moment.date()})
    return pa.Table.from_pylist(rows, arrow_schema(SILVER_READINGS))


def _read(lake: Lake, series: Series, runs: int) -> None:
    files, commits = len(live_files(lake, SILVER_READINGS)), len(log_files(lake, SILVER_READINGS))
    for number in range(runs + 1):
        began = time.monotonic()
        rows = open_lake(lake.path).arrow(SILVER_READINGS.full_name).num_rows
        if number:
            series.add(time.monotonic() - began, rows=rows, files=files, commits=commits)

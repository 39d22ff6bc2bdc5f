"""What `sluice maintain` gives back: a table of many small commits, read before and after, and one written at once.

The same readings, a hundred to a commit, on two days; read whole as `open_lake().arrow` does, the log included, each
time by a lake that was opened anew. The first read of each variant is not counted. The small commits are written as
files of Parquet and of the log, with a checkpoint of it after every hundredth as the jobs' tables have: through
deltalake ten thousand of them take longer than everything else.
"""

from __future__ import annotations

import json
import shutil
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
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
EVENTS = 1_000_000
ROWS_A_COMMIT = 100
_CHECKPOINT_COMMITS = 100
_TURNS = 5
_START = datetime(2026, 3, 1, 0, tzinfo=timezone.utc)


def run(folder: Path, events: int, runs: int) -> list[Series]:
    """Measures reads of the fresh, the fragmented and the maintained table, and the maintenance itself."""
    fresh, small = _create(folder / "fresh"), _create(folder / "small")
    write_deltalake(fresh.table_path(SILVER_READINGS), _rows(0, events), mode="append")
    began = time.monotonic()
    for version, first in enumerate(range(0, events, ROWS_A_COMMIT), 1):
        _commit(Path(small.table_path(SILVER_READINGS)), version, _rows(first, min(first + ROWS_A_COMMIT, events)))
    print(f"  {events // ROWS_A_COMMIT:,} commits written in {time.monotonic() - began:.0f} s", flush=True)
    series = [Series("freshly written"), Series("after small commits"), Series("after maintenance")]
    upkeep = Series("the maintenance itself")
    for number in range(runs):
        copy = Lake(Path(shutil.copytree(small.path, folder / f"copy{number}")))
        began = time.monotonic()
        (done,) = maintain_layer(copy, "silver", plan_of(load_settings(environment={})), "", "", dry_run=False)
        upkeep.add(time.monotonic() - began, files_before=done.files_before, files_after=done.files_after)
    for number in range(runs + 1):
        _read(small, series[1], counts=number > 0)
    # In turns, so that what else the machine does falls on both of them; often, since it takes no time.
    for number in range(_TURNS * runs + 1):
        _read(fresh, series[0], counts=number > 0)
        _read(copy, series[2], counts=number > 0)
    print_table([*series, upkeep], series[0])
    ratio = series[2].median / series[0].median
    assert ratio <= 1.5, f"after maintenance a read takes {ratio:.2f} times as long as of a fresh table"
    return [*series, upkeep]


def _create(path: Path) -> Lake:
    lake = Lake(path)
    lake.prepare()
    create_table(lake, SILVER_READINGS)
    return lake


def _commit(folder: Path, version: int, rows: pa.Table) -> None:
    day = rows["event_date"][0].as_py()
    path = f"event_date={day}/part-{version:05}.parquet"
    (folder / path).parent.mkdir(exist_ok=True)
    pa.parquet.write_table(rows.drop_columns(["event_date"]), folder / path)
    stamp = time.time_ns() // 1_000_000
    statistics = json.dumps({"numRecords": rows.num_rows})
    file = {"path": path, "partitionValues": {"event_date": f"{day}"}, "size": (folder / path).stat().st_size}
    added = {"add": {**file, "modificationTime": stamp, "dataChange": True, "stats": statistics}}
    info = {"commitInfo": {"timestamp": stamp, "operation": "WRITE"}}
    log = folder / "_delta_log" / f"{version:020}.json"
    log.write_text(f"{json.dumps(info)}\n{json.dumps(added)}\n", "utf-8")
    if version % _CHECKPOINT_COMMITS == 0:
        DeltaTable(folder).create_checkpoint()


def _rows(first: int, end: int) -> pa.Table:
    rows = []
    for number in range(first, end):
        moment = _START + timedelta(seconds=number // ROWS_A_COMMIT * 17)
        row = {"event_id": f"e{number}", "device_id": f"sensor-{number % 200:04}", "event_time": moment}
        values = {"temperature_celsius": number % 997 / 10, "humidity_percent": number % 613 / 10, "schema_version": 2}
        where = {"topic": "iot.raw", "topic_generation": 1, "partition": number % 4, "offset": number // 4}
        marks = {"quality_flag": "valid", "failed_rules": [], "promotion_id": f"silver-bench-{number // ROWS_A_COMMIT}"}
        rows.append({**row, **values, **where, **marks, "promoted_at": moment, "event_date": moment.date()})
    return pa.Table.from_pylist(rows, arrow_schema(SILVER_READINGS))


def _read(lake: Lake, series: Series, *, counts: bool) -> None:
    files, commits = len(live_files(lake, SILVER_READINGS)), len(log_files(lake, SILVER_READINGS))
    began = time.monotonic()
    rows = open_lake(lake.path).arrow(SILVER_READINGS.full_name).num_rows
    if counts:
        series.add(time.monotonic() - began, rows=rows, files=files, commits=commits)

"""What a large silver costs: the same backlog through an empty silver, and through one that holds many rows already.

Those rows are written without Spark, in files as silver writes them, of the days up to the middle of the backlog: half
of its events fall into hours that silver holds. The variants take turns in one Spark session.
"""

from __future__ import annotations

import shutil
import time
from datetime import datetime, timezone
from pathlib import Path

import duckdb

from benchmarks.audit import write_selected
from benchmarks.load import BACKLOG_MS, DEVICES, backlog, fill_bronze
from benchmarks.measure import Series, cpu_seconds, print_table
from benchmarks.processes import size_of
from benchmarks.silver_drain import copy_lake, drain_silver, in_lake, ledger_sums
from sluice.schemas import SILVER_READINGS
from sluice.session import open_session
from sluice.settings import load_settings
from sluice.tables.lake import Lake
from sluice.tables.rows import create_table

ABOUT = "silver's cost of an event when silver holds many rows already, and when it is empty"
EVENTS = 1_000_000
OPTIONS = {"rows": 100_000_000}
# Of one micro-batch of silver.
_COMMIT = 1_000_000
_COUNTS = ("rows_in", "rows_promoted", "rows_quarantined", "rows_duplicate", "rows_held")
_BYTES_A_ROW = 100


def run(folder: Path, events: int, runs: int, rows: int) -> list[Series]:
    """Measures both variants in turns; the first turn warms up and is not counted."""
    free = shutil.disk_usage(folder).free
    assert free > 2 * rows * _BYTES_A_ROW, f"{free:,} bytes are free below {folder}; set TMPDIR, or take fewer --rows"
    options = {"lake.path": str(folder / "empty"), "broker.data_path": str(folder / "broker")}
    settings = load_settings(options=options, environment={})
    spark = open_session(settings, "benchmarks")
    try:
        plan = backlog(events)
        fill_bronze(spark, settings, plan)
        shutil.rmtree(folder / "broker")
        copy_lake(folder / "empty", folder / "big")
        began = time.monotonic()
        _write_silver(Lake(folder / "big"), rows, BACKLOG_MS + round(events * plan.step_ms / 2), plan.step_ms)
        size = size_of(folder / "big" / SILVER_READINGS.relative_path) / max(1, rows)
        print(f"  {rows:,} rows of {size:.0f} bytes written in {time.monotonic() - began:.0f} s", flush=True)
        series = {"empty": Series("empty silver"), "big": Series(f"{rows:,} rows in silver")}
        mine = in_lake(settings, folder / "lake")
        counted = []
        for turn in range(runs + 1):
            for name in ("empty", "big") if turn % 2 else ("big", "empty"):
                copy_lake(folder / name, mine.lake.path)
                used = cpu_seconds(spark)
                seconds = drain_silver(spark, mine)
                used = (cpu_seconds(spark) - used) / events * 1e6
                print(f"  {series[name].name}: {seconds:.1f} s, {used:.1f} µs of processor an event", flush=True)
                counted.append(ledger_sums(mine, *_COUNTS))
                if turn:
                    series[name].add(seconds, **{"processor µs/event": used, "events/s": events / seconds})
    finally:
        spark.stop()
    assert all(counts == counted[0] for counts in counted), counted
    found = list(series.values())
    print_table(found, found[0])
    return found


def _write_silver(lake: Lake, rows: int, end_ms: int, step_ms: float) -> None:
    """Writes readings of the devices in turns, one each `step_ms`, the last of them at `end_ms`."""
    create_table(lake, SILVER_READINGS)
    first = datetime.fromtimestamp((end_ms - rows * step_ms) / 1000, timezone.utc).isoformat()
    at = f"TIMESTAMPTZ '{first}' + to_milliseconds((i * {step_ms})::BIGINT)"
    v2 = "i % 10 < 8"
    columns = {
        # As random as the ids that devices give.
        **{"event_id": "md5(i::VARCHAR)", "device_id": f"printf('sensor-%04d', i % {DEVICES})", "event_time": at},
        **{"schema_version": f"CASE WHEN {v2} THEN 2 ELSE 1 END", "event_date": f"({at})::DATE"},
        **{"temperature_celsius": "15 + (hash(i) % 1500) / 100.0", "humidity_percent": "30 + (hash(i) % 5000) / 100.0"},
        **{"pressure_hpa": f"CASE WHEN {v2} THEN 980 + (hash(i) % 5000) / 100.0 END"},
        **{"battery_percent": f"CASE WHEN {v2} THEN (hash(i) % 1000) / 10.0 END"},
        **{"latitude": f"CASE WHEN {v2} THEN 45 + (i % {DEVICES}) / 1e3 END"},
        **{"longitude": f"CASE WHEN {v2} THEN 7 + (i % {DEVICES}) / 1e3 END"},
        **{"status": "'ok'", "firmware": f"CASE WHEN {v2} THEN '1.4.2' END"},
        **{"customer": f"'customer-' || i % {DEVICES} % 7", "site": f"'site-' || i % {DEVICES} % 31"},
        **{"quality_flag": "'valid'", "failed_rules": "[]", "topic": "'iot.before'", "topic_generation": "1"},
        **{"partition": "hash(i) % 4", "offset": "i // 4", "kafka_timestamp": at, "ingested_at": at, "promoted_at": at},
        "promotion_id": f"'silver-0123456789ab-' || i // {_COMMIT}",
    }
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for start in range(0, rows, _COMMIT):
        some = f"FROM range({start}, {min(start + _COMMIT, rows)}) AS t(i)"
        write_selected(connection, lake.path, SILVER_READINGS, columns, some, {})

"""What `sluice audit` costs: a lake whose books balance is written without Spark, and audited as from the shell.

Two variants of the same number of records. In one a device reports every five seconds, as the registry has it, so that
a minute has twelve readings; in the other once a minute, so that gold has as many minutes as there are values.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
from deltalake import write_deltalake

from benchmarks.measure import Series, print_table
from sluice.schemas import (
    BRONZE_EVENTS,
    GOLD_HELD,
    GOLD_LATEST_READINGS,
    GOLD_READINGS_1MIN,
    LAKE_FORMAT,
    METRIC_UNITS,
    OPS_GOLD_PROMOTIONS,
    OPS_SILVER_PROMOTIONS,
    SILVER_DUPLICATES,
    SILVER_HELD,
    SILVER_QUARANTINE,
    SILVER_READINGS,
    Table,
)
from sluice.serving.empty_tables import duckdb_type

ABOUT = "sluice audit on a lake whose books balance"
EVENTS = 10_000_000
BATCH = 500_000
PARTITIONS = 4
DEVICES = 200
_START = "TIMESTAMPTZ '2026-03-01 00:00:00+00'"
_METRICS = {"temperature_celsius": "20 + (i % 997) / 100.0", "humidity_percent": "40 + (i % 613) / 20.0"}
_AT = f"{_START} + to_milliseconds((i // {DEVICES}) * $step + i % {DEVICES})"
_COORDINATES = {"topic": "'iot.raw'", "topic_generation": "1", "partition": f"i % {PARTITIONS}"}
_COORDINATES["offset"] = f"i // {PARTITIONS}"
_DEVICE = f"printf('sensor-%04d', i % {DEVICES})"
# One record in a hundred each is refused, and is a copy.
_REFUSED, _COPY = "i % 100 = 7", "i % 100 = 13"


def run(folder: Path, events: int, runs: int) -> list[Series]:
    """Measures both variants; the first run of each finds the files as they were left by writing them."""
    measured = []
    for name, step_ms in (("12 readings a minute", 5_000), ("1 reading a minute", 60_000)):
        lake = folder / "lake"
        shutil.rmtree(lake, ignore_errors=True)
        began = time.monotonic()
        write_lake(lake, events, step_ms)
        print(f"  {name}: lake written in {time.monotonic() - began:.0f} s", flush=True)
        series = Series(name)
        for _ in range(runs):
            _audit(lake, series)
            print(f"  {name}: {series.seconds[-1]:.1f} s", flush=True)
        measured.append(series)
    print_table(measured, measured[0])
    return measured


def _audit(lake: Path, series: Series) -> None:
    began = time.monotonic()
    answer = audit_lake({"SLUICE_LAKE__PATH": str(lake), "SLUICE_BROKER__DATA_PATH": str(lake / "no-broker")})
    seconds = time.monotonic() - began
    # Of the largest process so far; the lake is written in this one.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    checks = {f"{check['check']}_seconds": check["seconds"] for check in answer["checks"]}
    series.add(seconds, peak_mebibytes=peak, **checks)


def audit_lake(settings: Mapping[str, str]) -> dict[str, Any]:
    """What `sluice audit --json` says of a lake whose books must balance.

    Args:
        settings: as environment variables.
    """
    command = [sys.executable, "-c", "from sluice.cli import main; main()", "audit", "--json"]
    done = subprocess.run(command, env={**os.environ, **settings}, stdout=subprocess.PIPE, check=False)
    answer: dict[str, Any] = json.loads(done.stdout)
    assert (done.returncode, answer["balances"]) == (0, True), answer
    return answer


def write_lake(path: Path, events: int, step_ms: int) -> None:
    """Writes bronze, silver, gold and both ledgers, one commit of each per batch, as the jobs would have.

    Args:
        step_ms: between two readings of a device.
    """
    path.mkdir(parents=True)
    (path / "_sluice.json").write_text(json.dumps({"lake_format": LAKE_FORMAT}), "utf-8")
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for number, first in enumerate(range(0, events, BATCH)):
        rows = f"FROM range({first}, {min(first + BATCH, events)}) AS t(i)"
        _write_batch(connection, path, number, rows, {"step": step_ms})
    nothing = "FROM range(0) AS t(i)"
    for table in (SILVER_HELD, GOLD_HELD):
        write_selected(connection, path, table, {}, nothing, {})
    _write_gold(connection, path, step_ms)


def _write_batch(
    connection: duckdb.DuckDBPyConnection, path: Path, number: int, rows: str, values: Mapping[str, object]
) -> None:
    batch, ingested = f"'silver-bench-{number}'", f"{_START} + to_days(40) + to_seconds({number})"
    record = {**_COORDINATES, "kafka_timestamp": _AT}
    text = f'printf(\'{{{{"device_id":"%s","timestamp":"%s","temperature":%.2f,"humidity":%.2f}}}}\', {_DEVICE}, '
    message = f"encode({text}({_AT})::VARCHAR, {', '.join(f'({each})::DOUBLE' for each in _METRICS.values())}))"
    bronze = {**record, "ingested_at": ingested, "ingest_date": f"({ingested})::DATE", "value": message}
    write_selected(connection, path, BRONZE_EVENTS, bronze, rows, values)
    key = {"device_id": _DEVICE, "event_time": _AT, "event_id": "'e' || i"}
    common = {**key, **record, "promotion_id": batch, "event_date": f"({_AT})::DATE"}
    marked = {"quality_flag": "'valid'", "failed_rules": "[]", "ingested_at": ingested, "promoted_at": ingested}
    readings = {**common, **_METRICS, **marked, "schema_version": "1"}
    write_selected(
        connection, path, SILVER_READINGS, readings, f"{rows} WHERE NOT ({_REFUSED}) AND NOT ({_COPY})", values
    )
    refused = {**record, "promotion_id": batch, "status": "'open'", "error_code": "'NOT_JSON'", "value": message}
    write_selected(connection, path, SILVER_QUARANTINE, refused, f"{rows} WHERE {_REFUSED}", values)
    write_selected(connection, path, SILVER_DUPLICATES, common, f"{rows} WHERE {_COPY}", values)
    ends = f"SELECT i % {PARTITIONS} AS p, max(i // {PARTITIONS}) AS o {rows} GROUP BY ALL"
    ledger = {
        **{"promotion_id": batch, "layer": "'silver'", "kind": "'batch'", "verdict": "'PROMOTE'", "rows_held": "0"},
        **{"batch_id": f"{number}", "from_version": f"{number}", "to_version": f"{number}", "decided_at": ingested},
        "offsets": f"(SELECT map(list('iot.raw:1:' || p), list(o)) FROM ({ends}))",  # noqa: S608 (our own names)
        **{"rows_in": "count(*)", "rows_promoted": f"count_if(NOT ({_REFUSED}) AND NOT ({_COPY}))"},
        **{"rows_quarantined": f"count_if({_REFUSED})", "rows_duplicate": f"count_if({_COPY})"},
    }
    write_selected(connection, path, OPS_SILVER_PROMOTIONS, ledger, rows, {})
    gold = {**ledger, "promotion_id": f"'gold-bench-{number}'", "layer": "'gold'", "offsets": "NULL"}
    gold |= {"rows_in": "0", "rows_promoted": "0", "rows_quarantined": "0", "rows_duplicate": "0"}
    write_selected(connection, path, OPS_GOLD_PROMOTIONS, gold, "FROM range(1) AS t(i)", {})


def _write_gold(connection: duckdb.DuckDBPyConnection, path: Path, step_ms: int) -> None:
    expected = 60_000 / step_ms
    for day in sorted((path / SILVER_READINGS.relative_path).glob("event_date=*")):
        silver = f"read_parquet('{day}/*.parquet', hive_partitioning = false)"
        long = " UNION ALL ".join(
            f"SELECT device_id, event_time, '{name}' AS metric, {name} AS v, '{METRIC_UNITS[name]}' AS u FROM {silver}"  # noqa: S608
            for name in _METRICS
        )
        bucket = "date_trunc('minute', event_time::TIMESTAMP)::TIMESTAMPTZ"
        minute = {
            **{"bucket": bucket, "device_id": "device_id", "metric": "metric", "unit": "any_value(u)"},
            **{"reading_count": "count(*)", "value_mean": "avg(v)", "value_min": "min(v)", "value_max": "max(v)"},
            **{"value_stddev": "stddev_samp(v)", "out_of_range_count": "0", "expected_count": f"{expected}"},
            "completeness_percent": f"least(100.0, count(*) * 100.0 / {expected})",
            "bucket_date": f"DATE '{day.name.removeprefix('event_date=')}'",
        }
        write_selected(connection, path, GOLD_READINGS_1MIN, minute, f"FROM ({long}) GROUP BY ALL", {})
    # A device's last reading is not always on the last day.
    silver = f"read_parquet('{path / SILVER_READINGS.relative_path}/event_date=*/*.parquet', hive_partitioning = false)"
    last = {"device_id": "device_id", "event_time": "max(event_time)", "quality_flag": "'valid'"}
    for name in _METRICS:
        latest = {**last, "metric": f"'{name}'", "value": f"max_by({name}, event_time)"}
        write_selected(connection, path, GOLD_LATEST_READINGS, latest, f"FROM {silver} GROUP BY ALL", {})


def write_selected(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    table: Table,
    columns: Mapping[str, str],
    rows: str,
    values: Mapping[str, object],
) -> None:
    """Appends rows that DuckDB makes, in one commit.

    Args:
        columns: SQL by column; one that is not given is null.
        rows: the rest of the query, from FROM on.
        values: of its parameters.
    """
    listed = ", ".join(
        f'CAST({columns.get(name, "NULL")} AS {duckdb_type(kind)}) AS "{name}"' for name, kind in table.columns
    )
    frame = connection.sql(f"SELECT {listed} {rows}", params=dict(values)).to_arrow_table()
    partition_by = [table.partition_by] if table.partition_by else None
    write_deltalake(str(path / table.relative_path), frame, mode="append", partition_by=partition_by)

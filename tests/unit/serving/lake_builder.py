"""Small lakes for the tests of the readers: rows with good defaults, written as the jobs' tables without Spark."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import write_deltalake

from sluice.schemas import LAKE_FORMAT, TABLES
from sluice.serving.lake import open_lake
from sluice.serving.queries import bind_parameters, load_queries
from sluice.serving.readonly import run_read_only
from sluice.settings import home
from sluice.tables.rows import arrow_schema

Row = Mapping[str, object]
Rows = Mapping[str, Sequence[Row]]

_TABLES = {table.full_name: table for table in TABLES}


def at(text: str) -> datetime:
    """A moment of 2026-03-01 in UTC, e.g. at("12:00:05")."""
    return datetime.fromisoformat(f"2026-03-01T{text}").replace(tzinfo=timezone.utc)


def build_lake(path: Path, rows: Rows) -> Path:
    """A lake holding the given tables; a column that a row leaves out is null."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "_sluice.json").write_text(json.dumps({"lake_format": LAKE_FORMAT}))
    for name, entries in rows.items():
        append(path, name, entries)
    return path


def append(path: Path, name: str, entries: Sequence[Row]) -> None:
    """One more commit with rows of a table."""
    table = _TABLES[name]
    frame = pa.Table.from_pylist([dict(entry) for entry in entries], schema=arrow_schema(table))
    write_deltalake(
        str(path / table.relative_path),
        frame,
        mode="append",
        partition_by=[table.partition_by] if table.partition_by else None,
    )


def bronze(offset: int, value: bytes | None = b"{}", **odd: object) -> Row:
    """A row of bronze.events."""
    moment = at("12:00:00")
    row = {"topic": "iot.raw", "topic_generation": 1, "partition": 0, "offset": offset, "kafka_timestamp": moment}
    return {**row, "ingested_at": moment, "ingest_date": moment.date(), "value": value, **odd}


def reading(offset: int, event_time: datetime, **odd: object) -> Row:
    """A row of silver.readings: a valid version-2 event of sensor-0001."""
    row: dict[str, object] = {
        "event_id": f"e{offset}",
        "device_id": "sensor-0001",
        "event_time": event_time,
        "schema_version": 2,
        "temperature_celsius": 20.0,
        "quality_flag": "valid",
        "failed_rules": [],
        "topic": "iot.raw",
        "topic_generation": 1,
        "partition": 0,
        "offset": offset,
        "event_date": event_time.date(),
    }
    return {**row, **odd}


def refused(offset: int, error_code: str, **odd: object) -> Row:
    """A row of silver.quarantine, still open."""
    row = {"topic": "iot.raw", "topic_generation": 1, "partition": 0, "offset": offset, "error_code": error_code}
    seen = {"first_seen_at": at("12:00:00"), "last_seen_at": at("12:00:00"), "attempts": 1, "status": "open"}
    return {**row, **seen, "error_detail": f"detail {offset}", **odd}


def copy_of(offset: int, event_time: datetime, **odd: object) -> Row:
    """A row of silver.duplicates: a copy of an event of sensor-0001."""
    row = {"topic": "iot.raw", "topic_generation": 1, "partition": 0, "offset": offset, "device_id": "sensor-0001"}
    return {**row, "event_time": event_time, "event_id": "e1", **odd}


def promotion(number: int, **odd: object) -> Row:
    """A row of a ledger: one promoted batch of silver."""
    row: dict[str, object] = {"promotion_id": f"p{number}", "layer": "silver", "kind": "batch", "verdict": "PROMOTE"}
    counts = dict.fromkeys(("rows_in", "rows_promoted", "rows_quarantined", "rows_duplicate", "rows_held"), 0)
    return {**row, **counts, "decided_at": at("12:00:00"), **odd}


def minute(bucket: datetime, **odd: object) -> Row:
    """A row of gold.readings_1min: 12 temperatures of sensor-0001."""
    row: dict[str, object] = {"bucket": bucket, "device_id": "sensor-0001", "metric": "temperature_celsius"}
    values = {"unit": "°C", "reading_count": 12, "value_mean": 20.5, "value_min": 20.0, "value_max": 21.0}
    return {**row, **values, "out_of_range_count": 0, "bucket_date": bucket.date(), **odd}


def ask(lake: Path, name: str, **given: str) -> list[dict[str, Any]]:
    """The answer of a shipped query, a dict a row."""
    query = load_queries(home() / "conf" / "queries")[name]
    answer = run_read_only(open_lake(lake), query.sql, bind_parameters(query, given) or None, query.optional)
    return [dict(zip(answer.columns, row, strict=True)) for row in answer.rows()]


def held(offset: int, promotion_id: str, **odd: object) -> Row:
    """A row of silver.held, still open."""
    return {**bronze(offset), "promotion_id": promotion_id, "status": "open", **odd}


def config(kind: str, digest: str, text: str) -> Row:
    """A row of ops.configs."""
    return {"kind": kind, "hash": digest, "text": text, "first_used_at": at("00:00:00")}


def suite_text(*rules: Mapping[str, object]) -> str:
    """The text of a suite, name silver_readings."""
    return json.dumps({"name": "silver_readings", "expectations": list(rules)})


def between(rule_id: str, column: str, low: float, high: float, severity: str = "critical") -> dict[str, object]:
    """A range rule as it stands in a suite."""
    return {
        "type": "expect_column_values_to_be_between",
        "kwargs": {"column": column, "min_value": low, "max_value": high},
        "severity": severity,
        "description": f"{column} is possible.",
        "meta": {"rule_id": rule_id, "dimension": "validity"},
    }

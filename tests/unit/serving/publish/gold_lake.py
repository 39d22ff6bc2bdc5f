"""A small lake of gold tables whose minutes change as gold's job changes them, and what a store must hold of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from tests.unit.serving.lake_builder import Row, at, build_lake, minute

from sluice.pipelines.publish import Publisher, Publishing
from sluice.schemas import GOLD_READINGS_1MIN
from sluice.serving.lake import open_lake
from sluice.serving.publish.tables import STORE_TABLES
from sluice.settings import Settings, load_settings
from sluice.tables.rows import arrow_schema

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=timezone.utc)
MINUTES = "gold.readings_1min"
LATEST = "gold.latest_readings"
REGISTRY = """\
devices:
  - device_id: sensor-0001
    customer: acme
    site: berlin
    expected_interval_seconds: 5
    metrics: {temperature_celsius: {min: -10, max: 60}}
"""
KEYS = {table.name: table.key for table in STORE_TABLES}


def latest(device_id: str = "sensor-0001", **odd: object) -> Row:
    """A row of gold.latest_readings: a temperature at 12:00:05."""
    row: dict[str, object] = {"device_id": device_id, "metric": "temperature_celsius", "value": 20.5}
    row |= {"event_time": at("12:00:05"), "quality_flag": "valid", "expected_interval_seconds": 5.0}
    return {**row, **odd}


def gold_lake(path: Path, minutes: int = 3) -> Path:
    """A lake of one device: so many minutes from 12:00 on, and its latest reading."""
    buckets = [at("12:00:00") + timedelta(minutes=number) for number in range(minutes)]
    rows = [minute(bucket, updated_at=at("13:00:00.000001")) for bucket in buckets]
    return build_lake(path, {MINUTES: rows, LATEST: [latest()]})


def merge(lake: Path, row: Row, table: str = MINUTES) -> None:
    """Replaces a minute, or adds it, by a MERGE that writes its neighbours anew."""
    frame = pa.Table.from_pylist([dict(row)], schema=arrow_schema(GOLD_READINGS_1MIN))
    met = " AND ".join(f"t.{name} = s.{name}" for name in ("bucket", "device_id", "metric"))
    merging = DeltaTable(lake / table.replace(".", "/")).merge(frame, met, source_alias="s", target_alias="t")
    merging.when_matched_update_all().when_not_matched_insert_all().execute()


def delete(lake: Path, where: str) -> None:
    """Deletes minutes."""
    DeltaTable(lake / "gold/readings_1min").delete(where)


def overwrite_day(lake: Path, rows: list[Row]) -> None:
    """Puts minutes in place of those of 2026-03-01, as a replay does."""
    frame = pa.Table.from_pylist([dict(row) for row in rows], schema=arrow_schema(GOLD_READINGS_1MIN))
    folder = str(lake / "gold/readings_1min")
    write_deltalake(folder, frame, mode="overwrite", predicate="bucket_date = '2026-03-01'")


def settings_of(lake: Path, **options: Any) -> Settings:
    """Settings with a registry of one device beside the lake."""
    registry = lake.parent / "devices.yaml"
    registry.write_text(REGISTRY)
    named = {"lake.path": lake, "devices.path": registry, "publish.path": lake.parent / "store.sqlite"}
    values = {key: str(value) for key, value in named.items()}
    return load_settings(options={**values, **{k.replace("__", "."): v for k, v in options.items()}}, environment={})


def publish(settings: Settings, environment: Mapping[str, str] | None = None, again: bool = False) -> Publishing:
    """One pass at NOW, by a publisher of its own."""
    publisher = Publisher(settings, environment or {}, lambda: NOW)
    try:
        return publisher.publish(again)
    finally:
        publisher.close()


def in_gold(lake: Path, table: str, kept_from: datetime | None = None) -> list[dict[str, Any]]:
    """What the store must hold of minutes or latest readings, in the order of the key."""
    (spec,) = (each for each in STORE_TABLES if each.source == table)
    rows = open_lake(lake).arrow(table, columns=spec.column_names).to_pylist()
    kept = [row for row in rows if kept_from is None or row[spec.dated_by] >= kept_from]
    return sorted(kept, key=lambda row: tuple(row[name] for name in spec.key))


def changed(found: Publishing) -> dict[str, tuple[int, int]]:
    """Rows upserted and deleted, by table."""
    return {table.table: (table.upserted, table.deleted) for table in found.tables}

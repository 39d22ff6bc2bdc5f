"""A lake that three micro-batches have gone through, each of two or three rows, as the jobs leave it; without Spark."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from tests.unit.serving.lake_builder import Row, at, bronze, reading

from sluice.schemas import (
    BRONZE_EVENTS,
    LEDGERS,
    OPS_GOLD_PROMOTIONS,
    OPS_SILVER_PROMOTIONS,
    SILVER_QUARANTINE,
    SILVER_READINGS,
    Table,
)
from sluice.tables.checkpoints import seal_offsets
from sluice.tables.lake import Lake
from sluice.tables.rows import arrow_schema

BATCHES = 3
GENERATIONS = {"bronze": "b00000000000", "silver": "500000000000", "gold": "900000000000"}
METADATA = '{"batchWatermarkMs":0,"batchTimestampMs":1795264633587,"conf":{}}'


def streamed_lake(path: Path) -> Lake:
    """Bronze has read offsets 0 to 5 of partition 0 and 0 to 2 of partition 1; the others have read all of bronze."""
    lake = Lake(path)
    lake.prepare()
    for table in (BRONZE_EVENTS, SILVER_READINGS, SILVER_QUARANTINE, OPS_SILVER_PROMOTIONS, OPS_GOLD_PROMOTIONS):
        _commit(lake, table, [], {})
    for batch_id in range(BATCHES):
        events = [bronze(2 * batch_id), bronze(2 * batch_id + 1), bronze(batch_id, partition=1)]
        _commit(lake, BRONZE_EVENTS, events, {"sluice:bronze:b00000000000:bronze.events": batch_id})
        _promote(lake, batch_id)
    return lake


def _promote(lake: Lake, batch_id: int) -> None:
    promotion_id = f"silver-{GENERATIONS['silver']}-{batch_id}"
    readings = [
        reading(offset, at("12:00:00"), partition=partition, promotion_id=promotion_id)
        for partition, offset in ((0, 2 * batch_id), (0, 2 * batch_id + 1), (1, batch_id))
    ]
    _commit(lake, SILVER_READINGS, readings, {})
    offsets = {"iot.raw:1:0": 2 * batch_id + 1, "iot.raw:1:1": batch_id}
    for layer, ledger in LEDGERS.items():
        row: dict[str, Any] = {
            "promotion_id": f"{layer}-{GENERATIONS[layer]}-{batch_id}",
            "layer": layer,
            "kind": "batch",
            "batch_id": batch_id,
            "from_version": batch_id + 1 if batch_id else 0,
            "to_version": batch_id + 1,
            "offsets": offsets if layer == "silver" else None,
            "rows_in": 3,
            "rows_promoted": 3,
            "verdict": "PROMOTE",
            "decided_at": at("12:00:01"),
        }
        _commit(lake, ledger, [row], {f"sluice:{layer}:{GENERATIONS[layer]}:{ledger.full_name}": batch_id})
    for layer in GENERATIONS:
        write_batch(lake, layer, batch_id)
        write_commit(lake, layer, batch_id)


def _commit(lake: Lake, table: Table, rows: Sequence[Row], transactions: Mapping[str, int]) -> None:
    frame = pa.Table.from_pylist([dict(row) for row in rows], schema=arrow_schema(table))
    applied = [Transaction(app_id=name, version=version) for name, version in transactions.items()]
    by = [table.partition_by] if table.partition_by else None
    write_deltalake(
        lake.table_path(table),
        frame,
        mode="append",
        partition_by=by,
        commit_properties=CommitProperties(app_transactions=applied),
    )


def append_rows(lake: Lake, table: Table, rows: Sequence[Row]) -> None:
    """One more commit, under no transaction."""
    _commit(lake, table, rows, {})


def offset_of(lake: Lake, layer: str, batch_id: int) -> dict[str, Any]:
    """Where a micro-batch ends."""
    if layer == "bronze":
        return {"iot.raw": {"0": 2 * batch_id + 2, "1": batch_id + 1}}
    upstream = DeltaTable(lake.table_path({"silver": BRONZE_EVENTS, "gold": SILVER_READINGS}[layer]))
    return {
        "sourceVersion": 1,
        "reservoirId": str(upstream.metadata().id),
        "reservoirVersion": batch_id + 2,
        "index": -1,
        "isStartingVersion": False,
    }


def write_batch(lake: Lake, layer: str, batch_id: int, *, seal: bool = True) -> Path:
    """The offsets file of a micro-batch as Spark writes it, with what comes with the first one."""
    checkpoint = lake.checkpoint_path(layer)
    path = checkpoint / "offsets" / str(batch_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    (checkpoint / "generation").write_text(f"{GENERATIONS[layer]}\n")
    (checkpoint / "metadata").write_text('{"id":"7eaf1148-62ba-4325-a28c-605b0fe6aff6"}')
    path.write_text("\n".join(["v1", METADATA, json.dumps(offset_of(lake, layer, batch_id), separators=(",", ":"))]))
    (path.parent / f".{batch_id}.crc").write_bytes(b"crc")
    if seal:
        seal_offsets(checkpoint, batch_id)
    return path


def write_commit(lake: Lake, layer: str, batch_id: int) -> Path:
    """The commits file of a micro-batch as Spark writes it."""
    path = lake.checkpoint_path(layer) / "commits" / str(batch_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('v1\n{"nextBatchWatermarkMs":0}')
    return path

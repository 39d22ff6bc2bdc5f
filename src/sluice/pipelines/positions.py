"""How far a layer has come, told by the tables alone: what a rebuilt checkpoint goes on from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deltalake import DeltaTable

from sluice.schemas import BATCH, BRONZE_EVENTS, LEDGERS, OPS_SILVER_PROMOTIONS, UPSTREAM, Table
from sluice.serving.files import TableFiles
from sluice.serving.lake import OpenLake
from sluice.tables.checkpoints import COMMITS, OFFSETS, batch_ids, read_generation
from sluice.tables.damage import last_written
from sluice.tables.lake import Lake
from sluice.tables.rebuild import Start


def decided_offsets(lake: Lake) -> dict[str, int]:
    """By ``topic:topic_generation:partition`` the last offset that silver's ledger tells of."""
    sql = f"""
        SELECT entry.key AS stream, max(entry.value) AS last
        FROM (
            SELECT unnest(map_entries(offsets)) AS entry
            FROM {OPS_SILVER_PROMOTIONS.full_name} WHERE kind = '{BATCH}'
        )
        GROUP BY ALL
    """  # noqa: S608 (own names)
    rows = TableFiles(OpenLake(lake)).query(sql, {}, [OPS_SILVER_PROMOTIONS])
    return {row["stream"]: row["last"] for row in rows}


def landed_offsets(lake: Lake, topic: str, generation: int) -> dict[int, int]:
    """By partition the next offset that bronze has to read.

    What bronze no longer holds, silver's ledger may still tell of.
    """
    sql = f"""
        SELECT partition, max("offset") AS last FROM {BRONZE_EVENTS.full_name}
        WHERE topic = $topic AND topic_generation = $generation GROUP BY ALL
    """  # noqa: S608 (own names)
    named = {"topic": topic, "generation": generation}
    rows = TableFiles(OpenLake(lake)).query(sql, named, [BRONZE_EVENTS])
    found = {int(row["partition"]): int(row["last"]) for row in rows}
    for stream, last in decided_offsets(lake).items():
        name, number, partition = stream.rsplit(":", 2)
        if (name, int(number)) == (topic, generation):
            found[int(partition)] = max(last, found.get(int(partition), -1))
    return {partition: last + 1 for partition, last in sorted(found.items())}


def newest_generation(lake: Lake) -> int:
    """The greatest topic_generation that bronze holds or silver's ledger tells of, 1 where there is none."""
    sql = f"SELECT max(topic_generation) AS newest FROM {BRONZE_EVENTS.full_name}"  # noqa: S608 (own names)
    rows = TableFiles(OpenLake(lake)).query(sql, {}, [BRONZE_EVENTS])
    # Retention may have taken all of it out of bronze.
    return max(int(rows[0]["newest"] or 1), *(int(name.rsplit(":", 2)[1]) for name in decided_offsets(lake)), 1)


def start_of(lake: Lake, layer: str) -> Start:
    """Where silver or gold goes on: after the last version of the table above it that its ledger tells of."""
    row = _summary(lake, layer)
    last_id = last_batch(lake, layer, row["batch_id"])
    decided = decided_offsets(lake) if layer == "silver" else {}
    if not row["promotions"]:
        return Start(last_id, None)
    return Start(last_id, _delta_offset(lake, UPSTREAM[layer], row["version"]), decided)


def last_version(lake: Lake, layer: str) -> int | None:
    """The last version of the table above it that the ledger of silver or gold says was read whole."""
    version = _summary(lake, layer)["version"]
    return None if version is None else int(version)


def _summary(lake: Lake, layer: str) -> dict[str, Any]:
    sql = f"""
        SELECT max(to_version) AS version, max(batch_id) AS batch_id, count(*) AS promotions
        FROM {LEDGERS[layer].full_name} WHERE kind = '{BATCH}'
    """  # noqa: S608 (own names)
    (row,) = TableFiles(OpenLake(lake)).query(sql, {}, [LEDGERS[layer]])
    return row


def last_batch(lake: Lake, layer: str, known: int | None = None) -> int:
    """The greatest id of a micro-batch of the layer: `known`, and what checkpoint and table tell; at least 1."""
    checkpoint = lake.checkpoint_path(layer)
    generation = read_generation(checkpoint)
    written = last_written(lake, layer, generation) if generation else None
    ids = [*batch_ids(checkpoint, OFFSETS)[-1:], *batch_ids(checkpoint, COMMITS)[-1:], known, written, 1]
    return max(each for each in ids if each is not None)


def _delta_offset(lake: Lake, upstream: Table, version: int | None) -> dict[str, Any]:
    """The offset of Delta's source behind a version, or, where its log does not reach back to that, before all rows."""
    path = lake.table_path(upstream)
    table = DeltaTable(path)
    newest = table.version()
    following = -1 if version is None else version + 1
    is_there = (Path(path) / "_delta_log" / f"{following:020d}.json").is_file() or following == newest + 1
    return {
        "sourceVersion": 1,
        "reservoirId": str(table.metadata().id),
        "reservoirVersion": following if is_there else newest,
        "index": -1,
        "isStartingVersion": not is_there,
    }

"""Promotions that wrote rows and died before their ledger row, finished without the checkpoint they had.

In silver, what such a promotion has placed stays placed. The rest of its records, up to the last one placed in each
partition, is judged and deduplicated against today's silver and placed under the same id; then the ledger row says
what is there. Nothing is taken back, so gold, which may have read it, stays right. Gold computes its minutes anew
whatever was written of them; only what it held is taken away first. Killed and repeated all of it comes to the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import reduce
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from sluice import schemas
from sluice.errors import CheckpointDamaged, CheckpointLost
from sluice.pipelines.ledger import record_promotion
from sluice.pipelines.positions import last_version
from sluice.pipelines.silver import SilverJob
from sluice.schemas import (
    BRONZE_EVENTS,
    COORDINATES,
    GOLD_HELD,
    OPS_GOLD_PROMOTIONS,
    OPS_SILVER_PROMOTIONS,
    SILVER_DUPLICATES,
    SILVER_HELD,
    SILVER_QUARANTINE,
    SILVER_READINGS,
)
from sluice.serving.files import TableFiles
from sluice.serving.lake import OpenLake
from sluice.tables.decisions import Decision
from sluice.tables.delta import Transaction, change_status, delete_rows, read_table
from sluice.tables.lake import Lake
from sluice.tables.requests import pending_requests
from sluice.transforms.bronze import drop_decided
from sluice.transforms.records import as_records

BY = "sluice recover"
_WHY = "begun under a checkpoint that was lost or damaged; finished by sluice recover"
_BATCH = re.compile(r"silver-[0-9a-f]+-(\d+)(-approve)?")
_PLACES = {
    SILVER_READINGS: "rows_promoted",
    SILVER_QUARANTINE: "rows_quarantined",
    SILVER_DUPLICATES: "rows_duplicate",
    SILVER_HELD: "rows_held",
}


@dataclass(frozen=True)
class Unfinished:
    """A promotion whose rows are in silver's tables and that no ledger row tells of.

    Attributes:
        last: by ``topic:topic_generation:partition`` the greatest offset it has placed.
    """

    promotion_id: str
    last: Mapping[str, int]

    @property
    def batch_id(self) -> int | None:
        """Of the micro-batch it is, or whose held rows it approves; None for what is asked for by a request alone."""
        found = _BATCH.fullmatch(self.promotion_id)
        return int(found.group(1)) if found else None

    @property
    def parent(self) -> str | None:
        """The promotion whose held rows it approves."""
        suffix = f"-{schemas.APPROVE}"
        return self.promotion_id.removesuffix(suffix) if self.promotion_id.endswith(suffix) else None


def find_unfinished(lake: Lake) -> list[Unfinished]:
    """The unfinished promotions of silver, in the order of their ids."""
    columns = ", ".join(f'"{name}"' for name in ("promotion_id", *COORDINATES))
    placed = " UNION ALL ".join(f"SELECT {columns} FROM {table.full_name}" for table in _PLACES)  # noqa: S608 (own names)
    sql = f"""
        SELECT promotion_id, topic || ':' || topic_generation || ':' || partition AS stream, max("offset") AS last
        FROM ({placed}) ANTI JOIN {OPS_SILVER_PROMOTIONS.full_name} USING (promotion_id)
        GROUP BY ALL ORDER BY promotion_id
    """  # noqa: S608 (own names)
    found: dict[str, dict[str, int]] = {}
    for row in TableFiles(OpenLake(lake)).query(sql, {}, [*_PLACES, OPS_SILVER_PROMOTIONS]):
        found.setdefault(row["promotion_id"], {})[row["stream"]] = row["last"]
    return [Unfinished(promotion_id, last) for promotion_id, last in found.items()]


def finish(
    spark: SparkSession, lake: Lake, job: SilverJob, promotion: Unfinished, decided: Mapping[str, int]
) -> dict[str, int]:
    """Finishes one.

    Args:
        job: of a generation that has written nothing.
        decided: by partition, as in `Unfinished.last`, the last offset that the ledger tells of.

    Returns:
        The ledger's counts; none for what the next start finishes by itself.

    Raises:
        CheckpointDamaged: what it was asked to do is not known any more.
    """
    if promotion.batch_id is None:
        if _surviving_decision(job, promotion.promotion_id):
            # The request that it came from is still there, and the next start carries it out to its end.
            return {}
        raise CheckpointDamaged(
            f"{promotion.promotion_id} was begun, and what it was to do is gone with the checkpoint",
            "restore the folder decisions of silver's checkpoint from a backup",
        )
    if promotion.parent:
        held = read_table(spark, lake, SILVER_HELD).where(F.col("promotion_id") == promotion.parent)
        mine = held.where(F.col("status") != schemas.HELD_REJECTED)
    else:
        events = read_table(spark, lake, BRONZE_EVENTS).where(_up_to(promotion.last))
        mine = drop_decided(events, decided)
    rest = mine.join(_placed(spark, lake, promotion.promotion_id), on=list(COORDINATES), how="left_anti")
    if not rest.isEmpty():
        job.place(as_records(rest), promotion.promotion_id)
    if promotion.parent:
        open_rows = (F.col("promotion_id") == promotion.parent) & (F.col("status") == schemas.HELD_OPEN)
        change_status(spark, lake, SILVER_HELD, open_rows, schemas.HELD_APPROVED)
    row = _ledger_row(spark, lake, job, promotion)
    transaction = Transaction(f"silver:recover:{promotion.promotion_id}", 0)
    record_promotion(lake, OPS_SILVER_PROMOTIONS, row, transaction)
    return {name: row[name] for name in ("rows_in", *_PLACES.values())}


def _up_to(last: Mapping[str, int]) -> Column:
    return reduce(Column.__or__, [_is_up_to(stream, offset) for stream, offset in last.items()])


def _is_up_to(stream: str, offset: int) -> Column:
    topic, generation, partition = stream.rsplit(":", 2)
    named = (F.col("topic") == topic) & (F.col("topic_generation") == int(generation))
    return named & (F.col("partition") == int(partition)) & (F.col("offset") <= offset)


def _placed(spark: SparkSession, lake: Lake, promotion_id: str) -> DataFrame:
    frames = [
        read_table(spark, lake, table).where(F.col("promotion_id") == promotion_id).select(*COORDINATES)
        for table in _PLACES
    ]
    return reduce(DataFrame.unionAll, frames)


def _ledger_row(spark: SparkSession, lake: Lake, job: SilverJob, promotion: Unfinished) -> dict[str, Any]:
    counts = {
        name: read_table(spark, lake, table).where(F.col("promotion_id") == promotion.promotion_id).count()
        for table, name in _PLACES.items()
    }
    decision = _surviving_decision(job, promotion.promotion_id)
    known = dict(decision.promotion) if decision else {}
    verdict = schemas.HOLD if counts["rows_held"] else schemas.PROMOTE_WITH_WARNINGS
    asked = _request_for(lake, promotion)
    return {
        **known,
        "promotion_id": promotion.promotion_id,
        "layer": job.layer,
        "kind": schemas.APPROVE if promotion.parent else schemas.BATCH,
        "parent_promotion_id": promotion.parent,
        "batch_id": promotion.batch_id,
        # What of the batch comes after them is the next one's: of its last version this one has not read all.
        "offsets": None if promotion.parent else dict(promotion.last),
        "from_version": None,
        "to_version": None if promotion.parent else last_version(lake, job.layer),
        **counts,
        "rows_in": sum(counts.values()),
        "verdict": known.get("verdict", verdict),
        "decided_by": known.get("decided_by") or asked.get("decided_by", BY),
        "why": f"{known.get('why') or asked.get('why', '')}; {_WHY}".removeprefix("; "),
        "decided_at": known.get("decided_at") or datetime.now(timezone.utc),
    }


def find_held_minutes(lake: Lake) -> dict[str, int]:
    """The promotions of gold that held minutes and died before their ledger row, with the minutes each holds."""
    sql = f"""
        SELECT promotion_id, count(*) AS minutes
        FROM {GOLD_HELD.full_name} ANTI JOIN {OPS_GOLD_PROMOTIONS.full_name} USING (promotion_id)
        GROUP BY ALL ORDER BY promotion_id
    """  # noqa: S608 (own names)
    rows = TableFiles(OpenLake(lake)).query(sql, {}, [GOLD_HELD, OPS_GOLD_PROMOTIONS])
    return {row["promotion_id"]: row["minutes"] for row in rows}


def drop_held_minutes(spark: SparkSession, lake: Lake, promotion_ids: Iterable[str]) -> None:
    """Takes the minutes away that such promotions held; the next start judges them anew, with all else they touched."""
    delete_rows(spark, lake, GOLD_HELD, F.col("promotion_id").isin(list(promotion_ids)))


def _surviving_decision(job: SilverJob, promotion_id: str) -> Decision | None:
    try:
        return job.keeper.decisions.find(promotion_id)
    except CheckpointLost:
        return None


def _request_for(lake: Lake, promotion: Unfinished) -> dict[str, str]:
    for request in pending_requests(lake, "silver") if promotion.parent else []:
        if (request.action, request.subject) == (schemas.APPROVE, promotion.parent):
            return {"decided_by": request.by, "why": f"approved by {request.by}: {request.why}"}
    return {}

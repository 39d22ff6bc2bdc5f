"""What people ask of a layer's owner: carried out between micro-batches, once, however often it is asked."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any, Protocol

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from sluice import schemas
from sluice.errors import SluiceError
from sluice.pipelines.interrupted import unfinished_batch
from sluice.pipelines.ledger import record_promotion
from sluice.pipelines.maintenance import MAINTAIN, maintain_as_asked
from sluice.schemas import HELD_TABLES, LEDGERS
from sluice.tables.decisions import Decision
from sluice.tables.delta import Transaction, change_status, read_table
from sluice.tables.lake import Lake
from sluice.tables.requests import Answer, Request, answer_request, ready_requests

logger = logging.getLogger("sluice")
Action = Callable[[SparkSession, Lake, Request], Answer]
_DONE = {schemas.APPROVE: "approved", schemas.REJECT: "rejected"}


class Approving(Protocol):
    """A layer's job as requests need it."""

    @property
    def layer(self) -> str: ...

    @property
    def own_actions(self) -> Mapping[str, Action]:
        """What this layer alone is asked for, by the action of the request."""
        ...

    def approve(self, spark: SparkSession, parent: str, by: str, why: str) -> Decision:
        """Promotes what is held of a promotion."""
        ...


def answer_pending(spark: SparkSession, lake: Lake, job: Approving) -> None:
    """Carries out the layer's pending requests, oldest first, and answers each.

    While a micro-batch that was interrupted is not finished, they wait: it was compared with silver as it then was,
    and would not see what they promote.
    """
    requests = ready_requests(lake, job.layer)
    if requests and unfinished_batch(lake, job.layer):
        return
    for request in requests:
        try:
            answer = _answer(spark, lake, job, request)
        except SluiceError as error:
            answer = Answer(False, error.in_one_line)
        logger.info("%s: %s", job.layer, answer.message)
        answer_request(lake, request, answer)


def _answer(spark: SparkSession, lake: Lake, job: Approving, request: Request) -> Answer:
    if request.action == MAINTAIN:
        return maintain_as_asked(lake, request)
    own = job.own_actions.get(request.action)
    return own(spark, lake, request) if own else _decide_hold(spark, lake, job, request)


def _decide_hold(spark: SparkSession, lake: Lake, job: Approving, request: Request) -> Answer:
    ledger = read_table(spark, lake, LEDGERS[job.layer])
    mine = ledger.where((F.col("promotion_id") == request.subject) | (F.col("parent_promotion_id") == request.subject))
    rows = {row["kind"]: row for row in mine.collect()}
    for kind, done in _DONE.items():
        if kind in rows:
            by, at = rows[kind]["decided_by"], rows[kind]["decided_at"]
            return Answer(kind == request.action, f"{request.subject} was {done} by {by} at {at:%Y-%m-%d %H:%M:%S} UTC")
    if schemas.BATCH not in rows:
        return Answer(False, f"the ledger of {job.layer} has no promotion {request.subject}")
    held = rows[schemas.BATCH]["rows_held"]
    if not held:
        return Answer(False, f"nothing of {request.subject} is held; its verdict was {rows[schemas.BATCH]['verdict']}")
    if request.action == schemas.REJECT:
        count = _reject(spark, lake, job.layer, rows[schemas.BATCH], request)
        return Answer(True, f"{request.subject} rejected: {count:,} rows stay in {job.layer}.held")
    row = job.approve(spark, request.subject, request.by, request.why).promotion
    counts = f"{row['rows_promoted']:,} promoted, {row['rows_quarantined']:,} quarantined"
    return Answer(True, f"{request.subject} approved: {counts}, {row['rows_duplicate']:,} duplicate")


def _reject(spark: SparkSession, lake: Lake, layer: str, parent: Any, request: Request) -> int:
    table, promotion_id = HELD_TABLES[layer], parent["promotion_id"]
    mine = F.col("promotion_id") == promotion_id
    change_status(spark, lake, table, mine & (F.col("status") == schemas.HELD_OPEN), schemas.HELD_REJECTED)
    count = read_table(spark, lake, table).where(mine & (F.col("status") == schemas.HELD_REJECTED)).count()
    copied = ("layer", "batch_id", "suite", "suite_hash", "contract_hash", "registry_hash", "verdict")
    row = {
        **{name: parent[name] for name in copied},
        "promotion_id": f"{promotion_id}-{schemas.REJECT}",
        "kind": schemas.REJECT,
        "parent_promotion_id": promotion_id,
        "rows_in": count,
        "rows_promoted": 0,
        "rows_quarantined": 0,
        "rows_duplicate": 0,
        "rows_held": count,
        "decided_by": request.by,
        "why": request.why,
        "decided_at": datetime.now(timezone.utc),
    }
    application = f"{layer}:{schemas.REJECT}:{promotion_id}"
    record_promotion(lake, LEDGERS[layer], row, Transaction(application, 0))
    return count

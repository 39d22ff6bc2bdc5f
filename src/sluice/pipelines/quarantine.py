"""What people decide about quarantined records: judged anew under today's rulebook, or discarded, once.

Which records that are is fixed by the decision: the open ones of the selection in one version of silver/quarantine.
The order of a replay: the decision; readings; duplicates; the statuses of all its records in one commit; the ledger
row. Repeated after a death it reads the same version again, decides the same, and Delta drops what was written.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial, reduce
from typing import TYPE_CHECKING, Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from sluice import schemas
from sluice.pipelines.approvals import Action
from sluice.pipelines.kept import kept_in_memory
from sluice.pipelines.ledger import record_promotion
from sluice.schemas import BRONZE_EVENTS, COORDINATES, OPS_SILVER_PROMOTIONS, SILVER_QUARANTINE
from sluice.serving.values import printable
from sluice.tables.decisions import Decision
from sluice.tables.delta import Change, Transaction, Upsert, change_rows, current_version, read_table
from sluice.tables.lake import Lake
from sluice.tables.requests import Answer, Request
from sluice.tables.selection import Selection, read_selection
from sluice.transforms.records import as_records, with_landing
from sluice.transforms.silver import ACCEPTED, REASON_COLUMNS, REFUSED, select_outcomes

if TYPE_CHECKING:
    from sluice.pipelines.silver import SilverJob
    from sluice.pipelines.silver_work import Work

LAYER = "silver"
# What requests ask for; the kinds of promotion that come of it.
REPLAY_QUARANTINED, DISCARD_QUARANTINED = "replay-quarantined", "discard-quarantined"
_KINDS = {REPLAY_QUARANTINED: schemas.REPLAY, DISCARD_QUARANTINED: schemas.DISCARD}
_DONE = {schemas.REPLAY: "replayed", schemas.DISCARD: "discarded"}
_REFUSED_AGAIN = {name: f"source.`{name}`" for name in REASON_COLUMNS} | {
    "attempts": "target.`attempts` + 1",
    "last_seen_at": "source.`seen_at`",
}
_DISCARDED = {"status": f"'{schemas.QUARANTINE_DISCARDED}'", "last_seen_at": "source.`seen_at`"}

_OUTDATED = "; the running job reads new records as it did until it is restarted"


@dataclass(frozen=True)
class Rehearsal:
    """What a replay would do.

    Attributes:
        rows: the ledger's counts.
        refused: records that would still be refused, by error code.
    """

    rows: Mapping[str, int]
    refused: Mapping[str, int]


def promotion_of(request: Request) -> str:
    """The promotion_id of what a request asks for, the same however often it is begun."""
    return f"{LAYER}-{_KINDS[request.action]}-{request.request_id}"


def quarantine_actions(job: SilverJob) -> dict[str, Action]:
    """What the owner of silver does about quarantined records, by the action of the request."""
    return {action: partial(_carry_out, job) for action in _KINDS}


def _carry_out(job: SilverJob, spark: SparkSession, lake: Lake, request: Request) -> Answer:
    promotion_id, kind = promotion_of(request), _KINDS[request.action]
    ledger = read_table(spark, lake, OPS_SILVER_PROMOTIONS)
    if done := ledger.where(F.col("promotion_id") == promotion_id).collect():
        return Answer(True, told(done[0].asDict()))
    selection = read_selection(request.subject)
    decision = job.keeper.decisions.find(promotion_id)
    version = decision.covers["quarantine_version"] if decision else current_version(lake, SILVER_QUARANTINE)
    records = open_records(spark, lake, selection, version)
    if decision is None and records.isEmpty():
        return Answer(True, nothing_to_do(kind, selection))
    if kind == schemas.DISCARD:
        return Answer(True, told(_discard(job, records, lake, decision, request, version)))
    # One that was begun is finished under the texts it was decided under, whatever the files hold by now.
    rulebook = None if decision else job.rulebook_of_today(spark)
    transaction = Transaction(f"{LAYER}:{kind}:{request.request_id}", 0)
    work = job.begin(_with_landing(records, lake), promotion_id, None, transaction, rulebook)
    work.kind, work.overridden, work.covers = kind, (request.by, _why(request)), _covers(request, version)
    message = told(job.carry_out(work).promotion)
    return Answer(True, message if rulebook is None or job.works_under(rulebook) else f"{message}{_OUTDATED}")


def _covers(request: Request, version: int) -> dict[str, Any]:
    return {"quarantine_version": version, "selection": request.subject}


def _why(request: Request) -> str:
    selection = str(read_selection(request.subject))
    return f"{selection}: {request.why}" if request.why else selection


def open_records(spark: SparkSession, lake: Lake, selection: Selection, version: int) -> DataFrame:
    """The selected records that were open in a version of silver/quarantine."""
    return read_table(spark, lake, SILVER_QUARANTINE, version).where(_matching(selection))


def _matching(selection: Selection) -> Column:
    wanted = [F.col("status") == schemas.QUARANTINE_OPEN]
    named = {"error_code": selection.code, "device_id": selection.device_id, "stage": selection.stage}
    wanted += [F.col(name) == value for name, value in named.items() if value is not None]
    if selection.since:
        wanted.append(F.col("first_seen_at") >= F.lit(selection.since))
    if selection.records:
        wanted.append(reduce(Column.__or__, [_is_at(*each) for each in selection.records]))
    return reduce(Column.__and__, wanted)


def _is_at(topic: str, generation: int | None, partition: int, offset: int) -> Column:
    found = (F.col("topic") == topic) & (F.col("partition") == partition) & (F.col("offset") == offset)
    return found if generation is None else found & (F.col("topic_generation") == generation)


def _with_landing(records: DataFrame, lake: Lake) -> DataFrame:
    """Quarantined records as silver reads them; the moment they landed is found again in bronze."""
    events = read_table(records.sparkSession, lake, BRONZE_EVENTS).where(near(records))
    return as_records(with_landing(records, events))


def near(records: DataFrame, prefix: str = "") -> str:
    """SQL that holds for every row with the coordinates of one of the records, in literals that prune files."""
    found = records.agg(
        F.collect_set("partition").alias("partitions"), F.min("offset").alias("first"), F.max("offset").alias("last")
    ).collect()[0]
    if not found["partitions"]:
        return "false"
    partitions = ", ".join(str(each) for each in sorted(found["partitions"]))
    between = f"{prefix}`offset` BETWEEN {found['first']} AND {found['last']}"
    return f"{prefix}`partition` IN ({partitions}) AND {between}"


def settle_replayed(work: Work, lake: Lake, decided: DataFrame, repeats: DataFrame) -> None:
    """Says of each record of a replay, in one commit, that it was replayed, or why it was refused once more."""
    outcomes = select_outcomes(decided, repeats, work.reader.rules)
    changes = [
        Change({"status": f"'{schemas.QUARANTINE_REPLAYED}'"}, "source.`error_code` IS NULL"),
        Change(_REFUSED_AGAIN),
    ]
    _change(outcomes, lake, changes, work.decided_at, work.transaction)


def _change(rows: DataFrame, lake: Lake, changes: list[Change], at: datetime, transaction: Transaction) -> None:
    is_open = f"target.`status` = '{schemas.QUARANTINE_OPEN}'"
    how = Upsert(COORDINATES, f"{is_open} AND {near(rows, 'target.')}")
    change_rows(rows.withColumn("seen_at", F.lit(at)), lake, SILVER_QUARANTINE, how, changes, transaction)


def rehearse(job: SilverJob, records: DataFrame, lake: Lake) -> Rehearsal:
    """Judges and deduplicates quarantined records as a replay would, and writes nothing."""
    rulebook = job.rulebook_of_today(records.sparkSession)
    nothing = Transaction(f"{LAYER}:rehearsal", 0)
    work = job.begin(_with_landing(records, lake), nothing.application, None, nothing, rulebook)
    with kept_in_memory() as keeper:
        decided = job.judge(work, keeper)
        repeats = keeper.settle(job.find_repeats(work, decided.where(F.col("state") == ACCEPTED)))
        work.count_repeats(repeats)
        refused = decided.where(F.col("state") == REFUSED).groupBy("error_code").count().collect()
    found = {row["error_code"]: row["count"] for row in refused}
    if conflicts := work.repeated[True]:
        found[schemas.DUPLICATE_CONFLICT] = conflicts
    return Rehearsal(work.rows, found)


def _discard(
    job: SilverJob, records: DataFrame, lake: Lake, decision: Decision | None, request: Request, version: int
) -> Mapping[str, Any]:
    began = time.monotonic()
    if decision is None:
        breaker = job.keeper.breaker()
        promotion = _discarding(request, records.count(), breaker.state)
        decision = Decision(-1, promotion, {}, breaker.as_json(), _covers(request, version))
        job.keeper.decisions.keep(decision)
    transaction = Transaction(f"{LAYER}:{schemas.DISCARD}:{request.request_id}", 0)
    _change(records.select(*COORDINATES), lake, [Change(_DISCARDED)], decision.decided_at, transaction)
    row = {**decision.promotion, "total_seconds": time.monotonic() - began}
    record_promotion(lake, OPS_SILVER_PROMOTIONS, row, transaction)
    return decision.promotion


def _discarding(request: Request, count: int, breaker_state: str) -> dict[str, Any]:
    """The ledger row of a discard; no gate decided it, so it has no verdict and no hashes."""
    counts = ("rows_promoted", "rows_duplicate", "rows_held")
    return {
        "promotion_id": promotion_of(request),
        "layer": LAYER,
        "kind": schemas.DISCARD,
        "rows_in": count,
        "rows_quarantined": count,
        **dict.fromkeys(counts, 0),
        "breaker_state": breaker_state,
        "decided_by": request.by,
        "why": _why(request),
        "decided_at": datetime.now(timezone.utc),
    }


def told(row: Mapping[str, Any]) -> str:
    """What a replay or a discard did, for people.

    Args:
        row: its ledger row.
    """
    done = f"{row['rows_in']:,} {_DONE[row['kind']]}"
    if row["kind"] == schemas.DISCARD:
        return f"{done}: they stay in silver.quarantine and are not judged again"
    counts = f"{row['rows_promoted']:,} promoted, {row['rows_duplicate']:,} duplicate"
    return f"{done}: {counts}, {row['rows_quarantined']:,} still refused"


def nothing_to_do(kind: str, selection: Selection) -> str:
    """The answer where no open record is selected."""
    return f"nothing {_DONE[kind]}: no open record is selected ({printable(str(selection))})"

"""Minutes of gold made anew from silver as it is: those of a range of time, or those that a replay of silver touched.

The order: the decision; the minutes in one commit, those that have no reading left deleted; what gold held of the range
superseded, and held anew what breaks a critical rule; the latest readings in one commit; the ledger row; the scores;
the hours and days.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from sluice import schemas
from sluice.pipelines.approvals import Action
from sluice.pipelines.gold_latest import replace_latest
from sluice.pipelines.gold_minutes import bucket_bound, minutes_within
from sluice.pipelines.gold_work import are_few
from sluice.pipelines.kept import kept_in_memory
from sluice.pipelines.replaced import note_replay
from sluice.pipelines.replay import promotion_of
from sluice.pipelines.rollups import open_rollups
from sluice.pipelines.rulebook import load_rulebook
from sluice.pipelines.scores import open_scores
from sluice.schemas import GOLD_HELD, GOLD_READINGS_1MIN, OPS_GOLD_PROMOTIONS, OPS_SILVER_PROMOTIONS, Table
from sluice.tables.delta import Transaction, Upsert, change_status, read_table, replace_rows
from sluice.tables.frames import append
from sluice.tables.lake import Lake
from sluice.tables.requests import Answer, Request
from sluice.tables.spans import Buckets, read_buckets
from sluice.transforms.gold import MINUTE_KEY, select_held_minutes
from sluice.transforms.hours import during, within

if TYPE_CHECKING:
    from sluice.pipelines.gold import GoldJob
    from sluice.pipelines.gold_work import GoldWork
    from sluice.tables.decisions import Decision

LAYER = "gold"


@dataclass(frozen=True)
class Rehearsal:
    """What a replay of gold would do.

    Attributes:
        before, after: minutes by place: readings_1min and held; held counts what waits or was rejected.
        deleted: minutes that have no reading left.
    """

    before: Mapping[str, int]
    after: Mapping[str, int]
    deleted: int


def rebuild_actions(job: GoldJob) -> dict[str, Action]:
    """What the owner of gold does about a replay from silver, by the action of the request."""
    return {schemas.REBUILD: partial(_carry_out, job)}


def _carry_out(job: GoldJob, spark: SparkSession, lake: Lake, request: Request) -> Answer:
    promotion_id, buckets = promotion_of(request), read_buckets(request.subject)
    if done := _ledger_row(spark, lake, OPS_GOLD_PROMOTIONS, promotion_id):
        return Answer(True, told(done))
    if buckets.parent and not _ledger_row(spark, lake, OPS_SILVER_PROMOTIONS, buckets.parent):
        return Answer(False, f"silver has not finished {buckets.parent}: the minutes it touches were not made anew")
    work = _begin(job, spark, request, buckets)
    if buckets.parent:
        note_replay(lake, buckets.parent, buckets.ranges, work.silver_version)
    with kept_in_memory() as keeper:
        judged = keeper.settle(job.judge(work, minutes_within(spark, lake, buckets.ranges, work.silver_version)))
        decision = work.decision or job.decide(work, judged)
        _write(work, lake, judged, buckets, decision)
        replace_latest(lake, buckets.ranges, work.registry, work.silver_version, work.transaction, keeper)
    job.record(work, decision)
    open_scores(job.settings).bring_up_to_date()
    open_rollups(job.settings).bring_up_to_date()
    return Answer(True, told(decision.promotion))


def _ledger_row(spark: SparkSession, lake: Lake, table: Table, promotion_id: str) -> dict[str, Any]:
    rows = read_table(spark, lake, table).where(F.col("promotion_id") == promotion_id).collect()
    return rows[0].asDict() if rows else {}


def _begin(job: GoldJob, spark: SparkSession, request: Request, buckets: Buckets) -> GoldWork:
    promotion_id = promotion_of(request)
    # A rebuilt checkpoint takes away what an unfinished promotion held: it must be written again under another name.
    transaction = Transaction(f"{LAYER}:{job.generation}:{schemas.REBUILD}:{request.request_id}", 0)
    rulebook = None if job.keeper.decisions.find(promotion_id) else load_rulebook(job.settings, LAYER)
    work = job.begin(spark, promotion_id, None, transaction, rulebook)
    why = f"{buckets}: {request.why}" if request.why else str(buckets)
    covers = {"buckets": request.subject}
    return replace(work, kind=schemas.REPLAY, parent=buckets.parent, overridden=(request.by, why), covers=covers)


def _write(work: GoldWork, lake: Lake, judged: DataFrame, buckets: Buckets, decision: Decision) -> None:
    passed = judged.where(~work.refused).select(*GOLD_READINGS_1MIN.column_names).withColumn("stays", F.lit(True))
    gone = _without_readings(work.spark, lake, judged, buckets).withColumn("stays", F.lit(False))
    how = Upsert(MINUTE_KEY, bucket_bound(list(buckets.ranges)))
    replace_rows(passed.unionByName(gone, allowMissingColumns=True), lake, GOLD_READINGS_1MIN, how, work.transaction)
    undecided = F.col("status").isin(schemas.HELD_OPEN, schemas.HELD_REJECTED)
    old = during(buckets.ranges, "bucket") & undecided & (F.col("promotion_id") != work.promotion_id)
    if not read_table(work.spark, lake, GOLD_HELD).where(old).isEmpty():
        change_status(work.spark, lake, GOLD_HELD, old, schemas.HELD_SUPERSEDED)
    held = select_held_minutes(judged.where(work.refused), work.rules.rules, work.promotion_id)
    if not held.isEmpty():
        append(held.coalesce(1), lake, GOLD_HELD, work.transaction, is_few=are_few(decision))


def _without_readings(spark: SparkSession, lake: Lake, judged: DataFrame, buckets: Buckets) -> DataFrame:
    """MINUTE_KEY of the minutes that gold has and silver has no value for."""
    gold = read_table(spark, lake, GOLD_READINGS_1MIN).where(within(list(buckets.ranges), "bucket", "bucket_date"))
    return gold.select(*MINUTE_KEY).join(judged.select(*MINUTE_KEY), on=list(MINUTE_KEY), how="left_anti")


def rehearse(job: GoldJob, spark: SparkSession, lake: Lake, buckets: Buckets) -> Rehearsal:
    """Computes and judges minutes as a replay would, and writes nothing."""
    work = job.begin(spark, "rehearsal", None, Transaction(f"{LAYER}:rehearsal", 0), load_rulebook(job.settings, LAYER))
    ranges = list(buckets.ranges)
    undecided = F.col("status").isin(schemas.HELD_OPEN, schemas.HELD_REJECTED) & during(ranges, "bucket")
    with kept_in_memory() as keeper:
        judged = keeper.settle(job.judge(work, minutes_within(spark, lake, ranges, work.silver_version)))
        held = judged.where(work.refused).count()
        after = {"readings_1min": judged.count() - held, "held": held}
        deleted = _without_readings(spark, lake, judged, buckets).count()
    known = read_table(spark, lake, GOLD_READINGS_1MIN).where(within(ranges, "bucket", "bucket_date"))
    before = {"readings_1min": known.count(), "held": read_table(spark, lake, GOLD_HELD).where(undecided).count()}
    return Rehearsal(before, after, deleted)


def told(row: Mapping[str, Any]) -> str:
    """What a replay of gold did, for people.

    Args:
        row: its ledger row.
    """
    held = f", {row['rows_held']:,} held" if row["rows_held"] else ""
    return f"{row['rows_in']:,} minutes made anew: {row['rows_promoted']:,} in readings_1min{held}"

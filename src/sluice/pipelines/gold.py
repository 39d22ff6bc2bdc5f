"""Gold: silver readings become 1-minute aggregates and latest readings, corrected whenever a late one comes.

The order of one promotion: the touched minutes, kept in memory and judged; the gate's decision, written to the
checkpoint folder; the minutes that pass into gold, those that break a critical rule into gold/held; the latest
readings; the ledger row.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from sluice import schemas
from sluice.pipelines.approvals import answer_pending
from sluice.pipelines.gatekeeper import Gatekeeper, Question
from sluice.pipelines.gold_latest import update_latest, with_held_before
from sluice.pipelines.gold_minutes import (
    Minutes,
    bucket_bound,
    has_held,
    hours_of,
    minutes_anew,
    readings_of,
    touched_minutes,
)
from sluice.pipelines.kept import Keeper, kept_in_memory
from sluice.pipelines.ledger import record_promotion
from sluice.pipelines.rulebook import (
    RowRules,
    Rulebook,
    compile_row_rules,
    load_rulebook,
    registry_frame,
)
from sluice.pipelines.samples import sample_minutes
from sluice.pipelines.scores import open_scores
from sluice.pipelines.stream import BatchReport, Stream
from sluice.schemas import GOLD_HELD, GOLD_READINGS_1MIN, OPS_GOLD_PROMOTIONS, SILVER_READINGS
from sluice.settings import Settings
from sluice.tables.checkpoints import generation_of, read_versions
from sluice.tables.decisions import Decision
from sluice.tables.delta import (
    Transaction,
    Upsert,
    append,
    change_status,
    current_version,
    read_table,
    supersede,
    upsert,
)
from sluice.tables.lake import Lake
from sluice.tables.requests import pending_requests
from sluice.tables.rows import create_tables
from sluice.transforms.gold import (
    CANDIDATE_TYPES,
    MINUTE_KEY,
    complete_minutes,
    judge_minutes,
    select_held_minutes,
)
from sluice.transforms.hours import merge_hours
from sluice.transforms.judge import critical_bits, named_bits

LAYER = "gold"


def gold_stream(spark: SparkSession, settings: Settings) -> Stream:
    """The stream from silver/readings into the tables of gold.

    Raises:
        CheckpointLost: gold holds rows and its checkpoint is gone.
        RegistryInvalid, SuiteInvalid: the rulebook cannot be applied whole.
    """
    lake = Lake(settings.lake.path)
    job = open_gold(settings)
    scores = open_scores(spark, settings)
    limit = f"{settings.gold.max_megabytes_per_batch}m"
    reader = spark.readStream.format("delta").option("maxBytesPerTrigger", limit)
    return Stream(
        LAYER,
        reader.load(lake.table_path(SILVER_READINGS)),
        job.aggregate,
        lake.checkpoint_path(LAYER),
        settings.gold.trigger_seconds,
        job.keeper.next_try,
        lambda: bool(pending_requests(lake, LAYER)),
        lambda: answer_pending(spark, lake, job),
        scores.is_due,
        scores.bring_up_to_date,
    )


def open_gold(settings: Settings) -> GoldJob:
    """What carries out promotions of gold; creates its tables where they are absent."""
    lake = Lake(settings.lake.path)
    rulebook = load_rulebook(settings, LAYER)
    create_tables(lake, LAYER)
    has_history = current_version(lake, OPS_GOLD_PROMOTIONS) > 0
    generation = generation_of(lake.checkpoint_path(LAYER), has_history=has_history, layer=LAYER)
    return GoldJob(settings, lake, rulebook, generation)


@dataclass(frozen=True)
class _Work:
    """One promotion on its way."""

    spark: SparkSession
    promotion_id: str
    batch_id: int
    transaction: Transaction
    rulebook: Rulebook
    rules: RowRules
    registry: DataFrame
    decision: Decision | None
    silver_version: int
    decided_at: datetime
    began: float
    parent: str | None = None
    overridden: tuple[str, str] | None = None


class GoldJob:
    """Aggregates micro-batches of silver/readings, and promotes later what was held of them.

    Args:
        generation: of the checkpoint; part of every promotion_id and transaction.
    """

    layer = LAYER
    # People ask gold for nothing but decisions about holds.
    own_actions: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, settings: Settings, lake: Lake, rulebook: Rulebook, generation: str) -> None:
        self._lake = lake
        self._rulebook = rulebook
        self._generation = generation
        self._opened: tuple[SparkSession, dict[str, str], RowRules, DataFrame] | None = None
        self.keeper = Gatekeeper(settings, lake, LAYER)

    def aggregate(self, batch: DataFrame, batch_id: int) -> BatchReport:
        """Carries out one micro-batch, or what is left of it after a crash."""
        transaction = Transaction(f"{LAYER}:{self._generation}", batch_id)
        work = self._begin(batch.sparkSession, f"{LAYER}-{self._generation}-{batch_id}", batch_id, transaction)
        with kept_in_memory() as keeper:
            minutes = touched_minutes(self._lake, batch, work.silver_version, keeper)
            judged = keeper.settle(self._judge(work, minutes.frame))
            decision = work.decision or self._decide(work, judged)
            self._write(work, judged, minutes, decision)
            if decision.verdict != schemas.ERROR:
                self._update_latest(work, with_held_before(self._lake, batch, judged, work.silver_version), keeper)
        self._record(work, decision)
        return BatchReport(batch.count(), _told(decision), pauses=self.keeper.breaker().is_open)

    def approve(self, spark: SparkSession, parent: str, by: str, why: str) -> Decision:
        """Promotes the minutes that are held of a promotion, computed from silver as it is now.

        Repeating it, or finishing it after a crash, changes nothing that is done already.
        """
        transaction = Transaction(f"{LAYER}:{schemas.APPROVE}:{parent}", 0)
        batch_id = int(parent.rsplit("-", 1)[1])
        work = self._begin(spark, f"{parent}-{schemas.APPROVE}", batch_id, transaction, parent, (by, why))
        with kept_in_memory() as keeper:
            mine = F.col("promotion_id") == parent
            # Not only open ones: a crash may have come after their status was changed.
            undecided = mine & F.col("status").isin(schemas.HELD_OPEN, schemas.HELD_APPROVED)
            keys = keeper.settle(
                read_table(spark, self._lake, GOLD_HELD).where(undecided).select(*MINUTE_KEY).distinct()
            )
            hours = hours_of(keys, "bucket")
            frame = minutes_anew(spark, self._lake, keys, hours, work.silver_version)
            judged = keeper.settle(self._judge(work, frame))
            decision = work.decision or self._decide(work, judged)
            self._upsert(work, judged, hours)
            self._update_latest(work, readings_of(spark, self._lake, keys, hours, work.silver_version), keeper)
            change_status(
                spark, self._lake, GOLD_HELD, mine & (F.col("status") == schemas.HELD_OPEN), schemas.HELD_APPROVED
            )
        self._record(work, decision)
        return decision

    def _begin(
        self,
        spark: SparkSession,
        promotion_id: str,
        batch_id: int,
        transaction: Transaction,
        parent: str | None = None,
        overridden: tuple[str, str] | None = None,
    ) -> _Work:
        began, basis = time.monotonic(), self.keeper.basis(promotion_id, self._rulebook)
        rules, registry = self._open(spark, basis.rulebook)
        return _Work(
            spark,
            promotion_id,
            batch_id,
            transaction,
            basis.rulebook,
            rules,
            registry,
            basis.decision,
            basis.table_version,
            basis.decided_at,
            began,
            parent,
            overridden,
        )

    def _open(self, spark: SparkSession, rulebook: Rulebook) -> tuple[RowRules, DataFrame]:
        if self._opened is None or self._opened[:2] != (spark, rulebook.hashes):
            rules = compile_row_rules(spark, rulebook.suite, CANDIDATE_TYPES)
            self._opened = (spark, rulebook.hashes, rules, registry_frame(spark, rulebook.registry))
        return self._opened[2:]

    def _judge(self, work: _Work, minutes: DataFrame) -> DataFrame:
        complete = complete_minutes(minutes, work.registry, work.rulebook.registry.units)
        return judge_minutes(complete, work.decided_at, work.rules.rules, work.rules.marks)

    def _decide(self, work: _Work, judged: DataFrame) -> Decision:
        broken, marks, held = Counter[str](), Counter[str](), 0
        names = [rule.rule_id for rule in work.rules.rules]
        critical = critical_bits(work.rules.rules)
        total = 0
        for row in judged.groupBy("broken_rules", "marks").count().collect():
            total += row["count"]
            held += row["count"] if row["broken_rules"] & critical and not work.overridden else 0
            broken.update(dict.fromkeys(named_bits(row["broken_rules"], names), row["count"]))
            marked = named_bits(row["marks"], [mark.name for mark in work.rules.marks])
            marks.update(dict.fromkeys(marked, row["count"]))
        samples = {name: sample_minutes(judged, work.rules, index) for index, name in enumerate(names) if broken[name]}
        position: dict[str, Any] = {}
        if not work.parent:
            first, last = read_versions(self._lake.checkpoint_path(LAYER), work.batch_id)
            position = {"from_version": first, "to_version": last}
        rows = {"rows_in": total, "rows_promoted": total - held, "rows_quarantined": 0, "rows_duplicate": 0}
        question = Question(
            work.promotion_id,
            work.batch_id,
            work.silver_version,
            work.rulebook,
            {**rows, "rows_held": held},
            dict(broken),
            work.rules.counts(total, broken, marks, samples),
            {"rows_in": total, "share_held": held / total if total else None},
            work.decided_at,
            None,
            position,
            work.parent,
            work.overridden,
            schemas.APPROVE if work.overridden else schemas.BATCH,
        )
        return self.keeper.decide(question)

    def _write(self, work: _Work, judged: DataFrame, minutes: Minutes, decision: Decision) -> None:
        critical = F.lit(critical_bits(work.rules.rules)).cast("bigint")
        refused = F.col("broken_rules").bitwiseAND(critical) != 0
        if decision.verdict == schemas.ERROR:
            refused = F.lit(True)
        if decision.promotion["rows_promoted"]:
            how = Upsert(MINUTE_KEY, bucket_bound(minutes.ranges))
            passed = judged.where(~refused).select(*GOLD_READINGS_1MIN.column_names)
            upsert(passed, self._lake, GOLD_READINGS_1MIN, how, work.transaction)
        if has_held(self._lake):
            status = f"target.status IN ('{schemas.HELD_OPEN}', '{schemas.HELD_REJECTED}')"
            condition = f"{status} AND target.promotion_id <> '{work.promotion_id}'"
            supersede(judged.select(*MINUTE_KEY), self._lake, GOLD_HELD, condition, schemas.HELD_SUPERSEDED)
        if decision.promotion["rows_held"]:
            held = select_held_minutes(judged.where(refused), work.rules.rules, work.promotion_id)
            append(held.coalesce(1), self._lake, GOLD_HELD, work.transaction)

    def _upsert(self, work: _Work, judged: DataFrame, hours: list[datetime]) -> None:
        how = Upsert(MINUTE_KEY, bucket_bound(merge_hours(hours)))
        upsert(judged.select(*GOLD_READINGS_1MIN.column_names), self._lake, GOLD_READINGS_1MIN, how, work.transaction)

    def _update_latest(self, work: _Work, readings: DataFrame, keeper: Keeper) -> None:
        update_latest(self._lake, readings, work.registry, work.silver_version, work.transaction, keeper)

    def _record(self, work: _Work, decision: Decision) -> None:
        row: Mapping[str, Any] = {**decision.promotion, "total_seconds": time.monotonic() - work.began}
        record_promotion(self._lake, OPS_GOLD_PROMOTIONS, row, work.transaction)
        self.keeper.settle(decision)


def _told(decision: Decision) -> str:
    row = decision.promotion
    held = f", {row['rows_held']:,} held" if row["rows_held"] else ""
    return f"{row['rows_promoted']:,} minutes upserted{held}: {decision.verdict}"

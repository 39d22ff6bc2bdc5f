"""Gold: silver readings become 1-minute aggregates and latest readings, corrected whenever a late one comes.

The order of one promotion: the touched minutes, kept in memory and judged; the gate's decision, written to the
checkpoint folder; the minutes that pass into gold, those that break a critical rule into gold/held; the latest
readings; the ledger row.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from sluice import schemas
from sluice.pipelines.approvals import Action, answer_pending
from sluice.pipelines.derived import open_derived
from sluice.pipelines.gatekeeper import Gatekeeper
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
from sluice.pipelines.gold_replay import rebuild_actions
from sluice.pipelines.gold_work import GoldWork, are_few, ask, told
from sluice.pipelines.kept import kept_in_memory
from sluice.pipelines.ledger import record_promotion
from sluice.pipelines.replaced import drop_replaced
from sluice.pipelines.rulebook import (
    RowRules,
    Rulebook,
    compile_row_rules,
    load_rulebook,
    registry_frame,
)
from sluice.pipelines.stream import BatchReport, Stream
from sluice.schemas import GOLD_HELD, GOLD_READINGS_1MIN, OPS_GOLD_PROMOTIONS, SILVER_READINGS
from sluice.settings import Settings
from sluice.tables.checkpoints import generation_of, read_versions
from sluice.tables.decisions import Decision
from sluice.tables.delta import (
    Transaction,
    Upsert,
    change_status,
    current_version,
    read_table,
    supersede,
)
from sluice.tables.frames import append, upsert
from sluice.tables.lake import Lake
from sluice.tables.requests import ready_requests
from sluice.tables.rows import create_tables
from sluice.transforms.gold import (
    CANDIDATE_TYPES,
    MINUTE_KEY,
    complete_minutes,
    judge_minutes,
    select_held_minutes,
)
from sluice.transforms.hours import merge_hours

LAYER = "gold"


def gold_stream(spark: SparkSession, settings: Settings) -> Stream:
    """The stream from silver/readings into the tables of gold.

    Raises:
        CheckpointLost: gold holds rows and its checkpoint is gone.
        RegistryInvalid, SuiteInvalid: the rulebook cannot be applied whole.
    """
    lake = Lake(settings.lake.path)
    job = open_gold(settings)
    derived = open_derived(settings, job.rulebook)
    limit = f"{settings.gold.max_megabytes_per_batch}m"
    reader = spark.readStream.format("delta").option("maxBytesPerTrigger", limit)
    # What changes rows of silver asks for the minutes it touches by a request.
    reader = reader.option("skipChangeCommits", "true")
    return Stream(
        LAYER,
        reader.load(lake.table_path(SILVER_READINGS)),
        job.aggregate,
        lake.checkpoint_path(LAYER),
        settings.gold.trigger_seconds,
        job.keeper.next_try,
        lambda: bool(ready_requests(lake, LAYER)),
        lambda: answer_pending(spark, lake, job),
        derived.is_due,
        derived.bring_up_to_date,
    )


def open_gold(settings: Settings) -> GoldJob:
    """What carries out promotions of gold; creates its tables where they are absent."""
    lake = Lake(settings.lake.path)
    rulebook = load_rulebook(settings, LAYER)
    create_tables(lake, LAYER)
    has_history = current_version(lake, OPS_GOLD_PROMOTIONS) > 0
    generation = generation_of(lake.checkpoint_path(LAYER), has_history=has_history, layer=LAYER)
    return GoldJob(settings, lake, rulebook, generation)


class GoldJob:
    """Aggregates micro-batches of silver/readings, and promotes later what was held of them.

    Args:
        rulebook: what it decides under, unless something else was decided under another.
        generation: of the checkpoint; part of every promotion_id and transaction.
    """

    layer = LAYER

    def __init__(self, settings: Settings, lake: Lake, rulebook: Rulebook, generation: str) -> None:
        self.settings = settings
        self.generation = generation
        self._lake = lake
        self.rulebook = rulebook
        self._opened: tuple[SparkSession, dict[str, str], RowRules, DataFrame] | None = None
        self.keeper = Gatekeeper(settings, lake, LAYER)

    @property
    def own_actions(self) -> dict[str, Action]:
        """What people may ask of it beside decisions about holds, by the action of the request."""
        return rebuild_actions(self)

    def aggregate(self, batch: DataFrame, batch_id: int) -> BatchReport:
        """Carries out one micro-batch, or what is left of it after a crash."""
        transaction = Transaction(f"{LAYER}:{self.generation}", batch_id)
        work = self.begin(batch.sparkSession, f"{LAYER}-{self.generation}-{batch_id}", batch_id, transaction)
        batch = drop_replaced(self._lake, batch, batch_id, work.silver_version)
        with kept_in_memory() as keeper:
            minutes = touched_minutes(self._lake, batch, work.silver_version, keeper)
            judged = keeper.settle(self.judge(work, minutes.frame))
            decision = work.decision or self.decide(work, judged)
            self._write(work, judged, minutes, decision)
            if decision.verdict != schemas.ERROR:
                readings = with_held_before(self._lake, batch, judged, work.silver_version)
                update_latest(self._lake, readings, work, keeper)
        self.record(work, decision)
        return BatchReport(batch.count(), told(decision), pauses=self.keeper.breaker().is_open)

    def approve(self, spark: SparkSession, parent: str, by: str, why: str) -> Decision:
        """Promotes the minutes that are held of a promotion, computed from silver as it is now.

        Repeating it, or finishing it after a crash, changes nothing that is done already.
        """
        transaction = Transaction(f"{LAYER}:{schemas.APPROVE}:{parent}", 0)
        batch_id = int(parent.rsplit("-", 1)[1])
        begun = self.begin(spark, f"{parent}-{schemas.APPROVE}", batch_id, transaction)
        work = replace(begun, kind=schemas.APPROVE, parent=parent, overridden=(by, why))
        with kept_in_memory() as keeper:
            mine = F.col("promotion_id") == parent
            # Not only open ones: a crash may have come after their status was changed.
            undecided = mine & F.col("status").isin(schemas.HELD_OPEN, schemas.HELD_APPROVED)
            keys = keeper.settle(
                read_table(spark, self._lake, GOLD_HELD).where(undecided).select(*MINUTE_KEY).distinct()
            )
            hours = hours_of(keys, "bucket")
            frame = minutes_anew(spark, self._lake, keys, hours, work.silver_version)
            judged = keeper.settle(self.judge(work, frame))
            decision = work.decision or self.decide(work, judged)
            is_few, how = are_few(decision), Upsert(MINUTE_KEY, bucket_bound(merge_hours(hours)))
            passed = judged.select(*GOLD_READINGS_1MIN.column_names)
            upsert(passed, self._lake, GOLD_READINGS_1MIN, how, transaction, is_few=is_few)
            readings = readings_of(spark, self._lake, keys, hours, work.silver_version)
            update_latest(self._lake, readings, work, keeper)
            change_status(
                spark, self._lake, GOLD_HELD, mine & (F.col("status") == schemas.HELD_OPEN), schemas.HELD_APPROVED
            )
        self.record(work, decision)
        return decision

    def begin(
        self,
        spark: SparkSession,
        promotion_id: str,
        batch_id: int | None,
        transaction: Transaction,
        rulebook: Rulebook | None = None,
    ) -> GoldWork:
        """A promotion, resting on what was decided about it before a crash, if anything was.

        Args:
            rulebook: to decide it under; None for the one the job started with.
        """
        began, basis = time.monotonic(), self.keeper.basis(promotion_id, rulebook or self.rulebook)
        rules, registry = self._open(spark, basis.rulebook)
        return GoldWork(
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
        )

    def _open(self, spark: SparkSession, rulebook: Rulebook) -> tuple[RowRules, DataFrame]:
        if self._opened is None or self._opened[:2] != (spark, rulebook.hashes):
            rules = compile_row_rules(spark, rulebook.suite, CANDIDATE_TYPES)
            self._opened = (spark, rulebook.hashes, rules, registry_frame(spark, rulebook.registry))
        return self._opened[2:]

    def judge(self, work: GoldWork, minutes: DataFrame) -> DataFrame:
        """Minutes as candidates with what they break, see `judge_minutes`."""
        complete = complete_minutes(minutes, work.registry, work.rulebook.registry.units)
        return judge_minutes(complete, work.decided_at, work.rules.rules, work.rules.marks)

    def decide(self, work: GoldWork, judged: DataFrame) -> Decision:
        """The gate's decision about minutes that were judged, on disk."""
        position: dict[str, Any] = {}
        if work.kind == schemas.BATCH and work.batch_id is not None:
            first, last = read_versions(self._lake.checkpoint_path(LAYER), work.batch_id)
            position = {"from_version": first, "to_version": last}
        return self.keeper.decide(ask(work, judged, position))

    def _write(self, work: GoldWork, judged: DataFrame, minutes: Minutes, decision: Decision) -> None:
        refused = F.lit(True) if decision.verdict == schemas.ERROR else work.refused
        if decision.promotion["rows_promoted"]:
            how = Upsert(MINUTE_KEY, bucket_bound(minutes.ranges))
            passed = judged.where(~refused).select(*GOLD_READINGS_1MIN.column_names)
            upsert(passed, self._lake, GOLD_READINGS_1MIN, how, work.transaction, is_few=are_few(decision))
        if has_held(self._lake):
            status = f"target.status IN ('{schemas.HELD_OPEN}', '{schemas.HELD_REJECTED}')"
            condition = f"{status} AND target.promotion_id <> '{work.promotion_id}'"
            supersede(judged.select(*MINUTE_KEY), self._lake, GOLD_HELD, condition, schemas.HELD_SUPERSEDED)
        if decision.promotion["rows_held"]:
            held = select_held_minutes(judged.where(refused), work.rules.rules, work.promotion_id)
            append(held.coalesce(1), self._lake, GOLD_HELD, work.transaction, is_few=are_few(decision))

    def record(self, work: GoldWork, decision: Decision) -> None:
        """Writes the ledger row, the last commit of a promotion."""
        row: Mapping[str, Any] = {**decision.promotion, "total_seconds": time.monotonic() - work.began}
        record_promotion(self._lake, OPS_GOLD_PROMOTIONS, row, work.transaction)
        self.keeper.settle(decision)

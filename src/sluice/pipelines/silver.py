"""Silver: bronze records become readings, or stand in quarantine, among the duplicates or in held, with a reason.

The order of one promotion: one pass over its rows, kept in memory; the gate's decision, written to the checkpoint
folder; readings, quarantine and duplicates, or held; the ledger row. A replay after a crash finds the decision,
compares with silver as it then was, and so does the same again; Delta drops what was already written.
"""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from sluice import schemas
from sluice.pipelines.approvals import Action, answer_pending
from sluice.pipelines.candidate import LiveCandidate
from sluice.pipelines.dead_letters import DeadLetters
from sluice.pipelines.gatekeeper import Gatekeeper
from sluice.pipelines.kept import Keeper, kept_in_memory
from sluice.pipelines.ledger import Configs, record_promotion
from sluice.pipelines.quarantine import quarantine_actions, settle_replayed
from sluice.pipelines.reader import open_reader
from sluice.pipelines.repeats import find_repeats
from sluice.pipelines.replay import rebuild_actions
from sluice.pipelines.rulebook import RowRules, Rulebook, check_zones, load_rulebook
from sluice.pipelines.samples import take_samples
from sluice.pipelines.silver_work import Work, ask, in_few_files, told
from sluice.pipelines.stream import BatchReport, Stream
from sluice.pipelines.tally import count_rows, count_unknown_fields
from sluice.schemas import (
    BRONZE_EVENTS,
    OPS_SILVER_PROMOTIONS,
    SILVER_DUPLICATES,
    SILVER_HELD,
    SILVER_QUARANTINE,
    SILVER_READINGS,
)
from sluice.settings import Settings
from sluice.tables.checkpoints import generation_of, read_versions
from sluice.tables.decisions import Decision
from sluice.tables.delta import Transaction, change_status, current_version, read_table
from sluice.tables.frames import FEW_ROWS, append
from sluice.tables.lake import Lake
from sluice.tables.rebuild import read_start
from sluice.tables.requests import ready_requests
from sluice.tables.rows import create_tables
from sluice.transforms.bronze import drop_decided
from sluice.transforms.hours import merge_hours, within
from sluice.transforms.records import as_records
from sluice.transforms.silver import (
    ACCEPTED,
    REFUSED,
    SUSPECT,
    Reader,
    decide_doubtful,
    flag_records,
    select_conflicts,
    select_duplicates,
    select_held,
    select_readings,
    select_refused,
    without_repeats,
)

LAYER = "silver"


def silver_stream(spark: SparkSession, settings: Settings) -> Stream:
    """The stream from bronze/events into the tables of silver.

    Raises:
        CheckpointLost: silver holds rows and its checkpoint is gone.
        ContractInvalid, RegistryInvalid, SuiteInvalid: the rulebook cannot be applied whole.
    """
    lake = Lake(settings.lake.path)
    job = open_silver(spark, settings)
    letters = DeadLetters(settings, lake)
    limit = f"{settings.silver.max_megabytes_per_batch}m"
    reader = spark.readStream.format("delta").option("maxBytesPerTrigger", limit)
    # Retention takes whole days away, and only what silver has read.
    events = reader.option("ignoreDeletes", "true").load(lake.table_path(BRONZE_EVENTS))
    checkpoint = lake.checkpoint_path(LAYER)
    start = read_start(checkpoint)
    return Stream(
        LAYER,
        drop_decided(events, start.decided) if start else events,
        job.promote,
        checkpoint,
        settings.silver.trigger_seconds,
        job.keeper.next_try,
        lambda: bool(ready_requests(lake, LAYER)),
        lambda: answer_pending(spark, lake, job),
        letters.is_due,
        letters.publish,
    )


def open_silver(spark: SparkSession, settings: Settings) -> SilverJob:
    """What carries out promotions of silver; creates its tables where they are absent."""
    lake = Lake(settings.lake.path)
    rulebook = load_rulebook(settings, LAYER)
    check_zones(spark, rulebook)
    create_tables(lake, LAYER)
    has_history = current_version(lake, OPS_SILVER_PROMOTIONS) > 0
    generation = generation_of(lake.checkpoint_path(LAYER), has_history=has_history, layer=LAYER)
    return SilverJob(settings, lake, rulebook, generation)


class SilverJob:
    """Promotes micro-batches of bronze/events, and later what was held of them.

    Args:
        generation: of the checkpoint; part of every promotion_id and transaction.
    """

    layer = LAYER

    def __init__(self, settings: Settings, lake: Lake, rulebook: Rulebook, generation: str) -> None:
        self._settings = settings
        self._lake = lake
        self._rulebook = rulebook
        self._generation = generation
        self._opened: tuple[SparkSession, dict[str, str], RowRules, Reader] | None = None
        self._configs = Configs(lake)
        self.keeper = Gatekeeper(settings, lake, LAYER)
        self._candidate = LiveCandidate(settings, lake)

    def promote(self, events: DataFrame, batch_id: int) -> BatchReport:
        """Carries out one micro-batch, or what is left of it after a crash."""
        promotion_id = f"{LAYER}-{self._generation}-{batch_id}"
        transaction = Transaction(f"{LAYER}:{self._generation}", batch_id)
        decision = self.carry_out(self.begin(as_records(events), promotion_id, batch_id, transaction))
        return BatchReport(decision.promotion["rows_in"], told(decision), pauses=self.keeper.breaker().is_open)

    def approve(self, spark: SparkSession, parent: str, by: str, why: str) -> Decision:
        """Promotes what is held of a promotion, judged and deduplicated anew, whatever batch rules say.

        Repeating it, or finishing it after a crash, changes nothing that is done already.
        """
        promotion_id = f"{parent}-{schemas.APPROVE}"
        held = read_table(spark, self._lake, SILVER_HELD)
        # Not only open ones: a crash may have come after their status was changed.
        records = held.where((F.col("promotion_id") == parent) & (F.col("status") != schemas.HELD_REJECTED))
        batch_id = int(parent.rsplit("-", 1)[1])
        transaction = Transaction(f"{LAYER}:{schemas.APPROVE}:{parent}", 0)
        work = self.begin(as_records(records), promotion_id, batch_id, transaction)
        work.kind, work.parent, work.overridden = schemas.APPROVE, parent, (by, why)
        return self.carry_out(work)

    def place(self, records: DataFrame, promotion_id: str) -> None:
        """Puts records where they belong, as part of a promotion that was decided before: the gate is not asked.

        Repeated with the records that have no place yet it goes on; it writes neither a decision nor a ledger row.
        """
        spark, batch_id = records.sparkSession, int(promotion_id.split("-")[2])
        transaction = Transaction(f"{LAYER}:{self._generation}:place:{promotion_id}", 0)
        version, now = current_version(self._lake, SILVER_READINGS), datetime.now(timezone.utc)
        rules, reader = self._open(spark, self._rulebook)
        work = Work(
            spark, records, promotion_id, batch_id, transaction, self._rulebook, rules, reader, None, version, now
        )
        with kept_in_memory() as keeper:
            decided = self.judge(work, keeper)
            accepted = decided.where(F.col("state") == ACCEPTED)
            repeats = keeper.settle(self.find_repeats(work, accepted))
            work.count_repeats(repeats)
            self._write(work, accepted, decided.where(F.col("state") == REFUSED), repeats)

    @property
    def own_actions(self) -> dict[str, Action]:
        """What else people may ask of it, by the action of the request."""
        return {**quarantine_actions(self), **rebuild_actions(self)}

    def rulebook_of_today(self, spark: SparkSession) -> Rulebook:
        """Contract, registry and suite as their files are now; micro-batches keep those that the job started with.

        Raises:
            ContractInvalid, RegistryInvalid, SuiteInvalid: one of them cannot be applied whole.
        """
        rulebook = load_rulebook(self._settings, LAYER)
        check_zones(spark, rulebook)
        return rulebook

    def works_under(self, rulebook: Rulebook) -> bool:
        """Whether micro-batches are decided under the same texts."""
        return rulebook.hashes == self._rulebook.hashes

    def begin(
        self,
        records: DataFrame,
        promotion_id: str,
        batch_id: int | None,
        transaction: Transaction,
        rulebook: Rulebook | None = None,
    ) -> Work:
        """A promotion of RECORD_COLUMNS, resting on what was decided about it before a crash, if anything was.

        Args:
            rulebook: to decide it under; None for the one the job started with.
        """
        spark, basis = records.sparkSession, self.keeper.basis(promotion_id, rulebook or self._rulebook)
        rules, reader = self._open(spark, basis.rulebook)
        return Work(
            spark,
            records,
            promotion_id,
            batch_id,
            transaction,
            basis.rulebook,
            rules,
            reader,
            basis.decision,
            basis.table_version,
            basis.decided_at,
        )

    def _open(self, spark: SparkSession, rulebook: Rulebook) -> tuple[RowRules, Reader]:
        """What reads and judges under a rulebook; kept, since building its columns takes longer than a small batch."""
        if self._opened is None or self._opened[:2] != (spark, rulebook.hashes):
            rules, reader = open_reader(spark, self._settings, rulebook)
            self._opened = (spark, rulebook.hashes, rules, reader)
        return self._opened[2:]

    def carry_out(self, work: Work) -> Decision:
        """Judges, decides and writes a promotion, or what is left of it after a crash."""
        with kept_in_memory() as keeper:
            decided = self.judge(work, keeper)
            accepted = decided.where(F.col("state") == ACCEPTED)
            repeats = keeper.settle(self.find_repeats(work, accepted))
            work.count_repeats(repeats)
            decision = work.decision or self.decide(work, decided)
            self._candidate.record(work, decided, decision)
            if decision.verdict in schemas.REFUSING_VERDICTS:
                held = select_held(work.records, work.promotion)
                append(held, self._lake, SILVER_HELD, work.transaction, is_few=False)
            else:
                self._write(work, accepted, decided.where(F.col("state") == REFUSED), repeats)
            if work.kind == schemas.REPLAY:
                settle_replayed(work, self._lake, decided, repeats)
        if work.kind == schemas.APPROVE:
            open_rows = (F.col("promotion_id") == work.parent) & (F.col("status") == schemas.HELD_OPEN)
            change_status(work.spark, self._lake, SILVER_HELD, open_rows, schemas.HELD_APPROVED)
        self.record(work, decision)
        self.keeper.settle(decision)
        return decision

    def judge(self, work: Work, keeper: Keeper) -> DataFrame:
        """The promotion's rows in FLAGGED_COLUMNS, accepted or refused; the one pass over all of them runs here."""
        flagged = keeper.settle(flag_records(work.records, work.reader))
        count_rows(flagged, work.reader, work.tally)
        if not work.tally.states[SUSPECT]:
            return flagged
        doubtful = keeper.settle(decide_doubtful(flagged, work.reader))
        count_rows(doubtful, work.reader, work.tally)
        if work.tally.readable:
            count_unknown_fields(doubtful, work.tally)
        return flagged.where(F.col("state") != SUSPECT).unionAll(doubtful)

    def find_repeats(self, work: Work, accepted: DataFrame) -> DataFrame:
        """The accepted rows whose event key is taken, in REPEAT_COLUMNS."""
        if not work.table_version:
            return find_repeats(accepted, None)
        existing = read_table(work.spark, self._lake, SILVER_READINGS, work.table_version)
        touched = existing.where(within(merge_hours(work.tally.hours), "event_time", "event_date"))
        return find_repeats(accepted, touched)

    def decide(self, work: Work, decided: DataFrame) -> Decision:
        """The gate's decision about a promotion that was judged, on disk."""
        samples = take_samples(decided, work.reader, work.rules, work.broken)
        position: dict[str, Any] = {}
        if work.kind == schemas.BATCH and work.batch_id is not None:
            first, last = read_versions(self._lake.checkpoint_path(LAYER), work.batch_id)
            position = {"from_version": first, "to_version": last, "offsets": work.tally.last_offsets}
        return self.keeper.decide(ask(work, samples, position, self.keeper.past_facts(work.batch_id)))

    def _write(self, work: Work, accepted: DataFrame, refused: DataFrame, repeats: DataFrame) -> None:
        rows, rules, promotion = work.rows, work.reader.rules, work.promotion
        if rows["rows_promoted"]:
            kept = without_repeats(accepted, repeats) if work.repeated else accepted
            readings, is_few = select_readings(kept, rules, promotion), rows["rows_promoted"] <= FEW_ROWS
            readings = readings if is_few else in_few_files(readings, work.tally.hours)
            append(readings, self._lake, SILVER_READINGS, work.transaction, is_few=is_few)
        if rows["rows_quarantined"] and work.kind != schemas.REPLAY:
            quarantined = select_refused(refused, rules, promotion)
            if work.repeated[True]:
                quarantined = quarantined.unionAll(select_conflicts(work.records, repeats, promotion))
            is_few = work.few_refused
            append(quarantined.coalesce(1), self._lake, SILVER_QUARANTINE, work.transaction, is_few=is_few)
        if rows["rows_duplicate"]:
            duplicates, is_few = select_duplicates(repeats, promotion), rows["rows_duplicate"] <= FEW_ROWS
            append(duplicates.coalesce(1), self._lake, SILVER_DUPLICATES, work.transaction, is_few=is_few)

    def record(self, work: Work, decision: Decision) -> None:
        """Writes the ledger row, the last commit of a promotion, and the texts it was decided under before it."""
        self._configs.record(work.transaction)
        row = {**decision.promotion, "total_seconds": time.monotonic() - work.began}
        record_promotion(self._lake, OPS_SILVER_PROMOTIONS, row, work.transaction)

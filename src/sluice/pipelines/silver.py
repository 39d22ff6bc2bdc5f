"""Silver: bronze records become readings, or stand in quarantine or among the duplicates with a reason.

The order of one micro-batch: the decision, written to the checkpoint folder; one pass over its rows, kept in
memory; readings, quarantine, duplicates; the ledger row. A replay after a crash finds the decision, compares
with silver as it then was, and so does the same again; Delta drops what was already written.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from sluice import schemas
from sluice.errors import LakeMissing
from sluice.pipelines.ledger import record_configs, record_promotion
from sluice.pipelines.rulebook import (
    CONTRACT,
    REGISTRY,
    SILVER_SUITE,
    SUITE,
    Rulebook,
    check_zones,
    load_rulebook,
    open_reader,
    recall_rulebook,
)
from sluice.pipelines.stream import BatchReport, Stream
from sluice.pipelines.tally import Tally, count_rows, count_unknown_fields
from sluice.schemas import (
    BRONZE_EVENTS,
    COORDINATES,
    OPS_SILVER_PROMOTIONS,
    SILVER_DUPLICATES,
    SILVER_QUARANTINE,
    SILVER_READINGS,
)
from sluice.settings import Settings
from sluice.tables.checkpoints import Decision, Decisions, generation_of, read_versions
from sluice.tables.delta import Transaction, append, create_tables, current_version, read_table
from sluice.tables.lake import Lake
from sluice.transforms.deduplicate import COMPARED_COLUMNS, find_repeats
from sluice.transforms.hours import merge_hours, within
from sluice.transforms.records import as_records
from sluice.transforms.silver import (
    ACCEPTED,
    REFUSED,
    SUSPECT,
    Promotion,
    Reader,
    decide_doubtful,
    flag_records,
    select_conflicts,
    select_duplicates,
    select_readings,
    select_refused,
    without_repeats,
)

LAYER = "silver"
# More dates than this in one batch, and every task would write a small file into each of them.
_DATES_PER_TASK = 4


def silver_stream(spark: SparkSession, settings: Settings) -> Stream:
    """The stream from bronze/events into the tables of silver.

    Raises:
        LakeMissing: bronze/events does not exist yet.
        CheckpointLost: silver holds rows and its checkpoint is gone.
        ContractInvalid, RegistryInvalid, SuiteInvalid: the rulebook cannot be applied whole.
    """
    lake = Lake(settings.lake.path)
    rulebook = load_rulebook(settings)
    if not lake.has_table(BRONZE_EVENTS):
        raise LakeMissing(
            f"{lake.path} has no bronze.events yet", "run the bronze job first: sluice run --layers bronze"
        )
    check_zones(spark, rulebook)
    create_tables(spark, lake, LAYER)
    checkpoint = lake.checkpoint_path(LAYER)
    has_history = current_version(spark, lake, OPS_SILVER_PROMOTIONS) > 0
    generation = generation_of(checkpoint, has_history=has_history, layer=LAYER)
    job = SilverJob(settings, lake, rulebook, generation)
    limit = f"{settings.silver.max_megabytes_per_batch}m"
    events = spark.readStream.format("delta").option("maxBytesPerTrigger", limit).load(lake.table_path(BRONZE_EVENTS))
    return Stream(LAYER, events, job.promote, checkpoint, settings.silver.trigger_seconds)


@dataclass
class _Batch:
    """One micro-batch on its way: what it reads, what decides it, and what it has counted."""

    spark: SparkSession
    records: DataFrame
    reader: Reader
    rulebook: Rulebook
    decision: Decision
    transaction: Transaction
    tally: Tally = field(default_factory=Tally)
    repeated: Counter[bool] = field(default_factory=Counter)
    began: float = field(default_factory=time.monotonic)

    @property
    def promotion(self) -> Promotion:
        return Promotion(self.decision.promotion_id, datetime.fromisoformat(self.decision.decided_at))

    @property
    def rows(self) -> dict[str, int]:
        """The ledger's counts; a repeat was accepted before it was found to be one."""
        return {
            "rows_in": self.tally.rows_in,
            "rows_promoted": self.tally.states[ACCEPTED] - self.repeated.total(),
            "rows_quarantined": self.tally.states[REFUSED] + self.repeated[True],
            "rows_duplicate": self.repeated[False],
            "rows_held": 0,
        }


class SilverJob:
    """Promotes micro-batches of bronze/events.

    Args:
        generation: of the checkpoint; part of every promotion_id and transaction.
    """

    def __init__(self, settings: Settings, lake: Lake, rulebook: Rulebook, generation: str) -> None:
        self._settings = settings
        self._lake = lake
        self._rulebook = rulebook
        self._generation = generation
        self._decisions = Decisions(lake.checkpoint_path(LAYER))

    def promote(self, events: DataFrame, batch_id: int) -> BatchReport:
        """Carries out one micro-batch, or what is left of it after a crash."""
        spark = events.sparkSession
        decision = self._decisions.find(batch_id)
        rulebook = recall_rulebook(self._decisions, decision) if decision else self._rulebook
        decision = decision or self._decide(spark, batch_id)
        reader = open_reader(spark, rulebook, self._settings)
        transaction = Transaction(f"{LAYER}:{self._generation}", batch_id)
        batch = _Batch(spark, as_records(events), reader, rulebook, decision, transaction)
        with _kept_in_memory() as keep:
            accepted, refused = self._judge(batch, keep)
            repeats = keep(self._find_repeats(batch, accepted))
            for row in repeats.groupBy("is_conflict").count().collect():
                batch.repeated[row["is_conflict"]] = row["count"]
            self._write(batch, accepted, refused, repeats)
        verdict = self._record(batch)
        rows = batch.rows
        promoted, quarantined, duplicate = rows["rows_promoted"], rows["rows_quarantined"], rows["rows_duplicate"]
        outcome = f"{promoted:,} promoted, {quarantined:,} quarantined, {duplicate:,} duplicate: {verdict}"
        return BatchReport(rows["rows_in"], outcome)

    def _decide(self, spark: SparkSession, batch_id: int) -> Decision:
        hashes = self._rulebook.hashes
        for kind, digest in hashes.items():
            self._decisions.keep_text(kind, digest, self._rulebook.texts[kind])
        decision = Decision(
            batch_id,
            f"{LAYER}-{self._generation}-{batch_id}",
            datetime.now(timezone.utc).isoformat(),
            current_version(spark, self._lake, SILVER_READINGS),
            hashes[SUITE],
            hashes[CONTRACT],
            hashes[REGISTRY],
        )
        self._decisions.keep(decision)
        return decision

    def _judge(self, batch: _Batch, keep: Callable[[DataFrame], DataFrame]) -> tuple[DataFrame, DataFrame]:
        """The batch's accepted and refused rows; the one pass over all of them runs here."""
        decided = flagged = keep(flag_records(batch.records, batch.reader))
        count_rows(flagged, batch.reader.rules, batch.tally)
        if batch.tally.states[SUSPECT]:
            doubtful = keep(decide_doubtful(flagged, batch.reader))
            count_rows(doubtful, batch.reader.rules, batch.tally)
            count_unknown_fields(doubtful, batch.tally)
            decided = flagged.where(F.col("state") != SUSPECT).unionAll(doubtful)
        return decided.where(F.col("state") == ACCEPTED), decided.where(F.col("state") == REFUSED)

    def _find_repeats(self, batch: _Batch, accepted: DataFrame) -> DataFrame:
        existing = read_table(batch.spark, self._lake, SILVER_READINGS, batch.decision.table_version)
        touched = existing.where(within(merge_hours(batch.tally.hours), "event_time", "event_date"))
        return find_repeats(accepted.select(*COMPARED_COLUMNS), touched.select(*COMPARED_COLUMNS))

    def _write(self, batch: _Batch, accepted: DataFrame, refused: DataFrame, repeats: DataFrame) -> None:
        rows, rules, promotion = batch.rows, batch.reader.rules, batch.promotion
        if rows["rows_promoted"]:
            kept = without_repeats(accepted, repeats) if batch.repeated else accepted
            readings = _in_few_files(select_readings(kept, rules, promotion), batch.tally.hours)
            append(readings, self._lake, SILVER_READINGS, batch.transaction)
        if rows["rows_quarantined"]:
            quarantined = select_refused(refused, rules, promotion)
            if batch.repeated[True]:
                quarantined = quarantined.unionAll(select_conflicts(batch.records, repeats, promotion))
            append(quarantined.coalesce(1), self._lake, SILVER_QUARANTINE, batch.transaction)
        if rows["rows_duplicate"]:
            duplicates = select_duplicates(repeats, promotion)
            append(duplicates.coalesce(1), self._lake, SILVER_DUPLICATES, batch.transaction)

    def _record(self, batch: _Batch) -> str:
        verdict = _verdict(batch)
        from_version, to_version = read_versions(self._lake.checkpoint_path(LAYER), batch.decision.batch_id)
        record_configs(batch.spark, self._lake, batch.rulebook, batch.promotion.decided_at, batch.transaction)
        promotion = {
            **batch.rows,
            "promotion_id": batch.decision.promotion_id,
            "layer": LAYER,
            "kind": "batch",
            "batch_id": batch.decision.batch_id,
            "from_version": from_version,
            "to_version": to_version,
            "offsets": _last_offsets(batch.records),
            "suite": SILVER_SUITE,
            "suite_hash": batch.decision.suite_hash,
            "contract_hash": batch.decision.contract_hash,
            "registry_hash": batch.decision.registry_hash,
            "rule_counts": dict(batch.tally.rules),
            "verdict": verdict,
            "total_seconds": time.monotonic() - batch.began,
            "decided_at": batch.promotion.decided_at,
        }
        record_promotion(batch.spark, self._lake, OPS_SILVER_PROMOTIONS, promotion, batch.transaction)
        return verdict


@contextmanager
def _kept_in_memory() -> Iterator[Callable[[DataFrame], DataFrame]]:
    """Gives a function that persists frames until the block ends, however it ends."""
    kept: list[DataFrame] = []

    def keep(frame: DataFrame) -> DataFrame:
        kept.append(frame.persist(StorageLevel.MEMORY_AND_DISK))
        return kept[-1]

    try:
        yield keep
    finally:
        for frame in reversed(kept):
            frame.unpersist()


def _verdict(batch: _Batch) -> str:
    if not batch.tally.rows_in:
        return schemas.EMPTY
    warnings = [rule.rule_id for rule in batch.rulebook.suite.row_rules if rule.severity == schemas.WARNING]
    return schemas.PROMOTE_WITH_WARNINGS if any(batch.tally.rules[name] for name in warnings) else schemas.PROMOTE


def _last_offsets(records: DataFrame) -> dict[str, int]:
    last = records.groupBy(*COORDINATES[:3]).agg(F.max("offset").alias("last")).collect()
    return {f"{row['topic']}:{row['topic_generation']}:{row['partition']}": row["last"] for row in last}


def _in_few_files(readings: DataFrame, hours: Iterable[datetime]) -> DataFrame:
    dates = {hour.date() for hour in hours}
    return readings.repartition("event_date") if len(dates) > _DATES_PER_TASK else readings

"""Silver: bronze records become readings, or stand in quarantine or among the duplicates with a reason.

The order of one micro-batch: one pass over its rows, kept in memory; the decision, written to the checkpoint
folder; readings, quarantine, duplicates; the ledger row. A replay after a crash finds the decision, compares
with silver as it then was, and so does the same again; Delta drops what was already written.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
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
    load_rulebook,
    open_reader,
    recall_rulebook,
)
from sluice.pipelines.stream import BatchReport, Stream
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
from sluice.transforms.judge import broken_names
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
    create_tables(spark, lake, LAYER)
    checkpoint = lake.checkpoint_path(LAYER)
    has_history = current_version(spark, lake, OPS_SILVER_PROMOTIONS) > 0
    generation = generation_of(checkpoint, has_history=has_history, layer=LAYER)
    job = SilverJob(settings, lake, rulebook, generation)
    limit = f"{settings.silver.max_megabytes_per_batch}m"
    events = spark.readStream.format("delta").option("maxBytesPerTrigger", limit).load(lake.table_path(BRONZE_EVENTS))
    return Stream(LAYER, events, job.promote, checkpoint, settings.silver.trigger_seconds)


@dataclass(frozen=True)
class _Counts:
    """What the pass over a batch counted."""

    states: Counter[str]
    rules: Counter[str]
    hours: list[datetime]

    @property
    def rows_in(self) -> int:
        return self.states[ACCEPTED] + self.states[REFUSED]


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

    def promote(self, batch: DataFrame, batch_id: int) -> BatchReport:
        """Carries out one micro-batch, or what is left of it after a crash."""
        began = time.monotonic()
        spark = batch.sparkSession
        decision = self._decisions.find(batch_id)
        rulebook = recall_rulebook(self._decisions, decision) if decision else self._rulebook
        reader = open_reader(spark, rulebook, self._settings)
        records = as_records(batch)
        flagged = flag_records(records, reader).persist(StorageLevel.MEMORY_AND_DISK)
        doubtful = decide_doubtful(flagged, reader).persist(StorageLevel.MEMORY_AND_DISK)
        try:
            counts = _count(flagged, doubtful, reader)
            decision = decision or self._decide(spark, batch_id, rulebook)
            decided = flagged.where(F.col("state") != SUSPECT)
            if counts.states[SUSPECT]:
                decided = decided.unionAll(doubtful)
            return self._write(spark, records, decided, counts, reader, rulebook, decision, began)
        finally:
            doubtful.unpersist()
            flagged.unpersist()

    def _decide(self, spark: SparkSession, batch_id: int, rulebook: Rulebook) -> Decision:
        hashes = rulebook.hashes
        for kind, digest in hashes.items():
            self._decisions.keep_text(kind, digest, rulebook.texts[kind])
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

    def _write(
        self,
        spark: SparkSession,
        records: DataFrame,
        decided: DataFrame,
        counts: _Counts,
        reader: Reader,
        rulebook: Rulebook,
        decision: Decision,
        began: float,
    ) -> BatchReport:
        lake, transaction = self._lake, Transaction(f"{LAYER}:{self._generation}", decision.batch_id)
        promotion = Promotion(decision.promotion_id, datetime.fromisoformat(decision.decided_at))
        accepted = decided.where(F.col("state") == ACCEPTED)
        existing = read_table(spark, lake, SILVER_READINGS, decision.table_version)
        touched = existing.where(within(merge_hours(counts.hours), "event_time", "event_date"))
        repeats = find_repeats(accepted.select(*COMPARED_COLUMNS), touched.select(*COMPARED_COLUMNS)).persist()
        try:
            repeated = {
                bool(row["is_conflict"]): int(row["count"]) for row in repeats.groupBy("is_conflict").count().collect()
            }
            kept = without_repeats(accepted, repeats) if repeated else accepted
            promoted = counts.states[ACCEPTED] - sum(repeated.values())
            if promoted:
                readings = select_readings(kept, reader.rules, promotion)
                append(_in_few_files(readings, counts.hours), lake, SILVER_READINGS, transaction)
            refused = select_refused(decided, reader.rules, promotion)
            if repeated.get(True):
                refused = refused.unionAll(select_conflicts(records, repeats, promotion))
            quarantined = counts.states[REFUSED] + repeated.get(True, 0)
            if quarantined:
                append(refused.coalesce(1), lake, SILVER_QUARANTINE, transaction)
            if repeated.get(False):
                append(select_duplicates(repeats, promotion).coalesce(1), lake, SILVER_DUPLICATES, transaction)
        finally:
            repeats.unpersist()
        row = {
            "rows_in": counts.rows_in,
            "rows_promoted": promoted,
            "rows_quarantined": quarantined,
            "rows_duplicate": repeated.get(False, 0),
            "rows_held": 0,
        }
        verdict = self._record(spark, records, row, counts, rulebook, decision, transaction, began)
        outcome = f"{promoted:,} promoted, {quarantined:,} quarantined, {row['rows_duplicate']:,} duplicate"
        return BatchReport(counts.rows_in, f"{outcome}: {verdict}")

    def _record(
        self,
        spark: SparkSession,
        records: DataFrame,
        rows: dict[str, int],
        counts: _Counts,
        rulebook: Rulebook,
        decision: Decision,
        transaction: Transaction,
        began: float,
    ) -> str:
        decided_at = datetime.fromisoformat(decision.decided_at)
        from_version, to_version = read_versions(self._lake.checkpoint_path(LAYER), decision.batch_id)
        warned = any(counts.rules[rule.rule_id] for rule in rulebook.suite.rules if not rule.is_critical)
        verdict = schemas.EMPTY if not rows["rows_in"] else schemas.PROMOTE_WITH_WARNINGS if warned else schemas.PROMOTE
        record_configs(spark, self._lake, rulebook, decided_at, transaction)
        promotion = {
            **rows,
            "promotion_id": decision.promotion_id,
            "layer": LAYER,
            "kind": "batch",
            "batch_id": decision.batch_id,
            "from_version": from_version,
            "to_version": to_version,
            "offsets": _last_offsets(records),
            "suite": SILVER_SUITE,
            "suite_hash": decision.suite_hash,
            "contract_hash": decision.contract_hash,
            "registry_hash": decision.registry_hash,
            "rule_counts": dict(counts.rules),
            "verdict": verdict,
            "total_seconds": time.monotonic() - began,
            "decided_at": decided_at,
        }
        record_promotion(spark, self._lake, OPS_SILVER_PROMOTIONS, promotion, transaction)
        return verdict


def _count(flagged: DataFrame, doubtful: DataFrame, reader: Reader) -> _Counts:
    """Counts by state and rule, and the hours that accepted events fall into. Runs the pass."""
    states: Counter[str] = Counter()
    rules: Counter[str] = Counter()
    hours: set[datetime] = set()
    hour = F.date_trunc("hour", "event_time").cast("timestamp")
    grouping = (
        "state",
        "error_code",
        "broken_rules",
        F.when(F.col("state") == ACCEPTED, F.unix_seconds(hour)).alias("hour"),
    )
    for row in flagged.groupBy(*grouping).count().collect():
        states[row["state"]] += row["count"]
        if row["state"] != SUSPECT:
            _add(row, rules, hours, reader)
    if states[SUSPECT]:
        for row in doubtful.groupBy(*grouping).count().collect():
            states[row["state"]] += row["count"]
            _add(row, rules, hours, reader)
        for row in doubtful.select(F.explode("unknown_fields").alias("name")).groupBy("name").count().take(100):
            rules[f"unknown_field:{row['name'][:64]}"] += row["count"]
    return _Counts(states, rules, sorted(hours))


def _add(row: object, rules: Counter[str], hours: set[datetime], reader: Reader) -> None:
    count = row["count"]  # type: ignore[index]
    for name in broken_names(row["broken_rules"], reader.rules):  # type: ignore[index]
        rules[name] += count
    if row["error_code"] not in (None, schemas.RULE_FAILED, schemas.TIME_OUT_OF_RANGE):  # type: ignore[index]
        rules[row["error_code"]] += count  # type: ignore[index]
    if row["hour"] is not None:  # type: ignore[index]
        hours.add(datetime.fromtimestamp(row["hour"], timezone.utc))  # type: ignore[index]


def _last_offsets(records: DataFrame) -> dict[str, int]:
    last = records.groupBy(*COORDINATES[:3]).agg(F.max("offset").alias("last")).collect()
    return {f"{row['topic']}:{row['topic_generation']}:{row['partition']}": row["last"] for row in last}


def _in_few_files(readings: DataFrame, hours: list[datetime]) -> DataFrame:
    dates = {hour.date() for hour in hours}
    return readings.repartition("event_date") if len(dates) > _DATES_PER_TASK else readings

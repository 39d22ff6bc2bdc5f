"""The records a replay of silver is about, the rows they have had so far, and what today's rulebook makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from sluice import schemas
from sluice.pipelines.kept import Keeper
from sluice.pipelines.positions import decided_offsets
from sluice.pipelines.quarantine import near
from sluice.pipelines.repeats import find_repeats
from sluice.schemas import (
    BRONZE_EVENTS,
    COORDINATES,
    SILVER_DUPLICATES,
    SILVER_HELD,
    SILVER_QUARANTINE,
    SILVER_READINGS,
    Table,
)
from sluice.tables.delta import current_version, read_table
from sluice.tables.lake import Lake
from sluice.tables.spans import Span, read_span
from sluice.transforms.bronze import keep_decided
from sluice.transforms.copies import find_copies, with_copies
from sluice.transforms.hours import merge_hours, within
from sluice.transforms.records import as_records
from sluice.transforms.silver import (
    ACCEPTED,
    REFUSED,
    select_conflicts,
    select_duplicates,
    select_readings,
    select_refused,
    without_repeats,
)

if TYPE_CHECKING:
    from sluice.pipelines.silver import SilverJob
    from sluice.pipelines.silver_work import Work

# What is needed of the rows that a record has had, beside coordinates and promotion.
_KNOWN: dict[Table, tuple[str, ...]] = {
    SILVER_READINGS: ("event_time",),
    SILVER_QUARANTINE: ("first_seen_at", "attempts", "error_code", "status"),
    SILVER_DUPLICATES: (),
}
_READ = (BRONZE_EVENTS, SILVER_HELD, *_KNOWN)


@dataclass(frozen=True)
class Part:
    """Records of bronze that are to be made anew.

    Attributes:
        wanted: COORDINATES, each once, and `is_beyond`: whether it lies beyond the span; kept in memory.
        records: the same in RECORD_COLUMNS.
        old: by table the rows of silver they have: COORDINATES, promotion_id, and event_time of readings, or
            first_seen_at, attempts, error_code and status of quarantine; kept in memory.
        bound: SQL over `target` that holds for every row with one of their coordinates.
    """

    wanted: DataFrame
    records: DataFrame
    old: Mapping[Table, DataFrame]
    bound: str

    def noted(self) -> dict[str, int]:
        """What the ledger counts of it: rows that will be replaced, by table and promotion, and records beyond."""
        found = {
            f"{schemas.REPLACED_ROWS}{table.full_name}:{row['promotion_id']}": row["count"]
            for table, rows in self.old.items()
            for row in rows.groupBy("promotion_id").count().collect()
        }
        beyond = self.wanted.where("is_beyond").count()
        return {**found, **({schemas.BEYOND_RANGE: beyond} if beyond else {})}


@dataclass(frozen=True)
class Outcome:
    """What became of the records of a part.

    Attributes:
        decided: FLAGGED_COLUMNS, no suspects.
        readings, refused, copies: columns of silver/readings, quarantine and duplicates.
    """

    decided: DataFrame
    readings: DataFrame
    refused: DataFrame
    copies: DataFrame


def covers_now(lake: Lake, span: Span) -> dict[str, Any]:
    """What fixes the records of a span, as `Decision.covers`: how far silver has read, and versions of tables."""
    versions = {table.full_name: current_version(lake, table) for table in _READ}
    return {"span": span.as_text(), "decided": decided_offsets(lake), "versions": versions}


def take_part(spark: SparkSession, lake: Lake, covers: Mapping[str, Any], keeper: Keeper) -> Part:
    """The records of a span that silver had read, and the copies of their events; without what is held or discarded.

    Args:
        covers: as `covers_now` returns.
    """

    def at(table: Table) -> DataFrame:
        return read_table(spark, lake, table, covers["versions"][table.full_name])

    on, quarantine, held = list(COORDINATES), at(SILVER_QUARANTINE), at(SILVER_HELD)
    read = keep_decided(at(BRONZE_EVENTS), covers["decided"])
    inside = keeper.settle(read.where(_within(read_span(covers["span"]))).select(*COORDINATES))
    together = with_copies(inside, find_copies(at(SILVER_DUPLICATES), quarantine))
    for_good = held.where(F.col("status") != schemas.HELD_APPROVED).select(*COORDINATES)
    for_good = for_good.unionAll(quarantine.where(F.col("status") == schemas.QUARANTINE_DISCARDED).select(*COORDINATES))
    open_to_change = keeper.settle(together.join(for_good, on=on, how="left_anti"))
    # Of a copy beyond the span, bronze may no longer have the bytes: it stays as it is.
    there = read.where(near(open_to_change))
    wanted = keeper.settle(open_to_change.join(there.select(*COORDINATES), on=on, how="left_semi"))
    around = near(wanted)
    records = as_records(read.where(around)).join(wanted.select(*COORDINATES), on=on, how="left_semi")
    old = {
        table: keeper.settle(
            at(table)
            .where(around)
            .select(*COORDINATES, "promotion_id", *columns)
            .join(wanted.select(*COORDINATES), on=on, how="left_semi")
        )
        for table, columns in _KNOWN.items()
    }
    return Part(wanted, records, old, near(wanted, "target."))


def _within(span: Span) -> Column:
    if at := span.partition:
        found = (F.col("topic") == at.topic) & (F.col("partition") == at.partition)
        if at.generation is not None:
            found &= F.col("topic_generation") == at.generation
        found = found & (F.col("offset") >= span.first.offset) if span.first else found
        return found & (F.col("offset") <= span.last.offset) if span.last else found
    found = F.col("kafka_timestamp").isNotNull()
    found = found & (F.col("kafka_timestamp") >= F.lit(span.since)) if span.since else found
    return found & (F.col("kafka_timestamp") < F.lit(span.until)) if span.until else found


def judge_part(job: SilverJob, work: Work, part: Part, lake: Lake, keeper: Keeper) -> Outcome:
    """Reads, judges and deduplicates the records of a part; counts them in `work`.

    Of several copies the one with the lowest coordinates is kept, but one that silver has of other records stays.
    """
    decided = job.judge(work, keeper)
    accepted = decided.where(F.col("state") == ACCEPTED)
    readings = read_table(work.spark, lake, SILVER_READINGS, work.table_version)
    touched = readings.where(within(merge_hours(work.tally.hours), "event_time", "event_date"))
    others = touched.join(part.wanted.select(*COORDINATES), on=list(COORDINATES), how="left_anti")
    found = find_repeats(accepted, others)
    repeats = keeper.settle(found)
    work.count_repeats(repeats)
    rules, promotion = work.reader.rules, work.promotion
    refused = select_refused(decided.where(F.col("state") == REFUSED), rules, promotion)
    refused = refused.unionAll(select_conflicts(work.records, repeats, promotion))
    return Outcome(
        decided,
        select_readings(without_repeats(accepted, repeats), rules, promotion),
        _with_history(refused, part.old[SILVER_QUARANTINE]),
        select_duplicates(repeats, promotion),
    )


def _with_history(refused: DataFrame, old: DataFrame) -> DataFrame:
    """Refused records with the attempts they have had, and the moment they were first refused."""
    known = old.select(*COORDINATES, F.col("first_seen_at").alias("_first"), F.col("attempts").alias("_attempts"))
    together = refused.join(known, on=list(COORDINATES), how="left")
    counted = {
        "first_seen_at": F.coalesce("_first", "first_seen_at"),
        "attempts": F.coalesce("_attempts", F.lit(0)) + F.lit(1),
    }
    return together.withColumns(counted).select(*SILVER_QUARANTINE.column_names)

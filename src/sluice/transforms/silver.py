"""Bronze records into silver: which become readings, which are refused, which are copies.

The pass over all rows is `flag_records`; persist what it returns, then take everything else from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import reduce
from typing import NamedTuple

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from sluice import schemas
from sluice.schemas import (
    CONFLICT_DETAIL,
    COORDINATES,
    SILVER_DUPLICATES,
    SILVER_HELD,
    SILVER_QUARANTINE,
    SILVER_READINGS,
)
from sluice.transforms.contract import Contract
from sluice.transforms.hours import readable
from sluice.transforms.judge import (
    JUDGED_TYPES,
    VERDICT_COLUMNS,
    Mark,
    RowRule,
    has_bit,
    judge_events,
    quality_flag,
    refusing_code,
    rule_names,
    with_judged_columns,
)
from sluice.transforms.parse import EVENT_COLUMNS, Limits, parse_events
from sluice.transforms.records import RAW_COLUMNS, RECORD_COLUMNS
from sluice.transforms.suspects import decide_suspects

ACCEPTED, REFUSED, SUSPECT = "accepted", "refused", "suspect"
PARSING, RULES, DEDUPLICATION = schemas.STAGES
# What a flagged row has beside RECORD_COLUMNS and EVENT_COLUMNS.
_FLAGS = ("state", "stage", "error_code", "error_detail")
# Why a record stands in quarantine.
REASON_COLUMNS = ("device_id", "stage", "error_code", "error_detail", "failed_rules")
FLAGGED_COLUMNS = (*RECORD_COLUMNS, *EVENT_COLUMNS, *VERDICT_COLUMNS, *_FLAGS, "unknown_fields")


class Promotion(NamedTuple):
    """What all rows of one promotion are marked with."""

    promotion_id: str
    decided_at: datetime


class Reader(NamedTuple):
    """Everything that decides how records are read and judged.

    Attributes:
        registry: columns of REGISTRY_DDL; one row per device.
        rules: in the suite's order; at most MAX_BITS.
        marks: what else is counted of readable rows; at most MAX_BITS.
        judges_together: whether some rule compares the rows of a batch with each other.
    """

    contract: Contract
    registry: DataFrame
    rules: Sequence[RowRule]
    limits: Limits
    marks: Sequence[Mark] = ()
    judges_together: bool = False


def flag_records(records: DataFrame, reader: Reader) -> DataFrame:
    """Every record with its `state`: accepted, refused, or suspect where the fast parser was not certain.

    `raw` is null in accepted rows, which no longer need their bytes.

    Args:
        records: RECORD_COLUMNS.

    Returns:
        FLAGGED_COLUMNS. Of a suspect only RECORD_COLUMNS mean anything; give them to `decide_doubtful`.
    """
    parsed = parse_events(records, reader.contract, reader.limits)
    if reader.judges_together:
        return _flag_together(parsed, reader)
    judged = judge_events(parsed, reader.registry, reader.rules, reader.marks)
    coded = judged.withColumn("error_code", refusing_code(reader.rules))
    state = F.when(~F.col("is_certain"), SUSPECT).when(F.col("error_code").isNotNull(), REFUSED).otherwise(ACCEPTED)
    unknown = F.lit(None).cast("array<string>").alias("unknown_fields")
    return _flagged(coded.select("*", state.alias("state"), unknown), F.lit(RULES), reader)


def _flag_together(parsed: DataFrame, reader: Reader) -> DataFrame:
    """As `flag_records`, no suspects left: certain rows and decided ones in one frame before rules see them."""
    nothing = {name: F.lit(None).cast("string") for name in ("_parse_code", "_parse_detail")}
    certain = parsed.where("is_certain").drop("is_certain").withColumns(nothing)
    certain = certain.withColumn("unknown_fields", F.lit(None).cast("array<string>"))
    decided = certain.unionByName(_decide(_records_of(parsed.where(~F.col("is_certain"))), reader))
    readable = F.col("_parse_code").isNull()
    judged = judge_events(decided.where(readable), reader.registry, reader.rules, reader.marks)
    return _flag_decided(judged.unionByName(judge_events(decided.where(~readable), reader.registry, (), ())), reader)


def decide_doubtful(flagged: DataFrame, reader: Reader) -> DataFrame:
    """The suspects of `flagged`, decided: accepted or refused.

    Returns:
        FLAGGED_COLUMNS, one row per suspect.
    """
    decided = _decide(_records_of(flagged.where(F.col("state") == SUSPECT)), reader)
    return _flag_decided(judge_events(decided, reader.registry, reader.rules, reader.marks), reader)


def flag_at_once(records: DataFrame, reader: Reader) -> DataFrame:
    """As `flag_records` and `decide_doubtful` together, in one frame that a stream without a second step can have.

    Of certain rows the exact half sees no bytes, which costs little. No suspects are left.

    Args:
        records: RECORD_COLUMNS.
        reader: without rules that compare rows with each other; its marks are not counted.
    """
    parsed = parse_events(records, reader.contract, reader.limits)
    fast = F.struct("is_certain", "raw", *EVENT_COLUMNS).alias("_fast")
    unread = F.when(~F.col("is_certain"), F.col("raw")).alias("raw")
    kept = [name for name in RECORD_COLUMNS if name != "raw"]
    decided = _decide(parsed.select(*kept, unread, fast), reader)
    is_certain = F.col("_fast.is_certain")
    merged = decided.select(
        *kept,
        F.col("_fast.raw").alias("raw"),
        *[F.when(is_certain, F.col(f"_fast.{name}")).otherwise(F.col(name)).alias(name) for name in EVENT_COLUMNS],
        *[F.when(~is_certain, F.col(name)).alias(name) for name in ("_parse_code", "_parse_detail", "unknown_fields")],
    )
    return _flag_decided(judge_events(merged, reader.registry, reader.rules), reader)


def _records_of(rows: DataFrame) -> DataFrame:
    return rows.select(*RECORD_COLUMNS)


def _decide(suspects: DataFrame, reader: Reader) -> DataFrame:
    zones = reader.registry.select("device_id", "assume_time_zone")
    decided = decide_suspects(suspects, zones, reader.contract, reader.limits)
    return decided.withColumnsRenamed({"error_code": "_parse_code", "error_detail": "_parse_detail"})


def _flag_decided(judged: DataFrame, reader: Reader) -> DataFrame:
    readable = F.col("_parse_code").isNull()
    code = F.when(readable, refusing_code(reader.rules)).otherwise(F.col("_parse_code"))
    state = F.when(F.col("error_code").isNotNull(), REFUSED).otherwise(ACCEPTED)
    stated = judged.withColumn("error_code", code).withColumn("state", state)
    bits = {name: F.when(readable, F.col(name)).otherwise(F.lit(0)) for name in ("broken_rules", "marks")}
    return _flagged(
        stated.withColumns(bits), F.when(readable, RULES).otherwise(PARSING), reader, F.col("_parse_detail")
    )


def _flagged(judged: DataFrame, stage: Column, reader: Reader, detail: Column | None = None) -> DataFrame:
    refused = F.col("state") == REFUSED
    broken = F.concat(F.lit("broke "), F.concat_ws(", ", rule_names(reader.rules)))
    explained = broken if detail is None else F.coalesce(detail, broken)
    return judged.select(
        *[name for name in RECORD_COLUMNS if name != "raw"],
        F.when(F.col("state") != ACCEPTED, F.col("raw")).alias("raw"),
        *EVENT_COLUMNS,
        *VERDICT_COLUMNS,
        "state",
        F.when(refused, stage).alias("stage"),
        F.when(refused, F.col("error_code")).alias("error_code"),
        F.when(refused, explained).alias("error_detail"),
        "unknown_fields",
    )


def sample_broken(
    flagged: DataFrame, reader: Reader, wanted: Sequence[tuple[int, Sequence[str]]], size: int
) -> DataFrame:
    """A few of the rows that break rules, with the values the rules saw.

    Args:
        flagged: FLAGGED_COLUMNS of readable rows.
        wanted: indexes of rules, each with the names of its judged columns.
        size: rows per rule.

    Returns:
        `rule` (index), then the judged columns of all wanted rules, `readable`; at most `size` rows per rule.
    """
    columns = sorted({name for _, names in wanted for name in names})
    few = [
        flagged.where(has_bit("broken_rules", index)).limit(size).withColumn("rule", F.lit(index))
        for index, _ in wanted
    ]
    events = reduce(DataFrame.unionAll, few).select(*RECORD_COLUMNS, *EVENT_COLUMNS, "rule")
    return with_judged_columns(events, reader.registry).select(
        "rule", *readable({name: JUDGED_TYPES[name] for name in columns})
    )


def select_held(records: DataFrame, promotion: Promotion) -> DataFrame:
    """Records in the columns of silver/held."""
    raw = {name: F.col(f"raw.{name}") for name in RAW_COLUMNS}
    marked = {"ingest_date": F.to_date("ingested_at"), "promotion_id": F.lit(promotion.promotion_id)}
    return records.withColumns({**raw, **marked, "status": F.lit(schemas.HELD_OPEN)}).select(*_typed(SILVER_HELD))


def without_repeats(accepted: DataFrame, repeats: DataFrame) -> DataFrame:
    """The accepted rows that keep their event key."""
    return accepted.join(repeats.select(*COORDINATES), on=list(COORDINATES), how="left_anti")


def select_readings(accepted: DataFrame, rules: Sequence[RowRule], promotion: Promotion) -> DataFrame:
    """Accepted rows in the columns of silver/readings."""
    marked = accepted.withColumns(
        {
            "quality_flag": quality_flag(rules),
            "failed_rules": rule_names(rules),
            "promoted_at": F.lit(promotion.decided_at),
            "promotion_id": F.lit(promotion.promotion_id),
        }
    )
    return marked.select(*_typed(SILVER_READINGS))


def select_refused(flagged: DataFrame, rules: Sequence[RowRule], promotion: Promotion) -> DataFrame:
    """The refused rows of `flagged` in the columns of silver/quarantine."""
    refused = flagged.where(F.col("state") == REFUSED).withColumn("failed_rules", rule_names(rules))
    return _quarantined(
        refused.select("*", *[F.col(f"raw.{name}").alias(f"raw_{name}") for name in RAW_COLUMNS]), promotion
    )


def select_conflicts(records: DataFrame, repeats: DataFrame, promotion: Promotion) -> DataFrame:
    """The conflicting repeats in the columns of silver/quarantine, their bytes taken from `records`."""
    found = records.join(_conflict_reasons(repeats), on=list(COORDINATES), how="inner")
    return _quarantined(
        found.select("*", *[F.col(f"raw.{name}").alias(f"raw_{name}") for name in RAW_COLUMNS]), promotion
    )


def _conflict_reasons(repeats: DataFrame) -> DataFrame:
    """COORDINATES and REASON_COLUMNS of the conflicting repeats."""
    kept = F.concat_ws(":", *[F.col(f"kept_{name}").cast("string") for name in COORDINATES])
    return repeats.where("is_conflict").select(
        *COORDINATES,
        "device_id",
        F.lit(DEDUPLICATION).alias("stage"),
        F.lit(schemas.DUPLICATE_CONFLICT).alias("error_code"),
        F.concat(F.lit(CONFLICT_DETAIL), kept).alias("error_detail"),
        F.array().cast("array<string>").alias("failed_rules"),
    )


def select_outcomes(decided: DataFrame, repeats: DataFrame, rules: Sequence[RowRule]) -> DataFrame:
    """What became of quarantined records that were judged anew.

    Args:
        decided: FLAGGED_COLUMNS, no suspects.

    Returns:
        COORDINATES and REASON_COLUMNS, one row per record; `error_code` is null where it is refused no longer.
    """
    refused = decided.where(F.col("state") == REFUSED).withColumn("failed_rules", rule_names(rules))
    reasons = refused.select(*COORDINATES, *REASON_COLUMNS).unionByName(_conflict_reasons(repeats))
    return decided.select(*COORDINATES).join(reasons, on=list(COORDINATES), how="left")


def select_duplicates(repeats: DataFrame, promotion: Promotion) -> DataFrame:
    """The repeats that are no conflict in the columns of silver/duplicates."""
    copies = repeats.where(~F.col("is_conflict")).withColumn("promotion_id", F.lit(promotion.promotion_id))
    return copies.select(*_typed(SILVER_DUPLICATES))


def _quarantined(rows: DataFrame, promotion: Promotion) -> DataFrame:
    marked = rows.withColumns(
        {
            "promotion_id": F.lit(promotion.promotion_id),
            "first_seen_at": F.lit(promotion.decided_at),
            "last_seen_at": F.lit(promotion.decided_at),
            "attempts": F.lit(1),
            "status": F.lit(schemas.QUARANTINE_OPEN),
            **{name: F.col(f"raw_{name}") for name in RAW_COLUMNS},
        }
    )
    return marked.select(*_typed(SILVER_QUARANTINE))


def _typed(table: schemas.Table) -> list[Column]:
    return [F.col(name).cast(kind).alias(name) for name, kind in table.columns]

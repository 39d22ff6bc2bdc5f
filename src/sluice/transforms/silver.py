"""Bronze records into silver: which become readings, which are refused, which are copies.

The pass over all rows is `flag_records`; persist what it returns, then take everything else from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from sluice import schemas
from sluice.schemas import COORDINATES, SILVER_DUPLICATES, SILVER_QUARANTINE, SILVER_READINGS
from sluice.transforms.contract import Contract
from sluice.transforms.judge import RowRule, judge_events, quality_flag, refusing_code, rule_names
from sluice.transforms.parse import EVENT_COLUMNS, Limits, parse_events
from sluice.transforms.records import RAW_COLUMNS, RECORD_COLUMNS
from sluice.transforms.suspects import decide_suspects

ACCEPTED, REFUSED, SUSPECT = "accepted", "refused", "suspect"
PARSING, RULES, DEDUPLICATION = "parse", "rules", "deduplicate"
# What a flagged row has beside RECORD_COLUMNS and EVENT_COLUMNS.
_VERDICTS = ("metric", "customer", "site", "event_date", "is_registered", "broken_rules")
_FLAGS = ("state", "stage", "error_code", "error_detail")
FLAGGED_COLUMNS = (*RECORD_COLUMNS, *EVENT_COLUMNS, *_VERDICTS, *_FLAGS, "unknown_fields")


class Promotion(NamedTuple):
    """What all rows of one promotion are marked with."""

    promotion_id: str
    decided_at: datetime


class Reader(NamedTuple):
    """Everything that decides how records are read and judged.

    Attributes:
        registry: columns of REGISTRY_DDL; one row per device.
        rules: in the suite's order; at most 62.
    """

    contract: Contract
    registry: DataFrame
    rules: Sequence[RowRule]
    limits: Limits


def flag_records(records: DataFrame, reader: Reader) -> DataFrame:
    """Every record with its `state`: accepted, refused, or suspect where the fast parser was not certain.

    `raw` is null in accepted rows, which no longer need their bytes.

    Args:
        records: RECORD_COLUMNS.

    Returns:
        FLAGGED_COLUMNS. Of a suspect only RECORD_COLUMNS mean anything; give them to `decide_doubtful`.
    """
    parsed = parse_events(records, reader.contract, reader.limits)
    judged = judge_events(parsed, reader.registry, reader.rules).withColumn("error_code", refusing_code(reader.rules))
    state = F.when(~F.col("is_certain"), SUSPECT).when(F.col("error_code").isNotNull(), REFUSED).otherwise(ACCEPTED)
    unknown = F.lit(None).cast("array<string>").alias("unknown_fields")
    return _flagged(judged.select("*", state.alias("state"), unknown), F.lit(RULES), reader)


def decide_doubtful(flagged: DataFrame, reader: Reader) -> DataFrame:
    """The suspects of `flagged`, decided: accepted or refused.

    Returns:
        FLAGGED_COLUMNS, one row per suspect.
    """
    suspects = flagged.where(F.col("state") == SUSPECT).select(*RECORD_COLUMNS)
    zones = reader.registry.select("device_id", "assume_time_zone")
    decided = decide_suspects(suspects, zones, reader.contract, reader.limits)
    renamed = decided.withColumnsRenamed({"error_code": "_parse_code", "error_detail": "_parse_detail"})
    judged = judge_events(renamed, reader.registry, reader.rules)
    readable = F.col("_parse_code").isNull()
    code = F.coalesce("_parse_code", refusing_code(reader.rules))
    state = F.when(F.col("error_code").isNotNull(), REFUSED).otherwise(ACCEPTED)
    stated = judged.withColumn("error_code", code).withColumn("state", state)
    unread = stated.withColumn("broken_rules", F.when(readable, F.col("broken_rules")).otherwise(F.lit(0)))
    return _flagged(unread, F.when(readable, RULES).otherwise(PARSING), reader, F.col("_parse_detail"))


def _flagged(judged: DataFrame, stage: Column, reader: Reader, detail: Column | None = None) -> DataFrame:
    refused = F.col("state") == REFUSED
    broken = F.concat(F.lit("broke "), F.concat_ws(", ", rule_names(reader.rules)))
    explained = broken if detail is None else F.coalesce(detail, broken)
    return judged.select(
        *[name for name in RECORD_COLUMNS if name != "raw"],
        F.when(F.col("state") != ACCEPTED, F.col("raw")).alias("raw"),
        *EVENT_COLUMNS,
        *_VERDICTS,
        "state",
        F.when(refused, stage).alias("stage"),
        F.when(refused, F.col("error_code")).alias("error_code"),
        F.when(refused, explained).alias("error_detail"),
        "unknown_fields",
    )


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
    kept = F.concat_ws(":", *[F.col(f"kept_{name}").cast("string") for name in COORDINATES])
    conflicts = repeats.where("is_conflict").select(
        *COORDINATES,
        "device_id",
        F.concat(F.lit("other values than the event at "), kept).alias("error_detail"),
    )
    found = records.join(conflicts, on=list(COORDINATES), how="inner")
    marked = found.withColumns(
        {
            "stage": F.lit(DEDUPLICATION),
            "error_code": F.lit(schemas.DUPLICATE_CONFLICT),
            "failed_rules": F.array().cast("array<string>"),
        }
    )
    return _quarantined(
        marked.select("*", *[F.col(f"raw.{name}").alias(f"raw_{name}") for name in RAW_COLUMNS]), promotion
    )


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
            "status": F.lit("open"),
            **{name: F.col(f"raw_{name}") for name in RAW_COLUMNS},
        }
    )
    return marked.select(*_typed(SILVER_QUARANTINE))


def _typed(table: schemas.Table) -> list[Column]:
    return [F.col(name).cast(kind).alias(name) for name, kind in table.columns]

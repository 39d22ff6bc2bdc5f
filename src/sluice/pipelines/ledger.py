"""The ledger: one row per promotion, written last, and the texts that ever decided something."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pyspark.sql import SparkSession

from sluice.pipelines.rulebook import Rulebook
from sluice.schemas import OPS_CONFIGS, Table
from sluice.tables.delta import Transaction, append, read_table
from sluice.tables.lake import Lake


def record_promotion(
    spark: SparkSession, lake: Lake, table: Table, promotion: Mapping[str, Any], transaction: Transaction
) -> None:
    """Appends the ledger row of a promotion; columns that are not given are null.

    Args:
        table: ops/silver_promotions or ops/gold_promotions.
    """
    unknown = set(promotion) - set(table.column_names)
    if unknown:
        raise ValueError(f"{table.full_name} has no {', '.join(sorted(unknown))}")
    row = tuple(promotion.get(name) for name in table.column_names)
    append(spark.createDataFrame([row], table.ddl).coalesce(1), lake, table, transaction)


def record_configs(
    spark: SparkSession, lake: Lake, rulebook: Rulebook, first_used_at: datetime, transaction: Transaction
) -> None:
    """Adds those texts of the rulebook to ops/configs that are not there yet."""
    known = {
        (row["kind"], row["hash"]) for row in read_table(spark, lake, OPS_CONFIGS).select("kind", "hash").collect()
    }
    new = [
        (kind, digest, rulebook.texts[kind], first_used_at)
        for kind, digest in rulebook.hashes.items()
        if (kind, digest) not in known
    ]
    if new:
        append(spark.createDataFrame(new, OPS_CONFIGS.ddl).coalesce(1), lake, OPS_CONFIGS, transaction)

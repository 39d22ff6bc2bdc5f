"""One promotion of gold on its way: what it rests on, what its gate is asked, and what is said of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from sluice import schemas
from sluice.pipelines.gatekeeper import Question
from sluice.pipelines.rulebook import RowRules, Rulebook
from sluice.pipelines.samples import sample_minutes
from sluice.tables.decisions import Decision
from sluice.tables.delta import Transaction
from sluice.tables.frames import FEW_ROWS
from sluice.transforms.judge import critical_bits, named_bits


@dataclass(frozen=True)
class GoldWork:
    """One promotion on its way."""

    spark: SparkSession
    promotion_id: str
    batch_id: int | None
    transaction: Transaction
    rulebook: Rulebook
    rules: RowRules
    registry: DataFrame
    decision: Decision | None
    silver_version: int
    decided_at: datetime
    began: float
    kind: str = schemas.BATCH
    parent: str | None = None
    overridden: tuple[str, str] | None = None
    covers: Mapping[str, Any] = field(default_factory=dict)

    @property
    def refused(self) -> Column:
        """Whether a judged minute breaks a critical rule."""
        critical = F.lit(critical_bits(self.rules.rules)).cast("bigint")
        return F.col("broken_rules").bitwiseAND(critical) != 0


def ask(work: GoldWork, judged: DataFrame, position: Mapping[str, Any]) -> Question:
    """What the gate is asked about a promotion whose minutes are judged; counts them.

    Args:
        position: where the batch stands in silver, as columns of the ledger.
    """
    broken, marks, held = Counter[str](), Counter[str](), 0
    names = [rule.rule_id for rule in work.rules.rules]
    critical = critical_bits(work.rules.rules)
    total = 0
    for row in judged.groupBy("broken_rules", "marks").count().collect():
        total += row["count"]
        # Who approves minutes overrides what they break; who asks for a replay does not.
        held += row["count"] if row["broken_rules"] & critical and work.kind != schemas.APPROVE else 0
        broken.update(dict.fromkeys(named_bits(row["broken_rules"], names), row["count"]))
        marked = named_bits(row["marks"], [mark.name for mark in work.rules.marks])
        marks.update(dict.fromkeys(marked, row["count"]))
    samples = {name: sample_minutes(judged, work.rules, index) for index, name in enumerate(names) if broken[name]}
    rows = {"rows_in": total, "rows_promoted": total - held, "rows_quarantined": 0, "rows_duplicate": 0}
    return Question(
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
        work.kind,
        work.covers,
    )


def are_few(decision: Decision) -> bool:
    """Whether its minutes surely fit into memory."""
    return int(decision.promotion["rows_in"]) <= FEW_ROWS


def told(decision: Decision) -> str:
    """What became of a batch, for the line about it."""
    row = decision.promotion
    held = f", {row['rows_held']:,} held" if row["rows_held"] else ""
    return f"{row['rows_promoted']:,} minutes upserted{held}: {decision.verdict}"

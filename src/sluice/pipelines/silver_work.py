"""One promotion of silver on its way: what it reads and counts, and what its gate is asked."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from sluice import schemas
from sluice.pipelines.facts import LATE, Facts, facts_of_silver
from sluice.pipelines.gatekeeper import Question
from sluice.pipelines.rulebook import RowRules, Rulebook
from sluice.pipelines.tally import Tally
from sluice.quality.scores import Counts, score_of
from sluice.tables.decisions import Decision
from sluice.tables.delta import Transaction
from sluice.transforms.judge import critical_bits, range_bits
from sluice.transforms.silver import ACCEPTED, REFUSED, Promotion, Reader

# More dates than this in one batch, and every task would write a small file into each of them.
_DATES_PER_TASK = 4
# Raw bytes that surely fit into memory.
_FEW_BYTES = 32 * 1024 * 1024


@dataclass
class Work:
    """One promotion on its way: what it reads, what decides it, and what it has counted.

    Attributes:
        noted: what else the ledger is to count of it, under names that no rule has.
    """

    spark: SparkSession
    records: DataFrame
    promotion_id: str
    batch_id: int | None
    transaction: Transaction
    rulebook: Rulebook
    rules: RowRules
    reader: Reader
    decision: Decision | None
    table_version: int
    decided_at: datetime
    kind: str = schemas.BATCH
    parent: str | None = None
    overridden: tuple[str, str] | None = None
    covers: Mapping[str, Any] = field(default_factory=dict)
    noted: Mapping[str, int] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    repeated: Counter[bool] = field(default_factory=Counter)
    began: float = field(default_factory=time.monotonic)

    def count_repeats(self, repeats: DataFrame) -> None:
        """Adds the repeats among its accepted rows."""
        for row in repeats.groupBy("is_conflict").count().collect():
            self.repeated[row["is_conflict"]] = row["count"]

    @property
    def promotion(self) -> Promotion:
        return Promotion(self.promotion_id, self.decided_at)

    @property
    def rows(self) -> dict[str, int]:
        """The ledger's counts, should it be promoted; a repeat was accepted before it was found to be one."""
        return {
            "rows_in": self.tally.rows_in,
            "rows_promoted": self.tally.states[ACCEPTED] - self.repeated.total(),
            "rows_quarantined": self.tally.states[REFUSED] + self.repeated[True],
            "rows_duplicate": self.repeated[False],
            "rows_held": 0,
        }

    @property
    def few_refused(self) -> bool:
        """Whether its refused rows surely fit into memory."""
        # Of conflicts it is not known how many bytes they are.
        return not self.repeated[True] and self.tally.refused_bytes <= _FEW_BYTES

    @property
    def broken(self) -> dict[str, int]:
        """Rows by broken rule_id; rules that no row breaks are absent."""
        counted = {rule.rule_id: self.tally.breaking(1 << index) for index, rule in enumerate(self.reader.rules)}
        return {name: count for name, count in counted.items() if count}


def ask(work: Work, samples: Mapping[str, list[Any]], position: Mapping[str, Any], past: Sequence[Facts]) -> Question:
    """What the gate is asked about a promotion, once all of it is counted.

    Args:
        samples: values of some rows that break each rule.
        position: where the batch stands in bronze, as columns of the ledger.
        past: the facts of earlier batches.
    """
    tally, contract = work.tally, work.rulebook.contract
    unknown = {f"unknown_field:{name}": count for name, count in tally.unknown_fields.items()}
    versions = [version.number for version in contract.versions]
    return Question(
        work.promotion_id,
        work.batch_id,
        work.table_version,
        work.rulebook,
        work.rows,
        {**work.broken, **tally.unreadable, **unknown, **work.noted},
        work.rules.counts(tally.readable, work.broken, tally.marks, samples),
        facts_of_silver(tally, work.rows, versions, past, work.decided_at),
        work.decided_at,
        score_of(_scored(work)).score,
        position,
        work.parent,
        work.overridden,
        work.kind,
        work.covers,
    )


def _scored(work: Work) -> Counts:
    rows, tally, rules = work.rows, work.tally, work.rulebook.suite.row_rules
    consistency = sum(1 << index for index, rule in enumerate(rules) if rule.dimension == "consistency")
    ranges, critical = range_bits(work.reader.rules), critical_bits(work.reader.rules)
    return Counts(
        received=rows["rows_in"],
        readings=rows["rows_promoted"],
        expected=None,
        quarantined=rows["rows_quarantined"],
        out_of_range=sum(count for broken, count in tally.broken.items() if broken & ranges and not broken & critical),
        duplicates=rows["rows_duplicate"],
        timed=tally.readable,
        late=tally.marks[LATE],
        judged=tally.readable,
        inconsistent=tally.breaking(consistency) if consistency else None,
    )


def told(decision: Decision) -> str:
    """What became of a batch, for the line about it."""
    row = decision.promotion
    if decision.verdict in schemas.REFUSING_VERDICTS:
        return f"{row['rows_held']:,} held: {decision.verdict} ({row['why']})"
    counts = f"{row['rows_promoted']:,} promoted, {row['rows_quarantined']:,} quarantined"
    return f"{counts}, {row['rows_duplicate']:,} duplicate: {decision.verdict}"


def in_few_files(readings: DataFrame, hours: Iterable[datetime]) -> DataFrame:
    """Readings of so many dates that every task would else write a small file into each, gathered by date."""
    dates = {hour.date() for hour in hours}
    return readings.repartition("event_date") if len(dates) > _DATES_PER_TASK else readings

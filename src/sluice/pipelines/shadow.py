"""A candidate suite against what silver has already decided: bronze is judged again, and nothing is changed.

Takes no lock and writes nothing into the lake. A row is compared under both suites in one pass, read by the contract
and registry of its promotion; all promotions decided under the same texts share a pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F

from sluice import schemas
from sluice.pipelines.check import LAYER, Check, Window, read_stored
from sluice.pipelines.comparison import Candidate, Comparison, Decided, compare
from sluice.pipelines.kept import kept_in_memory
from sluice.pipelines.reader import open_reader
from sluice.pipelines.rulebook import CONTRACT, REGISTRY, SUITE, Rulebook, load_rulebook, parse_rulebook, with_candidate
from sluice.quality.gate import Gate
from sluice.schemas import BRONZE_EVENTS, OPS_CONFIGS
from sluice.serving.lake import OpenLake, open_lake
from sluice.serving.promotions import read_history
from sluice.settings import Settings
from sluice.tables.delta import read_table
from sluice.tables.lake import Lake
from sluice.transforms.compare import SPANS_DDL, count_decisions, decide_all, judge_again, with_promotion
from sluice.transforms.records import as_records
from sluice.transforms.silver import flag_records

Ledger = Mapping[str, Any]


class Span(NamedTuple):
    """Records of one stream that a promotion took: those with after < offset <= upto."""

    topic: str
    topic_generation: int
    partition: int
    after: int
    upto: int


@dataclass(frozen=True)
class Pass:
    """Promotions that are judged again together: they were decided under the same texts.

    Attributes:
        rulebook: that one.
    """

    rulebook: Rulebook
    promotions: tuple[Ledger, ...]
    spans: tuple[tuple[Span, ...], ...]

    def apart(self) -> list[Pass]:
        """Each promotion by itself, for rules that compare the rows of a batch with each other."""
        pairs = zip(self.promotions, self.spans, strict=True)
        return [Pass(self.rulebook, (promotion,), (spans,)) for promotion, spans in pairs]


@dataclass(frozen=True)
class Plan:
    """What a check will do, made without Spark.

    Attributes:
        candidate: the current rulebook with the suite that is tried.
    """

    settings: Settings
    candidate: Rulebook
    gate: Gate
    passes: tuple[Pass, ...]
    notes: tuple[str, ...]


def plan_check(settings: Settings, suite: Path, window: Window) -> Plan:
    """What must be judged again to compare a suite with what was decided in the window.

    Raises:
        SuiteInvalid: the suite would not be applied whole; names file and rule.
        LakeMissing, LakeTooNew: there is nothing to compare with.
    """
    current = load_rulebook(settings, LAYER)
    candidate = with_candidate(current, suite, LAYER)
    gate = Gate(candidate.suite)
    lake = open_lake(settings.lake.path)
    ledger = [row for row in reversed(read_history(lake, LAYER, 0)) if row["kind"] == schemas.BATCH]
    spans = spans_of(ledger)
    wanted = [row for row in window.newest(ledger) if row["rows_in"] and spans[row["promotion_id"]]]
    passes, notes = _passes(lake, wanted, spans, current)
    if any(rule.needs_whole_batch for rule in candidate.suite.row_rules):
        passes = [part for each in passes for part in each.apart()]
    return Plan(settings, candidate, gate, tuple(passes), tuple(notes))


def carry_out(spark: SparkSession, plan: Plan, tell: Callable[[str], None] = lambda _: None) -> Check:
    """The comparison; one Spark job per pass of the plan.

    Args:
        tell: is given what is being done.

    Raises:
        SuiteInvalid: Spark does not take a rule of the suite; names it.
    """
    comparisons: list[Comparison] = []
    for number, each in enumerate(plan.passes, 1):
        rows = sum(row["rows_in"] for row in each.promotions)
        tell(f"pass {number} of {len(plan.passes)}: {rows:,} rows of {len(each.promotions)} promotions")
        comparisons += _compare(spark, plan, each)
    return answer(plan, comparisons)


def answer(plan: Plan, comparisons: Iterable[Comparison] = ()) -> Check:
    """What a check that has compared so much says; a plan without passes needs no Spark to be answered."""
    comparisons = sorted(comparisons, key=lambda comparison: comparison.decided_at)
    notes = list(plan.notes)
    if uneven := [each for each in comparisons if each.rows_in != each.rows_found]:
        found, decided = (sum(getattr(each, name) for each in uneven) for name in ("rows_found", "rows_in"))
        what = f"{len(uneven)} promotions are compared by other rows than were decided"
        notes.append(f"{what}: {BRONZE_EVENTS.full_name} has {found:,} for {decided:,}")
    digest = plan.candidate.hashes[SUITE]
    return Check(plan.candidate.suite.name, digest, tuple(comparisons), tuple(notes))


def spans_of(ledger: Iterable[Ledger]) -> dict[str, tuple[Span, ...]]:
    """Per promotion the records it took: in each stream, those after what earlier ones had reached.

    Args:
        ledger: rows of kind batch, the oldest first, none left out.
    """
    reached: dict[str, int] = {}
    found = {}
    for row in ledger:
        spans = []
        for stream, last in sorted((row["offsets"] or {}).items()):
            topic, generation, partition = stream.rsplit(":", 2)
            spans.append(Span(topic, int(generation), int(partition), reached.get(stream, -1), last))
            reached[stream] = max(last, reached.get(stream, -1))
        found[row["promotion_id"]] = tuple(spans)
    return found


def _passes(
    lake: OpenLake, wanted: Sequence[Ledger], spans: Mapping[str, tuple[Span, ...]], current: Rulebook
) -> tuple[list[Pass], list[str]]:
    groups: dict[tuple[str, ...], list[Ledger]] = {}
    for row in wanted:
        groups.setdefault(tuple(row[f"{kind}_hash"] for kind in (SUITE, CONTRACT, REGISTRY)), []).append(row)
    texts = _texts(lake) if groups else {}
    passes: list[Pass] = []
    notes = []
    for hashes, rows in groups.items():
        keys = dict(zip((SUITE, CONTRACT, REGISTRY), hashes, strict=True))
        if (SUITE, keys[SUITE]) not in texts:
            notes.append(
                f"{len(rows)} promotions are left out: {OPS_CONFIGS.full_name} lacks their suite {keys[SUITE]}"
            )
            continue
        known = {kind: texts[kind, digest] for kind, digest in keys.items() if (kind, digest) in texts}
        rulebook = parse_rulebook(known, current, LAYER)
        together = Pass(rulebook, tuple(rows), tuple(spans[row["promotion_id"]] for row in rows))
        compares_rows = any(rule.needs_whole_batch for rule in rulebook.suite.row_rules)
        passes += together.apart() if compares_rows else [together]
    return passes, notes


def _texts(lake: OpenLake) -> dict[tuple[str, str], str]:
    if OPS_CONFIGS.full_name not in lake.tables():
        return {}
    rows = lake.sql("SELECT kind, hash, text FROM ops.configs").fetchall()
    return {(kind, digest): text for kind, digest, text in rows}


def _compare(spark: SparkSession, plan: Plan, each: Pass) -> list[Comparison]:
    tried = replace(
        each.rulebook, suite=plan.candidate.suite, texts={**each.rulebook.texts, SUITE: plan.candidate.suite.text}
    )
    _, before = open_reader(spark, plan.settings, each.rulebook)
    rules, after = open_reader(spark, plan.settings, tried)
    lake = Lake(plan.settings.lake.path)
    spans = [(number, *span) for number, some in enumerate(each.spans) for span in some]
    events = read_table(spark, lake, BRONZE_EVENTS).where(_within([span for some in each.spans for span in some]))
    with kept_in_memory() as keeper:
        decided = decide_all(keeper.settle(flag_records(as_records(events), before)), before)
        if after.judges_together:
            # These rules take the rows twice, and deciding the suspects is what costs.
            decided = keeper.settle(decided)
        judged = judge_again(decided, before.rules, after)
        found = count_decisions(with_promotion(judged, spark.createDataFrame(spans, SPANS_DDL)), "promotion").collect()
    candidate = Candidate(plan.candidate.suite, plan.gate, rules)
    comparisons = []
    for number, row in enumerate(each.promotions):
        stored = read_stored(lake.path, row["promotion_id"])
        versions = [version.number for version in each.rulebook.contract.versions]
        then = Decided(row, each.rulebook.suite, versions, stored.facts, stored.failed)
        counted = [one.asDict() for one in found if one["promotion"] == number]
        comparisons.append(compare(then, counted, candidate).comparison)
    return comparisons


def _within(spans: Iterable[Span]) -> Column:
    """The records of the spans, maybe with others between them, as bounds that prune files."""
    bounds: dict[tuple[str, int, int], tuple[int, int]] = {}
    for span in spans:
        after, upto = bounds.get(span[:3], (span.after, span.upto))
        bounds[span[:3]] = (min(after, span.after), max(upto, span.upto))
    return reduce(Column.__or__, [_between(*stream, *ends) for stream, ends in bounds.items()])


def _between(topic: str, generation: int, partition: int, after: int, upto: int) -> Column:
    stream = (F.col("topic") == topic) & (F.col("topic_generation") == generation) & (F.col("partition") == partition)
    return stream & (F.col("offset") > after) & (F.col("offset") <= upto)

"""Two suites about one promotion, compared from what one pass counted: rows, rules and verdicts. Runs no Spark."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from sluice import schemas
from sluice.pipelines.facts import facts_of_silver
from sluice.pipelines.rulebook import RowRules
from sluice.pipelines.tally import Tally
from sluice.quality.arguments import BATCH, ROW
from sluice.quality.facts import silver_facts
from sluice.quality.gate import Facts, Gate, Judgement
from sluice.quality.suites import Rule, Suite
from sluice.transforms.judge import named_bits
from sluice.transforms.silver import ACCEPTED, REFUSED

HELD = "held"
# Facts that also depend on earlier batches; they are the same under every suite.
_OF_HISTORY = ("volume_ratio", "version_shift")
Counted = Mapping[str, Any]


@dataclass(frozen=True)
class Candidate:
    """A suite that is tried: its gate, and its row rules compiled."""

    suite: Suite
    gate: Gate
    rules: RowRules


@dataclass(frozen=True)
class Decided:
    """What the gate decided about a promotion.

    Attributes:
        promotion: its ledger row.
        suite: the one that decided.
        versions: of the contract that it was read under.
        facts: what its batch rules judged; empty where no result is stored.
        failed: the batch rules that failed; None where no result is stored.
    """

    promotion: Mapping[str, Any]
    suite: Suite
    versions: Collection[int]
    facts: Facts = field(default_factory=dict)
    failed: Collection[str] | None = None

    @property
    def is_held(self) -> bool:
        """Whether none of its rows was let in."""
        return self.promotion["verdict"] in schemas.REFUSING_VERDICTS


@dataclass(frozen=True)
class RuleChange:
    """One rule under both suites.

    Attributes:
        scope: row or batch.
        severity_then, severity_now: None where the suite does not have the rule.
        then, now: rows that break it; of a batch rule, promotions that fail it. None where the suite does not have
            the rule, or, of `then`, where it is not known.
        newly_broken, no_longer_broken: rows among them that the other suite's rule of that name lets pass.
    """

    rule_id: str
    scope: str
    severity_then: str | None
    severity_now: str | None
    then: int | None
    now: int | None
    newly_broken: int = 0
    no_longer_broken: int = 0

    @property
    def differs(self) -> bool:
        """Whether it is another rule in effect."""
        moved = self.newly_broken + self.no_longer_broken > 0
        renamed = self.severity_then != self.severity_now and bool(self.then or self.now)
        return moved or renamed or (self.then or 0) != (self.now or 0)


@dataclass(frozen=True)
class Comparison:
    """One promotion under both suites.

    Attributes:
        rows_found: of `rows_in`, those that are still in bronze; only they are compared.
        newly_refused, newly_accepted: rows by the row rules alone, whatever becomes of the batch.
        flags_changed: rows that both let in, under another quality flag.
        rows_otherwise: rows that would lie elsewhere, or be flagged otherwise; all of them, where only one of the
            two verdicts holds the batch.
    """

    promotion_id: str
    decided_at: datetime
    suite_hash: str
    verdict_then: str
    verdict_now: str
    why_now: str
    rows_in: int
    rows_found: int
    newly_refused: int
    newly_accepted: int
    flags_changed: int
    rows_otherwise: int
    rules: tuple[RuleChange, ...]

    @property
    def differs(self) -> bool:
        """Whether anything would be decided otherwise, a verdict included."""
        return self.rows_otherwise > 0 or self.verdict_then != self.verdict_now


@dataclass(frozen=True)
class Outcome:
    """What a candidate makes of a promotion, with all that its result is made of."""

    comparison: Comparison
    judgement: Judgement
    facts: Facts
    rows: Mapping[str, int]


def compare(decided: Decided, counted: Sequence[Counted], candidate: Candidate) -> Outcome:
    """A promotion under the suite that decided it and under a candidate.

    Which rows are copies, or conflict, is taken as it was found then.

    Args:
        counted: rows of `count_decisions`.
    """
    tally = _tally(counted, candidate)
    rows = _rows_now(decided, counted, tally)
    facts = _facts_now(decided, tally, rows)
    broken = _breaking(counted, "broken_now", candidate.suite)
    judgement = candidate.gate.judge(facts, candidate.rules.counts(tally.readable, broken, tally.marks, {}))
    promotion = decided.promotion
    comparison = Comparison(
        promotion["promotion_id"],
        promotion["decided_at"],
        promotion["suite_hash"],
        promotion["verdict"],
        judgement.verdict,
        judgement.why,
        promotion["rows_in"],
        tally.rows_in,
        _moves(counted, ACCEPTED, REFUSED),
        _moves(counted, REFUSED, ACCEPTED),
        _sum(counted, _is_reflagged),
        _otherwise(decided, counted, judgement.verdict),
        (*_row_rules(counted, decided.suite, candidate.suite), *_batch_rules(decided, candidate.suite, judgement)),
    )
    return Outcome(comparison, judgement, facts, rows)


def total_rules(comparisons: Iterable[Comparison]) -> list[RuleChange]:
    """Each rule over all promotions; the severities are those of the latest one that has it."""
    found: dict[tuple[str, str], RuleChange] = {}
    for each in comparisons:
        for rule in each.rules:
            before = found.get((rule.scope, rule.rule_id))
            found[rule.scope, rule.rule_id] = _added(before, rule) if before else rule
    return list(found.values())


def _added(before: RuleChange, rule: RuleChange) -> RuleChange:
    return RuleChange(
        rule.rule_id,
        rule.scope,
        rule.severity_then or before.severity_then,
        rule.severity_now or before.severity_now,
        _plus(before.then, rule.then),
        _plus(before.now, rule.now),
        before.newly_broken + rule.newly_broken,
        before.no_longer_broken + rule.no_longer_broken,
    )


def _plus(one: int | None, other: int | None) -> int | None:
    return None if one is None and other is None else (one or 0) + (other or 0)


def _sum(counted: Iterable[Counted], holds: Callable[[Counted], bool]) -> int:
    return sum(each["rows"] for each in counted if holds(each))


def _moves(counted: Iterable[Counted], then: str, now: str) -> int:
    return _sum(counted, lambda each: (each["state_then"], each["state_now"]) == (then, now))


def _is_reflagged(each: Counted) -> bool:
    both_in = each["state_then"] == each["state_now"] == ACCEPTED
    return both_in and bool(each["flag_then"] != each["flag_now"])


def _otherwise(decided: Decided, counted: Sequence[Counted], verdict: str) -> int:
    if decided.is_held != (verdict in schemas.REFUSING_VERDICTS):
        return _sum(counted, lambda _: True)
    if decided.is_held:
        return 0
    return _sum(counted, lambda each: each["state_then"] != each["state_now"] or _is_reflagged(each))


def _tally(counted: Iterable[Counted], candidate: Candidate) -> Tally:
    """What the pass over the batch would have counted under the candidate."""
    tally, names = Tally(), [mark.name for mark in candidate.rules.marks]
    for each in counted:
        tally.states[each["state_now"]] += each["rows"]
        tally.add_moment(each["newest"])
        if each["unreadable_code"] is not None:
            tally.unreadable[each["unreadable_code"]] += each["rows"]
            continue
        tally.broken[each["broken_now"]] += each["rows"]
        tally.versions[each["schema_version"]] += each["rows"]
        for name in named_bits(each["marks_now"], names):
            tally.marks[name] += each["rows"]
    return tally


def _rows_now(decided: Decided, counted: Sequence[Counted], tally: Tally) -> dict[str, int]:
    """The ledger's counts, should the candidate promote the batch."""
    refused_then = _sum(counted, lambda each: each["state_then"] == REFUSED)
    quarantined, duplicates = _then(decided, "rows_quarantined"), _then(decided, "rows_duplicate")
    conflicts = max(0, quarantined - refused_then) if quarantined else 0
    return {
        "rows_in": tally.rows_in,
        "rows_promoted": max(0, tally.states[ACCEPTED] - duplicates - conflicts),
        "rows_quarantined": tally.states[REFUSED] + conflicts,
        "rows_duplicate": duplicates,
        "rows_held": 0,
    }


def _then(decided: Decided, name: str) -> int:
    """A count of the ledger; of a held batch, all of whose rows it counts as held, from the share that was judged."""
    if not decided.is_held:
        return int(decided.promotion[name] or 0)
    share = decided.facts.get(name.replace("rows_", "share_"))
    return round(share * decided.promotion["rows_in"]) if share is not None else 0


def _facts_now(decided: Decided, tally: Tally, rows: Mapping[str, int]) -> dict[str, float | None]:
    moment = decided.promotion["decided_at"]
    moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    facts = facts_of_silver(tally, rows, decided.versions, (), moment)
    history = {name: decided.facts.get(name) for name in _OF_HISTORY}
    return {**dict.fromkeys(silver_facts(decided.versions)), **facts, **history}


def _breaking(counted: Iterable[Counted], column: str, suite: Suite) -> Counter[str]:
    names = [rule.rule_id for rule in suite.row_rules]
    found: Counter[str] = Counter()
    for each in counted:
        for name in named_bits(each[column], names):
            found[name] += each["rows"]
    return found


def _row_rules(counted: Sequence[Counted], then: Suite, now: Suite) -> Iterator[RuleChange]:
    before, after = _breaking(counted, "broken_then", then), _breaking(counted, "broken_now", now)
    both: Counter[str] = Counter()
    old, new = [rule.rule_id for rule in then.row_rules], [rule.rule_id for rule in now.row_rules]
    for each in counted:
        for name in set(named_bits(each["broken_then"], old)) & set(named_bits(each["broken_now"], new)):
            both[name] += each["rows"]
    severities_then, severities_now = _severities(then.row_rules), _severities(now.row_rules)
    for name in dict.fromkeys([*new, *old]):
        yield RuleChange(
            name,
            ROW,
            severities_then.get(name),
            severities_now.get(name),
            before[name] if name in severities_then else None,
            after[name] if name in severities_now else None,
            after[name] - both[name],
            before[name] - both[name],
        )


def _batch_rules(decided: Decided, now: Suite, judgement: Judgement) -> Iterator[RuleChange]:
    failed = {rule.rule_id for rule in judgement.failed}
    then, later = _severities(decided.suite.batch_rules), _severities(now.batch_rules)
    for name in dict.fromkeys([*later, *then]):
        before = int(name in decided.failed) if decided.failed is not None and name in then else None
        after = int(name in failed) if name in later else None
        yield RuleChange(name, BATCH, then.get(name), later.get(name), before, after)


def _severities(rules: Iterable[Rule]) -> dict[str, str]:
    return {rule.rule_id: rule.severity for rule in rules}

"""The gate: what is promoted of a batch as a whole, decided from its facts and the counts of its row rules.

A gate that cannot decide does not promote: whatever goes wrong while judging ends as the verdict ERROR.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sluice import schemas
from sluice.quality.arguments import BATCH
from sluice.quality.expectations import Prepared, prepare, reason_of
from sluice.quality.facts import ROWS_IN
from sluice.quality.results import RuleCounts, row_result, rule_id_of
from sluice.quality.suites import Rule, Suite

Facts = Mapping[str, float | int | None]


@dataclass(frozen=True)
class FailedRule:
    """A rule whose result is no success; of row rules, too few rows kept it (`mostly`)."""

    rule_id: str
    severity: str
    scope: str


@dataclass(frozen=True)
class Judgement:
    """What a gate decided about one batch.

    Attributes:
        verdict: PROMOTE, PROMOTE_WITH_WARNINGS, HOLD, EMPTY or ERROR of schemas.
        failed: the rules that failed, in the suite's order.
        row_results, batch_results: as Great Expectations' JSON, in the suite's order; empty if EMPTY.
        why: the verdict in words, for people; empty for PROMOTE.
    """

    verdict: str
    failed: tuple[FailedRule, ...] = ()
    row_results: tuple[dict[str, Any], ...] = ()
    batch_results: tuple[dict[str, Any], ...] = ()
    why: str = ""


class Gate:
    """Judges batches by one suite; made once, used for any number of batches.

    Each judgement has an engine and a frame of its own, which no other thread or batch sees and nothing keeps:
    in a shared data source two threads would swap their verdicts.

    Raises:
        SuiteInvalid: Great Expectations does not take a rule that the loader took; names it.
    """

    def __init__(self, suite: Suite) -> None:
        self._suite = suite
        self._prepared = {rule.rule_id: prepare(rule) for rule in suite.rules}
        engine = _engine_of({})
        # Asking an expectation for its metrics costs more than computing them, and the answer is always the same.
        self._metrics = {
            rule.rule_id: self._prepared[rule.rule_id].metrics_needed(engine) for rule in suite.batch_rules
        }

    def judge(self, facts: Facts, counts: Mapping[str, RuleCounts]) -> Judgement:
        """The verdict on a batch; never raises, runs no Spark job.

        Critical row rules do not hold a batch: the rows that break them are quarantined. Info changes nothing.

        Args:
            facts: `rows_in` and all facts that batch rules name; a null one breaks no rule.
            counts: by rule_id, what was counted for each row rule.
        """
        try:
            return self._judge(facts, counts)
        except Exception as error:
            # Fails closed: an error in judging must stop this batch, and this batch only.
            return Judgement(schemas.ERROR, why=f"the gate broke: {type(error).__name__}: {error}")

    def _judge(self, facts: Facts, counts: Mapping[str, RuleCounts]) -> Judgement:
        if fault := _fault_of(facts, self._suite.batch_rules):
            return Judgement(schemas.ERROR, why=fault)
        if facts[ROWS_IN] == 0:
            return Judgement(schemas.EMPTY, why="the batch has no rows")
        rows = tuple(self._row_result(rule, counts.get(rule.rule_id)) for rule in self._suite.row_rules)
        batch = tuple(self._judge_facts(facts))
        return _verdict_of(self._suite, rows, batch)

    def _row_result(self, rule: Rule, counts: RuleCounts | None) -> dict[str, Any]:
        prepared = self._prepared[rule.rule_id]
        if counts is None or not counts.are_possible:
            return prepared.broken_result("nothing was counted" if counts is None else f"impossible counts: {counts}")
        return row_result(rule, counts, prepared)

    def _judge_facts(self, facts: Facts) -> Iterable[dict[str, Any]]:
        """The results of the batch rules, by Great Expectations on a frame of one row."""
        if not self._metrics:
            return
        from great_expectations.validator.metrics_calculator import MetricsCalculator

        needed = [metric for metrics in self._metrics.values() for metric in metrics.values()]
        found, broken = MetricsCalculator(_engine_of(facts)).compute_metrics(needed)
        for rule_id, metrics in self._metrics.items():
            prepared = self._prepared[rule_id]
            if any(metric.id not in found for metric in metrics.values()):
                yield prepared.broken_result(reason_of(broken, prepared.rule))
            else:
                yield _result(prepared, {name: found[metric.id] for name, metric in metrics.items()})


def _engine_of(facts: Facts) -> Any:
    from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine
    from pandas import DataFrame

    row = {name: [math.nan if value is None else value] for name, value in facts.items()}
    return PandasExecutionEngine(batch_data_dict={"facts": DataFrame(row)})


def _result(prepared: Prepared, metrics: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return prepared.result(metrics)
    except Exception as error:
        # The other rules' results are worth keeping.
        return prepared.broken_result(f"{type(error).__name__}: {error}")


def _fault_of(facts: Facts, rules: Iterable[Rule]) -> str:
    """Why the facts cannot be judged, if so."""
    for name, value in facts.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            return f"the fact {name} is no number: {value!r}"
        if value is not None and not math.isfinite(value):
            return f"the fact {name} is {value}"
    rows_in = facts.get(ROWS_IN)
    if not isinstance(rows_in, int) or rows_in < 0:
        return f"{ROWS_IN} is no count: {rows_in!r}"
    absent = {name for rule in rules for name in rule.columns} - set(facts)
    return f"facts are missing: {', '.join(sorted(absent))}" if absent else ""


def _verdict_of(
    suite: Suite, row_results: tuple[dict[str, Any], ...], batch_results: tuple[dict[str, Any], ...]
) -> Judgement:
    found = {rule_id_of(result): result for result in (*row_results, *batch_results)}
    # A rule that nobody judged counts as one that could not be.
    broken = [rule.rule_id for rule in suite.rules if _is_broken(found.get(rule.rule_id))]
    failed = tuple(
        FailedRule(rule.rule_id, rule.severity, rule.scope)
        for rule in suite.rules
        if not found.get(rule.rule_id, {}).get("success")
    )
    holding = [rule.rule_id for rule in failed if rule.severity == schemas.CRITICAL and rule.scope == BATCH]
    warning = [rule.rule_id for rule in failed if rule.severity == schemas.WARNING]
    if broken:
        verdict, why = schemas.ERROR, f"could not be judged: {_named(broken, found)}"
    elif holding:
        verdict, why = schemas.HOLD, f"critical for the batch: {_named(holding, found)}"
    elif warning:
        verdict, why = schemas.PROMOTE_WITH_WARNINGS, f"warnings: {_named(warning, found)}"
    else:
        verdict, why = schemas.PROMOTE, ""
    return Judgement(verdict, failed, row_results, batch_results, why)


def _is_broken(result: Mapping[str, Any] | None) -> bool:
    return result is None or bool(result["exception_info"].get("raised_exception", True))


def _named(rule_ids: Iterable[str], found: Mapping[str, Mapping[str, Any]]) -> str:
    return ", ".join(f"{rule_id} ({_observed(found.get(rule_id))})" for rule_id in rule_ids)


def _observed(result: Mapping[str, Any] | None) -> str:
    if result is None:
        return "no result"
    if _is_broken(result):
        return str(result["exception_info"].get("exception_message"))
    counts = result["result"]
    if counts.get("element_count") == 1 and counts.get("partial_unexpected_list"):
        return str(counts["partial_unexpected_list"][0])
    return f"{counts.get('unexpected_count')} of {counts.get('element_count')} rows"

"""Results of rules as Great Expectations' own JSON, made from what one pass over the rows has counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sluice.quality.expectations import MAX_SAMPLES, Prepared, open_great_expectations, prepare
from sluice.quality.rule_types import COLUMN, LIST, PAIR, RULE_TYPES
from sluice.quality.suites import Rule, Suite


@dataclass(frozen=True)
class RuleCounts:
    """What was counted for one row rule.

    Attributes:
        judged: rows where `Predicate.judged` is true, or all.
        missing: rows where `Predicate.missing` is true, or 0.
        unexpected: rows where `Predicate.failing` is true.
        samples: of those rows, the values of `Predicate.sample_columns`, each as a sequence in that order; the
            first 20 are used.
    """

    judged: int
    missing: int
    unexpected: int
    samples: Sequence[Sequence[Any]] = field(default_factory=list)

    @property
    def are_possible(self) -> bool:
        """Whether the counts can be those of one set of rows."""
        counts = (self.judged, self.missing, self.unexpected)
        if not all(isinstance(count, int) and count >= 0 for count in counts):
            return False
        return self.missing <= self.judged and self.unexpected <= self.judged


def row_result(rule: Rule, counts: RuleCounts, prepared: Prepared | None = None) -> dict[str, Any]:
    """The result of one row rule, field by field what Great Expectations gives on Spark with result_format BASIC.

    But for `kwargs.batch_id`, which names a batch of a context that there is none of.

    Args:
        prepared: the rule's expectation, where it is at hand: making it takes a millisecond.
    """
    prepared = prepared or prepare(rule)
    domain, metric = RULE_TYPES[rule.type].domain, prepared.metric
    # Great Expectations sums over the rows, and a sum over none is null; over windows, pairs and lists it counts.
    is_summed = domain == COLUMN and not rule.needs_whole_batch
    nothing = None if counts.judged == 0 else 0
    metrics = {
        "table.row_count": counts.judged,
        "column_values.nonnull.unexpected_count": counts.missing or nothing,
        f"{metric}.filtered_row_count": counts.judged - counts.missing,
        f"{metric}.unexpected_values": _samples(rule, counts.samples),
        # Last, as for not-null rules this is also the first.
        f"{metric}.unexpected_count": counts.unexpected or (nothing if is_summed else 0),
    }
    return prepared.result(metrics)


def _samples(rule: Rule, samples: Sequence[Sequence[Any]]) -> list[Any]:
    first = [tuple(sample) for sample in samples[:MAX_SAMPLES]]
    domain = RULE_TYPES[rule.type].domain
    if domain == PAIR:
        return first
    if domain == LIST:
        return [dict(zip(rule.columns, sample, strict=True)) for sample in first]
    return [value for (value,) in first]


def suite_result(
    suite: Suite,
    row_results: Iterable[Mapping[str, Any]],
    batch_results: Iterable[Mapping[str, Any]],
    meta: Mapping[str, Any],
) -> dict[str, Any]:
    """One ExpectationSuiteValidationResult as JSON, its results in the suite's order.

    A rule without a result stands there as failed with an exception: never as passed.

    Args:
        row_results, batch_results: in any order; matched by `meta.rule_id`.
        meta: JSON values; `great_expectations_version` is added.
    """
    version = open_great_expectations()
    found = {rule_id_of(result): dict(result) for result in (*row_results, *batch_results)}
    results = [
        found.get(rule.rule_id) or prepare(rule).broken_result("the rule was not judged") for rule in suite.rules
    ]
    passed = sum(bool(result["success"]) for result in results)
    return {
        "success": passed == len(results),
        "results": results,
        "suite_name": suite.name,
        "suite_parameters": {},
        "statistics": {
            "evaluated_expectations": len(results),
            "successful_expectations": passed,
            "unsuccessful_expectations": len(results) - passed,
            "success_percent": 100 * passed / len(results),
        },
        "meta": {"great_expectations_version": version, **meta},
        "id": None,
    }


def rule_id_of(result: Mapping[str, Any]) -> str:
    """The `meta.rule_id` of the rule that a result is of."""
    return str(result["expectation_config"]["meta"]["rule_id"])

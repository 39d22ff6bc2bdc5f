"""Two suites about one promotion, from what a pass would have counted."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest
from pyspark.sql import Column

from sluice.pipelines.comparison import Candidate, Comparison, Decided, Outcome, RuleChange, compare, total_rules
from sluice.pipelines.rulebook import RowRules
from sluice.quality.facts import silver_facts
from sluice.quality.gate import Gate
from sluice.quality.suites import Suite, parse_suite
from sluice.transforms.judge import JUDGED_TYPES, RowRule

DECIDED_AT = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


def rule(rule_id: str, column: str, most: float, severity: str = "critical") -> dict[str, Any]:
    return {
        "type": "expect_column_values_to_be_between",
        "kwargs": {"column": column, "max_value": most},
        "severity": severity,
        "meta": {"rule_id": rule_id, "dimension": "validity"},
    }


def suite_of(*rules: dict[str, Any]) -> Suite:
    text = json.dumps({"name": "silver_readings", "expectations": list(rules)})
    return parse_suite(text, "silver_readings", JUDGED_TYPES, silver_facts([1, 2]))


HOT, SHARE = rule("hot", "temperature_celsius", 100), rule("share", "share_quarantined", 0.5)
DUPLICATES = rule("copies", "share_duplicate", 0.2, "warning")


def candidate_of(suite: Suite, condition: Column | None = None) -> Candidate:
    """The suite with row rules whose columns are never used."""
    rules = [RowRule(each.rule_id, each.is_critical, each.error_code, condition) for each in suite.row_rules]  # type: ignore[arg-type]
    return Candidate(suite, Gate(suite), RowRules(rules, [], {}, {}, {}, ()))


def rows(count: int, then: str, now: str, broken_then: int = 0, broken_now: int = 0, **fields: Any) -> dict[str, Any]:
    """Rows alike in everything; give what should differ."""
    return {
        "rows": count,
        "unreadable_code": None,
        "schema_version": 2,
        "state_then": then,
        "flag_then": "valid" if then == "accepted" else None,
        "broken_then": broken_then,
        "state_now": now,
        "flag_now": "valid" if now == "accepted" else None,
        "broken_now": broken_now,
        "marks_now": 0,
        "newest": int(DECIDED_AT.timestamp() * 1e6) - 5_000_000,
        **fields,
    }


UNREADABLE = {"unreadable_code": "NOT_JSON", "schema_version": None}


def ledger_row(**columns: Any) -> dict[str, Any]:
    return {
        "promotion_id": "silver-a-0",
        "decided_at": DECIDED_AT,
        "suite_hash": "s1",
        "verdict": "PROMOTE",
        "rows_in": 10,
        "rows_promoted": 10,
        "rows_quarantined": 0,
        "rows_duplicate": 0,
        "rows_held": 0,
        **columns,
    }


def compared(
    counted: list[dict[str, Any]],
    suite: Suite,
    then: Suite,
    facts: dict[str, float | None] | None = None,
    **columns: Any,
) -> Outcome:
    return compare(Decided(ledger_row(**columns), then, [1, 2], facts or {}), counted, candidate_of(suite))


def numbers(found: Comparison) -> tuple[Any, ...]:
    moved = (found.newly_refused, found.newly_accepted, found.flags_changed)
    return (found.verdict_then, found.verdict_now, *moved, found.rows_otherwise)


def test_the_same_decisions_are_no_difference() -> None:
    suite = suite_of(HOT, SHARE)
    found = compared([rows(9, "accepted", "accepted"), rows(1, "refused", "refused", 1, 1)], suite, suite)

    assert numbers(found.comparison) == ("PROMOTE", "PROMOTE", 0, 0, 0, 0)
    assert not found.comparison.differs
    assert [each for each in found.comparison.rules if each.differs] == []


def test_rows_that_move_and_flags_that_change_are_counted_apart() -> None:
    suite = suite_of(HOT, SHARE)
    counted = [
        rows(5, "accepted", "accepted"),
        rows(2, "accepted", "refused", 0, 1),
        rows(1, "refused", "accepted", 1, 0),
        rows(2, "accepted", "accepted", flag_now="suspect"),
    ]
    found = compared(counted, suite, suite, rows_quarantined=1)

    assert numbers(found.comparison) == ("PROMOTE", "PROMOTE", 2, 1, 2, 5)
    assert found.comparison.rules[0] == RuleChange("hot", "row", "critical", "critical", 1, 2, 2, 1)


def test_a_batch_that_would_be_held_is_decided_otherwise_with_all_of_its_rows() -> None:
    suite = suite_of(HOT, SHARE)
    counted = [rows(4, "accepted", "accepted"), rows(6, "accepted", "refused", 0, 1)]
    found = compared(counted, suite, suite)

    assert numbers(found.comparison) == ("PROMOTE", "HOLD", 6, 0, 0, 10)
    assert found.comparison.why_now == "critical for the batch: share (0.6)"
    assert found.comparison.rules[1] == RuleChange("share", "batch", "critical", "critical", None, 1)


def test_in_a_batch_that_stays_held_no_row_lies_elsewhere() -> None:
    suite = suite_of(HOT, SHARE)
    counted = [rows(4, "accepted", "refused", 0, 1), rows(6, "refused", "refused", **UNREADABLE)]
    held = {"rows_promoted": 0, "rows_held": 10, "verdict": "HOLD"}
    found = compared(counted, suite, suite, {"share_quarantined": 0.6}, **held)

    assert numbers(found.comparison) == ("HOLD", "HOLD", 4, 0, 0, 0)


def test_copies_and_conflicts_are_taken_as_they_were_found_then() -> None:
    suite = suite_of(HOT, SHARE, DUPLICATES)
    counted = [rows(8, "accepted", "accepted"), rows(2, "refused", "accepted", 1, 0)]
    # 3 in quarantine, of which the rules refused 2: one conflict.
    promoted = compared(counted, suite, suite, rows_promoted=4, rows_quarantined=3, rows_duplicate=3)
    facts = {"share_quarantined": 0.3, "share_duplicate": 0.3}
    held = compared(counted, suite, suite, facts, verdict="HOLD", rows_promoted=0, rows_held=10)

    expected = {"rows_in": 10, "rows_promoted": 6, "rows_quarantined": 1, "rows_duplicate": 3, "rows_held": 0}
    assert (promoted.rows, held.rows) == (expected, expected)
    assert promoted.comparison.verdict_now == "PROMOTE_WITH_WARNINGS"


def test_facts_are_counted_anew_but_for_those_of_earlier_batches() -> None:
    suite = suite_of(HOT)
    counted = [rows(6, "accepted", "accepted"), rows(4, "refused", "refused", **UNREADABLE)]
    stored = {"volume_ratio": 0.7, "version_shift": None, "share_unreadable": 0.9}
    found = compared(counted, suite, suite, stored, rows_quarantined=4)

    assert found.facts == {
        "rows_in": 10,
        "share_unreadable": 0.4,
        "share_quarantined": 0.4,
        "share_unknown_device": 0.0,
        "share_duplicate": 0.0,
        "share_late": 0.0,
        "freshness_seconds": 5.0,
        "volume_ratio": 0.7,
        "version_shift": None,
        "share_version_1": 0.0,
        "share_version_2": 1.0,
    }


def test_a_rule_that_only_one_suite_has_is_none_in_the_other() -> None:
    counted = [rows(3, "refused", "accepted", 1, 0), rows(7, "accepted", "refused", 0, 1)]
    found = compared(counted, suite_of(rule("humid", "humidity_percent", 100)), suite_of(HOT), rows_quarantined=3)

    assert found.comparison.rules == (
        RuleChange("humid", "row", None, "critical", None, 7, 7, 0),
        RuleChange("hot", "row", "critical", None, 3, None, 0, 3),
    )


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        (RuleChange("r", "row", "warning", "warning", 3, 3), False),
        (RuleChange("r", "row", "warning", "critical", 3, 3), True),
        (RuleChange("r", "row", "warning", "critical", 0, 0), False),
        (RuleChange("r", "row", "warning", "warning", 3, 3, 1, 1), True),
        (RuleChange("r", "batch", None, "warning", None, 0), False),
    ],
)
def test_a_rule_differs_if_other_rows_break_it_or_with_another_severity(change: RuleChange, differs: bool) -> None:
    assert change.differs is differs


def test_rules_are_added_up_over_promotions() -> None:
    suite = suite_of(HOT)
    one = compared([rows(1, "accepted", "refused", 0, 1)], suite, suite).comparison
    other = compared([rows(2, "refused", "accepted", 1, 0)], suite, suite).comparison

    assert total_rules([one, other]) == [RuleChange("hot", "row", "critical", "critical", 2, 1, 1, 2)]

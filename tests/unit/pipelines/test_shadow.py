"""Which records a promotion took, read off the ledger, and what is said where bronze lacks some."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tests.unit.pipelines.test_check import DECIDED

from sluice.pipelines.check import Check
from sluice.pipelines.rulebook import load_rulebook
from sluice.pipelines.shadow import Plan, Span, answer, spans_of
from sluice.quality.gate import Gate
from sluice.settings import load_settings


def test_a_promotion_took_what_lies_after_all_earlier_ones_in_each_stream() -> None:
    ledger = [
        {"promotion_id": "p0", "offsets": {"iot:raw:1:0": 9, "iot:raw:1:1": 4}},
        {"promotion_id": "p1", "offsets": {"iot:raw:1:1": 7}},
        {"promotion_id": "p2", "offsets": {"iot:raw:1:0": 12, "iot:raw:2:0": 3}},
        {"promotion_id": "p3", "offsets": None},
    ]

    assert spans_of(ledger) == {
        "p0": (Span("iot:raw", 1, 0, -1, 9), Span("iot:raw", 1, 1, -1, 4)),
        "p1": (Span("iot:raw", 1, 1, 4, 7),),
        "p2": (Span("iot:raw", 1, 0, 9, 12), Span("iot:raw", 2, 0, -1, 3)),
        "p3": (),
    }


def test_promotions_whose_rows_are_not_all_in_bronze_are_told() -> None:
    whole = replace(DECIDED, rows_in=5, rows_found=5)
    cut = replace(DECIDED, promotion_id="p1", decided_at=DECIDED.decided_at + timedelta(minutes=1), rows_found=3)

    plan = plan_of_nothing()
    expected = "1 promotions are compared by other rows than were decided: bronze.events has 3 for 5"
    assert answer(plan, [cut, whole]) == Check(
        "silver_readings", plan.candidate.hashes["suite"], (whole, cut), (expected,)
    )


def plan_of_nothing() -> Plan:
    settings = load_settings(environment={})
    rulebook = load_rulebook(settings, "silver")
    return Plan(settings, rulebook, Gate(rulebook.suite), (), ())

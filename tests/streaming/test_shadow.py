"""A candidate suite, tried on what has been decided or run beside the gate: it tells the truth and changes nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from sluice.embedded.broker import RunningBroker
from sluice.pipelines.check import Check, Window, read_live
from sluice.pipelines.comparison import RuleChange
from sluice.pipelines.rejudge import JudgedRecord, judge_in
from sluice.pipelines.rulebook import load_rulebook, with_candidate
from sluice.pipelines.shadow import carry_out, plan_check
from sluice.schemas import OPS_SILVER_PROMOTIONS
from sluice.serving.records import Coordinates
from tests.streaming.conftest import Workshop, open_workshop, reading

FIRST = [
    reading(20.0, event_id="a"),
    reading(40.0, event_id="warm"),
    reading(60.0, event_id="hot"),
    reading(150.0, event_id="impossible"),
    b"{",
    reading(20.0, event_id="a"),
    reading(30.0, event_id="doubtful", unheard=1),
]
SECOND = [
    reading(20.0, event_id="b"),
    reading(21.0, event_id="c", device_id="nobody"),
    reading(40.0, event_id="warm again"),
    # Its rule is no rule of a range in either suite, but stands where the other suite has one.
    reading(22.0, event_id="strange", status="unheard of"),
]
POSSIBLE, REGISTERED = "temperature_celsius_possible", "temperature_celsius_at_most_registered_max"
COMPARED = (
    *("verdict_then", "verdict_now", "rows_in", "rows_found"),
    *("newly_refused", "newly_accepted", "flags_changed", "rows_otherwise"),
)


@dataclass
class Tried:
    """A drained lake, and two suites to try on it."""

    workshop: Workshop
    strict: Path
    lax: Path

    def check(self, suite: Path) -> Check:
        plan = plan_check(self.workshop.settings, suite, Window())
        assert len(plan.passes) == 1
        return carry_out(self.workshop.spark, plan)


def shipped(workshop: Workshop) -> dict[str, Any]:
    suite: dict[str, Any] = json.loads((workshop.settings.expectations.path / "silver_readings.json").read_text())
    return suite


def rule_of(suite: dict[str, Any], rule_id: str) -> dict[str, Any]:
    (found,) = [rule for rule in suite["expectations"] if rule["meta"]["rule_id"] == rule_id]
    return found


def stricter(suite: dict[str, Any]) -> dict[str, Any]:
    """At most 35 °C, and no batch of 5 rows or more with over 40 % in quarantine."""
    rule_of(suite, POSSIBLE)["kwargs"]["max_value"] = 35
    guard = rule_of(suite, "share_quarantined_limited")["kwargs"]
    guard["max_value"], guard["row_condition"]["parameter"] = 0.4, 5
    return suite


def laxer(suite: dict[str, Any]) -> dict[str, Any]:
    """Up to 200 °C whatever is registered; but a device called nobody is suspect."""
    rule_of(suite, POSSIBLE)["kwargs"]["max_value"] = 200
    suite["expectations"].remove(rule_of(suite, REGISTERED))
    suite["expectations"].append(
        {
            "type": "expect_column_values_to_not_match_regex",
            "kwargs": {"column": "device_id", "regex": "^nobody$"},
            "severity": "warning",
            "meta": {"rule_id": "device_named", "dimension": "validity"},
        }
    )
    return suite


def files_of(lake: Path) -> dict[str, tuple[int, int]]:
    found = [path for path in lake.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in found}


# Two batches with a candidate beside them, and a pass for each suite tried.
pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def tried(spark: SparkSession, broker: RunningBroker, tmp_path_factory: pytest.TempPathFactory) -> Tried:
    """Two batches, drained with the stricter suite running beside the gate."""
    folder = tmp_path_factory.mktemp("shadow")
    workshop = open_workshop(spark, broker, folder / "lake")
    strict, lax = folder / "strict.json", folder / "lax.json"
    strict.write_text(json.dumps(stricter(shipped(workshop))))
    lax.write_text(json.dumps(laxer(shipped(workshop))))
    beside = workshop.with_settings(gate__candidate_path=str(strict))
    for messages in (FIRST, SECOND):
        beside.send(messages)
        beside.drain(["bronze", "silver"])
    return Tried(workshop, strict, lax)


@pytest.fixture(scope="module")
def strict_check(tried: Tried) -> Check:
    before = files_of(tried.workshop.lake.path)
    found = tried.check(tried.strict)
    assert files_of(tried.workshop.lake.path) == before, "a check has changed the lake"
    return found


def compared(check: Check) -> list[tuple[Any, ...]]:
    return [tuple(getattr(each, name) for name in COMPARED) for each in check.comparisons]


def differing_rules(check: Check) -> list[RuleChange]:
    return [rule for rule in check.rules if rule.differs]


def test_a_stricter_suite_refuses_more_rows_and_would_have_held_a_batch(strict_check: Check) -> None:
    assert compared(strict_check) == [
        ("PROMOTE_WITH_WARNINGS", "HOLD", 7, 7, 2, 0, 0, 7),
        ("PROMOTE_WITH_WARNINGS", "PROMOTE_WITH_WARNINGS", 4, 4, 1, 0, 0, 1),
    ]
    assert differing_rules(strict_check) == [
        RuleChange(POSSIBLE, "row", "critical", "critical", 1, 4, 3, 0),
        RuleChange("share_quarantined_limited", "batch", "critical", "critical", 0, 1),
    ]
    assert strict_check.comparisons[0].why_now == f"critical for the batch: share_quarantined_limited ({4 / 7})"
    assert strict_check.notes == ()


def test_a_laxer_suite_accepts_what_was_refused_and_flags_otherwise(tried: Tried) -> None:
    found = tried.check(tried.lax)

    assert compared(found) == [
        ("PROMOTE_WITH_WARNINGS", "PROMOTE", 7, 7, 0, 1, 1, 2),
        ("PROMOTE_WITH_WARNINGS", "PROMOTE_WITH_WARNINGS", 4, 4, 0, 0, 1, 1),
    ]
    assert differing_rules(found) == [
        RuleChange(POSSIBLE, "row", "critical", "critical", 1, 0, 0, 1),
        RuleChange("device_named", "row", None, "warning", None, 1, 1, 0),
        RuleChange(REGISTERED, "row", "warning", None, 2, None, 0, 2),
    ]


def test_the_suite_in_force_decides_nothing_otherwise(tried: Tried) -> None:
    found = tried.check(tried.workshop.settings.expectations.path / "silver_readings.json")

    assert (found.differing, differing_rules(found)) == ([], [])


def test_what_ran_beside_the_gate_has_recorded_what_a_later_check_finds(tried: Tried, strict_check: Check) -> None:
    live = read_live(tried.workshop.lake.path, Window())

    assert live == strict_check
    verdicts = tried.workshop.read(OPS_SILVER_PROMOTIONS).orderBy("decided_at").select("verdict").collect()
    assert [row["verdict"] for row in verdicts] == ["PROMOTE_WITH_WARNINGS"] * 2


def test_a_single_record_is_judged_by_another_suite_with_the_values_its_rules_saw(tried: Tried) -> None:
    workshop = tried.workshop
    rulebook = with_candidate(load_rulebook(workshop.settings, "silver"), tried.strict, "silver")
    topic = workshop.settings.kafka.topic
    wanted = [Coordinates(topic, 1, 0, offset) for offset in (6, 1, 4, 99)]

    found = judge_in(workshop.spark, workshop.settings, rulebook, wanted)

    accepted, refused, unreadable = found
    assert accepted == JudgedRecord(f"{topic}:1:0:6", "accepted", "valid", None, None, ())
    assert (refused.state, refused.error_code, refused.error_detail) == (
        "refused",
        "RULE_FAILED",
        f"broke {POSSIBLE}",
    )
    assert refused.broken_rules == (
        {
            "rule_id": POSSIBLE,
            "severity": "critical",
            "type": "expect_column_values_to_be_between",
            "kwargs": {"column": "temperature_celsius", "min_value": -50, "max_value": 35},
            "values": {"temperature_celsius": 40.0},
        },
    )
    assert (unreadable.state, unreadable.error_code, unreadable.broken_rules) == ("refused", "NOT_JSON", ())


def test_a_suite_that_compares_rows_judges_each_batch_apart(tried: Tried, tmp_path: Path) -> None:
    suite = shipped(tried.workshop)
    suite["expectations"].append(
        {
            "type": "expect_column_values_to_be_unique",
            "kwargs": {"column": "temperature_celsius"},
            "severity": "critical",
            "meta": {"rule_id": "unlike_others", "dimension": "uniqueness"},
        }
    )
    path = tmp_path / "unique.json"
    path.write_text(json.dumps(suite))
    plan = plan_check(tried.workshop.settings, path, Window())

    found = carry_out(tried.workshop.spark, plan)

    assert len(plan.passes) == 2
    # 20 °C stands twice in the first batch; the one of the second batch, and 40 °C in both, are no repetition.
    assert compared(found) == [
        ("PROMOTE_WITH_WARNINGS", "PROMOTE_WITH_WARNINGS", 7, 7, 2, 0, 0, 2),
        ("PROMOTE_WITH_WARNINGS", "PROMOTE_WITH_WARNINGS", 4, 4, 0, 0, 0, 0),
    ]

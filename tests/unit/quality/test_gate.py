from __future__ import annotations

import gc
import json
import threading
from collections.abc import Mapping
from typing import Any

import pytest

from sluice.quality.expectations import open_great_expectations
from sluice.quality.gate import FailedRule, Gate, Judgement
from sluice.quality.results import RuleCounts, suite_result
from sluice.quality.suites import Suite, parse_suite
from sluice.schemas import EMPTY, ERROR, HOLD, PROMOTE, PROMOTE_WITH_WARNINGS

BETWEEN, NOT_NULL = "expect_column_values_to_be_between", "expect_column_values_to_not_be_null"
GREATER = "expect_column_pair_values_a_to_be_greater_than_b"
LARGE = {"type": "comparison", "column": {"name": "rows_in"}, "operator": ">=", "parameter": 10_000}
FACTS = ("rows_in", "share_unreadable", "volume_ratio", "freshness_seconds")
GOOD: Mapping[str, float | int | None] = {
    "rows_in": 20_000,
    "share_unreadable": 0.0,
    "volume_ratio": 1.0,
    "freshness_seconds": 2.0,
}
CLEAN = {"row_critical": RuleCounts(20_000, 0, 0), "row_warning": RuleCounts(20_000, 100, 0)}


def entry(rule_id: str, severity: str, kind: str, **kwargs: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "kwargs": kwargs,
        "severity": severity,
        "meta": {"rule_id": rule_id, "dimension": "validity"},
    }


ENTRIES = (
    entry("row_critical", "critical", NOT_NULL, column="device_id"),
    entry("row_warning", "warning", BETWEEN, column="temperature", max_value=50, mostly=0.9),
    entry("unreadable", "critical", BETWEEN, column="share_unreadable", max_value=0.5, row_condition=LARGE),
    entry("volume", "warning", BETWEEN, column="volume_ratio", min_value=0.1, max_value=10),
    entry("fresh", "info", BETWEEN, column="freshness_seconds", max_value=60),
)


def suite_of(*entries: dict[str, Any]) -> Suite:
    text = json.dumps({"name": "s", "expectations": list(entries)})
    return parse_suite(text, "s", {"device_id": "string", "temperature": "double"}, FACTS)


@pytest.fixture(scope="module")
def gate() -> Gate:
    return Gate(suite_of(*ENTRIES))


def counts(**changed: RuleCounts) -> dict[str, RuleCounts]:
    return {**CLEAN, **changed}


def outcome(judgement: Judgement) -> tuple[str, list[str]]:
    return judgement.verdict, [rule.rule_id for rule in judgement.failed]


@pytest.mark.parametrize(
    ("facts", "counted", "expected"),
    [
        pytest.param({}, {}, (PROMOTE, []), id="all is well"),
        pytest.param({"share_unreadable": 0.6}, {}, (HOLD, ["unreadable"]), id="a critical batch rule holds"),
        pytest.param({"share_unreadable": 0.5}, {}, (PROMOTE, []), id="an end of a range is within it"),
        pytest.param(
            {"share_unreadable": 0.6, "rows_in": 9_999}, {}, (PROMOTE, []), id="a rule judges batches of its condition"
        ),
        pytest.param({"volume_ratio": 11}, {}, (PROMOTE_WITH_WARNINGS, ["volume"]), id="a batch rule warns"),
        pytest.param({"freshness_seconds": 61}, {}, (PROMOTE, ["fresh"]), id="info changes nothing"),
        pytest.param(
            {"share_unreadable": 0.6, "volume_ratio": 11},
            {},
            (HOLD, ["unreadable", "volume"]),
            id="a hold weighs more than a warning",
        ),
        pytest.param({"volume_ratio": None, "share_unreadable": None}, {}, (PROMOTE, []), id="null breaks no rule"),
        pytest.param(
            {},
            {"row_critical": RuleCounts(20_000, 0, 20_000)},
            (PROMOTE, ["row_critical"]),
            id="a critical row rule holds no batch",
        ),
        pytest.param(
            {},
            {"row_warning": RuleCounts(20_000, 10_000, 1_001)},
            (PROMOTE_WITH_WARNINGS, ["row_warning"]),
            id="fewer present values than mostly keep a row rule",
        ),
        pytest.param(
            {}, {"row_warning": RuleCounts(20_000, 10_000, 1_000)}, (PROMOTE, []), id="as many as mostly keep it"
        ),
        pytest.param({"rows_in": 0, "share_unreadable": None}, {}, (EMPTY, []), id="no rows"),
    ],
)
def test_the_verdict_is_the_weightiest_that_a_rule_asks_for(
    gate: Gate, facts: dict[str, Any], counted: dict[str, RuleCounts], expected: tuple[str, list[str]]
) -> None:
    assert outcome(gate.judge({**GOOD, **facts}, counts(**counted))) == expected


def test_a_judgement_names_its_rules_with_severity_and_what_was_found(gate: Gate) -> None:
    found = gate.judge({**GOOD, "share_unreadable": 0.75, "volume_ratio": 11}, CLEAN)
    assert found.failed == (FailedRule("unreadable", "critical", "batch"), FailedRule("volume", "warning", "batch"))
    assert found.why == "critical for the batch: unreadable (0.75)"
    warned = gate.judge(GOOD, counts(row_warning=RuleCounts(10, 0, 9)))
    assert warned.why == "warnings: row_warning (9 of 10 rows)"
    assert gate.judge(GOOD, CLEAN).why == ""


@pytest.mark.parametrize(
    ("facts", "counted", "why"),
    [
        pytest.param({"volume_ratio": ...}, CLEAN, "facts are missing: volume_ratio", id="a missing fact"),
        pytest.param({"rows_in": ...}, CLEAN, "rows_in is no count: None", id="no rows_in"),
        pytest.param({"rows_in": None}, CLEAN, "rows_in is no count: None", id="null rows_in"),
        pytest.param({"rows_in": -1}, CLEAN, "rows_in is no count: -1", id="negative rows_in"),
        pytest.param({"volume_ratio": float("nan")}, CLEAN, "the fact volume_ratio is nan", id="NaN"),
        pytest.param({"volume_ratio": float("inf")}, CLEAN, "the fact volume_ratio is inf", id="infinity"),
        pytest.param({"volume_ratio": "1"}, CLEAN, "the fact volume_ratio is no number: '1'", id="a text"),
        pytest.param({}, {}, "row_critical (nothing was counted)", id="a row rule that nobody counted"),
        pytest.param(
            {}, counts(row_critical=RuleCounts(1, 0, 2)), "impossible counts", id="more unexpected rows than rows"
        ),
        pytest.param({}, None, "the gate broke: AttributeError", id="not even a mapping"),
    ],
)
def test_what_cannot_be_judged_is_an_error_and_never_raises(
    gate: Gate, facts: dict[str, Any], counted: Any, why: str
) -> None:
    given = {name: value for name, value in {**GOOD, **facts}.items() if value is not ...}
    found = gate.judge(given, counted)
    assert found.verdict == ERROR
    assert why in found.why


def test_a_rule_that_gx_cannot_judge_is_an_error_although_another_holds(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    expectation = type(gate._prepared["volume"].expectation)

    def breaks(self: Any, **_: Any) -> None:
        raise RuntimeError("no luck")

    monkeypatch.setattr(expectation, "_validate", breaks)
    found = gate.judge({**GOOD, "share_unreadable": 0.9}, CLEAN)
    assert found.verdict == ERROR
    assert "no luck" in found.why


def test_a_column_that_gx_does_not_find_is_an_error_and_no_failed_rule(gate: Gate) -> None:
    # Past our own check of the facts, as if it had a hole: what GX reports as an exception is no verdict.
    results = {each["expectation_config"]["meta"]["rule_id"]: each for each in gate._judge_facts({"rows_in": 20_000})}
    assert {name: each["exception_info"]["raised_exception"] for name, each in results.items()} == {
        "unreadable": True,
        "volume": True,
        "fresh": True,
    }
    assert "volume_ratio" in results["volume"]["exception_info"]["exception_message"]


def test_batch_results_are_those_of_gx_itself(gate: Gate) -> None:
    open_great_expectations()
    import great_expectations as gx
    import pandas as pd
    from great_expectations.expectations.registry import get_expectation_impl

    facts = {**GOOD, "share_unreadable": 0.75, "volume_ratio": 11.0}
    source = gx.get_context(mode="ephemeral").data_sources.add_pandas("facts")
    batch = source.add_dataframe_asset("batch").add_batch_definition_whole_dataframe("one")
    expectations = [
        get_expectation_impl(each["type"])(**each["kwargs"], meta=each["meta"], severity=each["severity"])
        for each in ENTRIES[2:]
    ]
    suite = gx.ExpectationSuite("s", expectations=expectations)
    validation = batch.get_batch({"dataframe": pd.DataFrame([facts])}).validate(suite, result_format="BASIC")
    expected = {each.expectation_config.meta["rule_id"]: each.to_json_dict() for each in validation.results}
    for each in expected.values():
        del each["expectation_config"]["kwargs"]["batch_id"]
    found = gate.judge(facts, CLEAN).batch_results
    assert {each["expectation_config"]["meta"]["rule_id"]: each for each in found} == expected


def test_results_of_a_judgement_make_a_suite_result_in_the_suites_order(gate: Gate) -> None:
    suite = suite_of(*ENTRIES)
    found = gate.judge({**GOOD, "volume_ratio": 11}, CLEAN)
    result = suite_result(suite, found.row_results, found.batch_results, {})
    assert [each["success"] for each in result["results"]] == [True, True, True, False, True]
    assert result["statistics"] == {
        "evaluated_expectations": 5,
        "successful_expectations": 4,
        "unsuccessful_expectations": 1,
        "success_percent": 80.0,
    }
    json.dumps(result, allow_nan=False)


def test_a_suite_of_row_rules_alone_is_judged_without_facts_but_rows_in() -> None:
    found = Gate(suite_of(ENTRIES[0])).judge({"rows_in": 3}, {"row_critical": RuleCounts(3, 0, 1, [[None]])})
    assert (found.verdict, found.batch_results) == (PROMOTE, ())
    assert found.row_results[0]["result"]["unexpected_count"] == 1


def test_two_threads_with_a_gate_each_get_their_own_verdicts() -> None:
    wrong: list[Judgement] = []

    def judge(facts: dict[str, Any], verdict: str) -> None:
        own = Gate(suite_of(*ENTRIES))
        for _ in range(15):
            found = own.judge({**GOOD, **facts}, CLEAN)
            if found.verdict != verdict:
                wrong.append(found)

    threads = [
        threading.Thread(target=judge, args=({"share_unreadable": 0.9}, HOLD)),
        threading.Thread(target=judge, args=({}, PROMOTE)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_fifty_batches_leave_nothing_behind(gate: Gate) -> None:
    def held() -> dict[str, int]:
        gc.collect()
        kinds = [type(each).__name__ for each in gc.get_objects()]
        names = ("PandasExecutionEngine", "BatchManager", "PandasBatchData", "DataFrame", "MetricConfiguration")
        return {name: kinds.count(name) for name in names}

    gate.judge(GOOD, CLEAN)
    before = held()
    for _ in range(50):
        gate.judge(GOOD, CLEAN)
    assert held() == before


def test_a_gate_runs_no_spark(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyspark import SparkContext

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("Spark was called")

    monkeypatch.setattr(SparkContext, "runJob", refuse)
    monkeypatch.setattr("pyspark.sql.SparkSession.getActiveSession", refuse)
    assert gate.judge(GOOD, CLEAN).verdict == PROMOTE

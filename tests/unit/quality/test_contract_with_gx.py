"""Great Expectations itself judges the same rows by the same rules: what we flag and store is what it finds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from sluice.quality.expectations import open_great_expectations
from sluice.quality.results import RuleCounts, row_result, suite_result
from sluice.quality.rule_types import EXCLUDED_TYPES, RULE_TYPES
from sluice.quality.rules import Predicate, compile_rules
from sluice.quality.suites import Rule, Suite

from .examples import COLUMNS, DDL, EXAMPLES, entries, example_suite, random_rows

COMPLETE = {
    "result_format": "COMPLETE",
    "unexpected_index_column_names": ["id"],
    "return_unexpected_index_query": False,
}
# What COMPLETE shows and BASIC does not.
BEYOND_BASIC = {
    "unexpected_index_column_names",
    "unexpected_index_list",
    "unexpected_list",
    "partial_unexpected_counts",
    "partial_unexpected_index_list",
}
# Compiling code for a hundred plans takes minutes, for 150 rows.
INTERPRETED = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}
IDS = [f"{index}-{kind.removeprefix('expect_')}" for index, (kind, _) in enumerate(EXAMPLES)]


@pytest.fixture(scope="module")
def suite() -> Suite:
    return example_suite()


@pytest.fixture(scope="module")
def rows(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(random_rows(150, seed=20), DDL).coalesce(1).sortWithinPartitions("id").persist()


@pytest.fixture(scope="module")
def predicates(spark: SparkSession, suite: Suite) -> dict[str, Predicate]:
    return {each.rule_id: each for each in compile_rules(spark, suite.rules, DDL)}


@pytest.fixture(scope="module")
def flags(rows: DataFrame, predicates: Mapping[str, Predicate]) -> list[Row]:
    columns = [*COLUMNS]
    for rule_id, each in predicates.items():
        columns.append(each.failing.alias(f"failing_{rule_id}"))
        columns.append((F.lit(True) if each.judged is None else each.judged).alias(f"judged_{rule_id}"))
        columns.append((F.lit(False) if each.missing is None else each.missing).alias(f"missing_{rule_id}"))
    return sorted(rows.select(*columns).collect(), key=lambda row: row["id"])


@pytest.fixture(scope="module")
def validation(spark: SparkSession, rows: DataFrame) -> dict[str, Any]:
    before = {key: spark.conf.get(key) for key in INTERPRETED}
    try:
        for key, value in INTERPRETED.items():
            spark.conf.set(key, value)
        return validated(rows, COMPLETE)
    finally:
        for key, old in before.items():
            spark.conf.set(key, str(old))


@pytest.fixture(scope="module")
def found_by_gx(validation: dict[str, Any]) -> dict[str, Any]:
    return {result["expectation_config"]["meta"]["rule_id"]: result for result in validation["results"]}


def validated(rows: DataFrame, result_format: Any) -> dict[str, Any]:
    """What Great Expectations says through its public interface alone."""
    open_great_expectations()
    import great_expectations as gx
    from great_expectations.expectations.registry import get_expectation_impl

    context = gx.get_context(mode="ephemeral")
    source = context.data_sources.add_spark("spark", persist=False)
    batch = source.add_dataframe_asset("rows").add_batch_definition_whole_dataframe("all")
    expectations = [
        get_expectation_impl(each["type"])(
            **each["kwargs"], meta=each["meta"], severity=each["severity"], description=each["description"]
        )
        for each in entries()
    ]
    suite = gx.ExpectationSuite("s", expectations=expectations)
    found: dict[str, Any] = (
        batch.get_batch({"dataframe": rows}).validate(suite, result_format=result_format).to_json_dict()
    )
    return found


def counts_of(predicate: Predicate, flags: list[Row]) -> RuleCounts:
    failing = [row for row in flags if row[f"failing_{predicate.rule_id}"]]
    return RuleCounts(
        judged=sum(row[f"judged_{predicate.rule_id}"] for row in flags),
        missing=sum(row[f"missing_{predicate.rule_id}"] for row in flags),
        unexpected=len(failing),
        samples=[[row[name] for name in predicate.sample_columns] for row in failing],
    )


def as_gx_shows(rule: Rule, samples: Sequence[Sequence[Any]]) -> list[Any]:
    parts = [samples[start : start + 20] for start in range(0, len(samples), 20)]
    results = [row_result(rule, RuleCounts(len(samples), 0, len(samples), part)) for part in parts]
    return [value for result in results for value in result["result"]["partial_unexpected_list"]]


def as_basic(result: dict[str, Any]) -> dict[str, Any]:
    """The result without what BASIC does not show and without the batch's name."""
    configuration = result["expectation_config"]
    kwargs = {key: value for key, value in configuration["kwargs"].items() if key != "batch_id"}
    shown = {key: value for key, value in result["result"].items() if key not in BEYOND_BASIC}
    return {**result, "result": shown, "expectation_config": {**configuration, "kwargs": kwargs}}


def as_text(value: Any) -> str:
    # NaN is no number that equals itself.
    return json.dumps(value, sort_keys=True, indent=1)


def test_every_type_of_rule_stands_among_the_examples() -> None:
    assert {kind for kind, _ in EXAMPLES} == set(RULE_TYPES)


def test_every_type_that_gx_knows_is_accepted_or_excluded_with_a_reason_or_unheard_of() -> None:
    open_great_expectations()
    from great_expectations.expectations.registry import get_expectation_impl

    for kind in (*RULE_TYPES, *EXCLUDED_TYPES):
        assert get_expectation_impl(kind).expectation_type == kind
    assert set(RULE_TYPES) & set(EXCLUDED_TYPES) == set()


@pytest.mark.parametrize("index", range(len(EXAMPLES)), ids=IDS)
def test_the_rows_we_flag_are_the_rows_gx_finds(index: int, flags: list[Row], found_by_gx: dict[str, Any]) -> None:
    result = found_by_gx[str(index)]
    assert not result["exception_info"].get("raised_exception", True), result["exception_info"]
    # Never null: a flag that is would count for neither side.
    assert all(row[f"{flag}_{index}"] in (True, False) for row in flags for flag in ("failing", "judged", "missing"))
    expected = sorted(each["id"] for each in result["result"].get("unexpected_index_list") or [])
    assert [row["id"] for row in flags if row[f"failing_{index}"]] == expected


@pytest.mark.parametrize("index", range(len(EXAMPLES)), ids=IDS)
def test_the_result_we_store_is_field_by_field_that_of_gx(
    index: int, suite: Suite, predicates: Mapping[str, Predicate], flags: list[Row], found_by_gx: dict[str, Any]
) -> None:
    predicate = predicates[str(index)]
    expected = as_basic(found_by_gx[str(index)])
    counts = counts_of(predicate, flags)
    if predicate.needs_whole_batch:
        # Comparing rows shuffles them: of more than 20 GX shows another 20 than the first.
        shown = expected["result"]["partial_unexpected_list"]
        every = [as_text(value) for value in as_gx_shows(suite.rules[index], counts.samples)]
        assert [value for value in shown if as_text(value) not in every] == []
        expected["result"] = {**expected["result"], "partial_unexpected_list": every[:20]}
        found = row_result(suite.rules[index], counts)
        found["result"]["partial_unexpected_list"] = every[: len(found["result"]["partial_unexpected_list"])]
    else:
        found = row_result(suite.rules[index], counts)
    assert as_text(found) == as_text(expected)


def test_the_examples_pass_and_fail_and_are_judged_on_some_rows_only(found_by_gx: dict[str, Any]) -> None:
    results = [found_by_gx[str(index)] for index in range(len(EXAMPLES))]
    assert {each["success"] for each in results} == {True, False}
    assert {0, 150} < {each["result"]["element_count"] for each in results}


def test_a_suites_result_has_the_form_and_the_statistics_of_gx(suite: Suite, validation: dict[str, Any]) -> None:
    expected = validation
    # In another order than the suite's, as Great Expectations gives them.
    results = [as_basic(each) for each in reversed(expected["results"])]
    found = suite_result(suite, results, [], {"run_id": "silver-1-7"})
    assert {key: found[key] for key in ("success", "suite_name", "suite_parameters", "statistics")} == {
        key: expected[key] for key in ("success", "suite_name", "suite_parameters", "statistics")
    }
    assert set(found) == set(expected)
    assert found["meta"] == {"great_expectations_version": "1.24.1", "run_id": "silver-1-7"}
    order = [each["expectation_config"]["meta"]["rule_id"] for each in found["results"]]
    assert order == [rule.rule_id for rule in suite.rules]


def test_a_rule_without_a_result_is_no_success_of_its_suite(suite: Suite) -> None:
    rule: Rule = suite.rules[0]
    found = suite_result(Suite("s", (rule,), ""), [], [], {})
    assert (found["success"], found["statistics"]["unsuccessful_expectations"]) == (False, 1)
    assert found["results"][0]["exception_info"]["exception_message"] == "the rule was not judged"


def test_only_rules_that_compare_rows_need_the_whole_batch(
    suite: Suite, predicates: Mapping[str, Predicate], rows: DataFrame
) -> None:
    for rule in suite.rules:
        plan = rows.select(predicates[rule.rule_id].failing)._jdf.queryExecution().analyzed().toString()
        assert predicates[rule.rule_id].needs_whole_batch == ("windowspecdefinition" in plan), rule.type


def test_compiling_runs_no_job(spark: SparkSession, suite: Suite) -> None:
    spark.sparkContext.setJobGroup("compiling", "")
    compile_rules(spark, suite.rules, DDL)
    assert list(spark.sparkContext.statusTracker().getJobIdsForGroup("compiling")) == []
    spark.sparkContext.setLocalProperty("spark.jobGroup.id", None)

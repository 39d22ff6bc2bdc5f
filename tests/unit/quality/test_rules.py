from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import great_expectations as gx
import pytest
from great_expectations.expectations.registry import get_expectation_impl
from pyspark.sql import DataFrame, SparkSession

from sluice.quality.rules import failing
from sluice.quality.suites import ROW_TYPES, parse_suite
from sluice.testing import utc

NOT_NULL, NULL = "expect_column_values_to_not_be_null", "expect_column_values_to_be_null"
BETWEEN = "expect_column_values_to_be_between"
IN_SET, NOT_IN_SET = "expect_column_values_to_be_in_set", "expect_column_values_to_not_be_in_set"
PAIR = "expect_column_pair_values_a_to_be_greater_than_b"
BOTH, EITHER, NEITHER = "both_values_are_missing", "either_value_is_missing", "neither"

DDL = "id int, number double, other double, text string, time timestamp"
NOON = utc(2024, 1, 1, 12)
ROWS: tuple[tuple[int, float | None, float | None, str | None, datetime | None], ...] = (
    (0, 0.0, 0.0, "a", NOON),
    (1, 1.0, 0.0, "A", NOON.replace(microsecond=1)),
    (2, 0.0, 1.0, "", utc(1999, 12, 31, 23, 59, 59, 999_999)),
    (3, None, 1.0, None, None),
    (4, 1.0, None, "b", utc(2000, 1, 1)),
    (5, None, None, "c", utc(2030, 1, 1)),
    (6, 5.0, 5.0, "a ", NOON),
    (7, -0.0, 0.0, "a", NOON),
)
# Expectation type, its kwargs, the ids of the rows that break it.
CASES: tuple[tuple[str, dict[str, Any], list[int]], ...] = (
    (NOT_NULL, {"column": "number"}, [3, 5]),
    (NULL, {"column": "number"}, [0, 1, 2, 4, 6, 7]),
    (BETWEEN, {"column": "number", "min_value": 0, "max_value": 1}, [6]),
    (BETWEEN, {"column": "number", "min_value": 0, "max_value": 1, "strict_min": True}, [0, 2, 6, 7]),
    (BETWEEN, {"column": "number", "min_value": 0, "max_value": 1, "strict_max": True}, [1, 4, 6]),
    (BETWEEN, {"column": "number", "min_value": 1}, [0, 2, 7]),
    (BETWEEN, {"column": "number", "max_value": 0.5}, [1, 4, 6]),
    (BETWEEN, {"column": "number", "min_value": None, "max_value": 0}, [1, 4, 6]),
    (BETWEEN, {"column": "time", "min_value": "2000-01-01T00:00:00Z"}, [2]),
    (BETWEEN, {"column": "time", "min_value": "2000-01-01T00:00:00Z", "max_value": "2024-01-01T12:00:00Z"}, [1, 2, 5]),
    (BETWEEN, {"column": "time", "max_value": "2024-01-01T13:00:00+01:00"}, [1, 5]),
    (IN_SET, {"column": "text", "value_set": ["a", "b"]}, [1, 2, 5, 6]),
    (IN_SET, {"column": "number", "value_set": [0, 1]}, [6]),
    (NOT_IN_SET, {"column": "text", "value_set": ["a", "b"]}, [0, 4, 7]),
    (NOT_IN_SET, {"column": "text", "value_set": [""]}, [2]),
    (PAIR, {"column_A": "number", "column_B": "other", "ignore_row_if": EITHER}, [0, 2, 6, 7]),
    (PAIR, {"column_A": "number", "column_B": "other", "ignore_row_if": EITHER, "or_equal": True}, [2]),
    (PAIR, {"column_A": "other", "column_B": "number", "ignore_row_if": EITHER, "or_equal": True}, [1]),
    # A comparison with null breaks nothing, whatever is said about missing values.
    (PAIR, {"column_A": "number", "column_B": "other", "ignore_row_if": BOTH, "or_equal": True}, [2]),
    (PAIR, {"column_A": "number", "column_B": "other", "ignore_row_if": NEITHER, "or_equal": True}, [2]),
    (PAIR, {"column_A": "other", "column_B": "number"}, [0, 1, 6, 7]),
)


def expectations() -> list[dict[str, Any]]:
    return [
        {
            "type": kind,
            "kwargs": kwargs,
            "severity": "critical",
            "meta": {"rule_id": str(index), "dimension": "validity"},
        }
        for index, (kind, kwargs, _) in enumerate(CASES)
    ]


@pytest.fixture(scope="module")
def table(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(ROWS, DDL).coalesce(1).persist()


def test_the_rows_that_break_a_rule_are_those_that_its_type_names(table: DataFrame) -> None:
    content = json.dumps({"name": "s", "expectations": expectations()})
    rules = parse_suite(content, "s", table.columns).rules
    flags = table.select("id", *[failing(rule).alias(rule.rule_id) for rule in rules]).collect()
    # Never null: a flag that is would count for neither side.
    assert all(row[rule.rule_id] in (True, False) for row in flags for rule in rules)
    found = {rule.rule_id: [row["id"] for row in flags if row[rule.rule_id]] for rule in rules}
    assert found == {str(index): broken for index, (_, _, broken) in enumerate(CASES)}


def test_every_type_of_rule_stands_among_the_cases() -> None:
    assert {kind for kind, _, _ in CASES} == set(ROW_TYPES)


def test_great_expectations_finds_the_same_rows(table: DataFrame) -> None:
    context = gx.get_context(mode="ephemeral")
    source = context.data_sources.add_spark("spark", persist=False)
    batch = source.add_dataframe_asset("rows").add_batch_definition_whole_dataframe("all")
    suite = gx.ExpectationSuite("s")
    for each in expectations():
        suite.add_expectation(get_expectation_impl(each["type"])(**_as_gx_takes(each["kwargs"]), meta=each["meta"]))
    format_ = {"result_format": "COMPLETE", "unexpected_index_column_names": ["id"]}
    validation = batch.get_batch({"dataframe": table}).validate(suite, result_format=format_)
    found = {}
    for result in validation.results:
        assert not result.exception_info.get("raised_exception", False), result.exception_info
        rows = result.result.get("unexpected_index_list") or []
        found[result.expectation_config.meta["rule_id"]] = sorted(row["id"] for row in rows)
    assert found == {str(index): broken for index, (_, _, broken) in enumerate(CASES)}


def _as_gx_takes(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Times as such: what JSON writes as a text, GX takes as a moment only from Python."""
    times = {
        key: datetime.fromisoformat(kwargs[key])
        for key in ("min_value", "max_value")
        if isinstance(kwargs.get(key), str)
    }
    return {**kwargs, **times}

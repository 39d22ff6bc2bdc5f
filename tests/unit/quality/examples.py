"""Examples of every type of rule, and rows with all that a column can hold, for what must agree with GX."""

from __future__ import annotations

import json
import random
from datetime import timedelta
from typing import Any

from sluice.quality.suites import Suite, parse_suite
from sluice.testing import utc

COLUMNS = {
    "id": "int",
    "number": "double",
    "other": "double",
    "whole": "bigint",
    "text": "string",
    "word": "string",
    "time": "timestamp",
    "later": "timestamp",
    "day": "date",
    "tags": "array<string>",
}
DDL = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
NULLS = 0.2

NOT_NULL, NULL = "expect_column_values_to_not_be_null", "expect_column_values_to_be_null"
BETWEEN, UNIQUE = "expect_column_values_to_be_between", "expect_column_values_to_be_unique"
IN_SET, NOT_IN_SET = "expect_column_values_to_be_in_set", "expect_column_values_to_not_be_in_set"
REGEX, NOT_REGEX = "expect_column_values_to_match_regex", "expect_column_values_to_not_match_regex"
LENGTHS, LENGTH = "expect_column_value_lengths_to_be_between", "expect_column_value_lengths_to_equal"
GREATER = "expect_column_pair_values_a_to_be_greater_than_b"
EQUAL, PAIRS = "expect_column_pair_values_to_be_equal", "expect_column_pair_values_to_be_in_set"
WITHIN = "expect_select_column_values_to_be_unique_within_record"
ALL_EQUAL, SUM = "expect_multicolumn_values_to_be_equal", "expect_multicolumn_sum_to_equal"
COMPOUND = "expect_compound_columns_to_be_unique"
BOTH, EITHER, NEITHER = "both_values_are_missing", "either_value_is_missing", "neither"
ALL, ANY, NEVER = "all_values_are_missing", "any_value_is_missing", "never"
NUMBERS = {"column_A": "number", "column_B": "other"}
THREE = {"column_list": ["number", "other", "whole"]}


def compares(column: str, operator: str, parameter: Any) -> dict[str, Any]:
    return {"type": "comparison", "column": {"name": column}, "operator": operator, "parameter": parameter}


def is_null(column: str, *, yes: bool) -> dict[str, Any]:
    return {"type": "nullity", "column": {"name": column}, "is_null": yes}


NOON = "2024-01-01T12:00:00Z"
POSITIVE = compares("number", ">", 0)
NOBODY = compares("id", "<", 0)
CONDITIONS: tuple[dict[str, Any], ...] = (
    POSITIVE,
    NOBODY,
    is_null("text", yes=True),
    compares("text", "!=", "it is a"),
    compares("text", "IN", ["a", "ab"]),
    compares("whole", "NOT_IN", [0, 1.5]),
    compares("time", ">=", NOON),
    {"type": "and", "conditions": [POSITIVE, is_null("other", yes=False)]},
    {"type": "or", "conditions": [POSITIVE, {"type": "and", "conditions": [NOBODY, POSITIVE]}]},
)

EXAMPLES: tuple[tuple[str, dict[str, Any]], ...] = (
    (NOT_NULL, {"column": "number"}),
    (NOT_NULL, {"column": "tags", "mostly": 0.7}),
    (NOT_NULL, {"column": "text", "row_condition": POSITIVE}),
    (NOT_NULL, {"column": "text", "row_condition": NOBODY}),
    (NULL, {"column": "text"}),
    (NULL, {"column": "time", "mostly": 0.1}),
    (BETWEEN, {"column": "number", "min_value": 0, "max_value": 1}),
    (BETWEEN, {"column": "number", "min_value": 0, "max_value": 1, "strict_min": True}),
    (BETWEEN, {"column": "number", "min_value": 0, "max_value": 1, "strict_max": True, "mostly": 0.25}),
    (BETWEEN, {"column": "number", "min_value": 0, "max_value": 1, "strict_min": True, "strict_max": True}),
    (BETWEEN, {"column": "number", "max_value": 0.5}),
    (BETWEEN, {"column": "number", "min_value": -1.7976931348623157e308, "max_value": 1.7976931348623157e308}),
    (BETWEEN, {"column": "whole", "min_value": 1.5, "mostly": 0.5}),
    (BETWEEN, {"column": "time", "min_value": "2000-01-01T00:00:00Z"}),
    (BETWEEN, {"column": "time", "min_value": "2000-01-01T00:00:00Z", "max_value": NOON, "strict_max": True}),
    (BETWEEN, {"column": "time", "max_value": "2024-01-01T13:00:00.000001+01:00"}),
    (BETWEEN, {"column": "day", "min_value": "2024-01-01", "max_value": "2024-01-02"}),
    *((BETWEEN, {"column": "number", "max_value": 1, "row_condition": condition}) for condition in CONDITIONS),
    (IN_SET, {"column": "text", "value_set": ["a", "it's"]}),
    (IN_SET, {"column": "number", "value_set": [0, 1.5]}),
    (IN_SET, {"column": "whole", "value_set": [0, 2], "mostly": 0.3, "row_condition": POSITIVE}),
    (NOT_IN_SET, {"column": "text", "value_set": ["", "ab"]}),
    (NOT_IN_SET, {"column": "number", "value_set": [0]}),
    (REGEX, {"column": "text", "regex": "^a"}),
    (REGEX, {"column": "text", "regex": r"^\w*$", "mostly": 0.9, "row_condition": POSITIVE}),
    (NOT_REGEX, {"column": "text", "regex": "b$"}),
    ("expect_column_values_to_match_regex_list", {"column": "text", "regex_list": ["^a", "'"]}),
    ("expect_column_values_to_match_regex_list", {"column": "text", "regex_list": ["^a", "b$"], "match_on": "all"}),
    ("expect_column_values_to_not_match_regex_list", {"column": "text", "regex_list": ["^a", "'"], "mostly": 0.5}),
    (LENGTHS, {"column": "text", "min_value": 1, "max_value": 3, "strict_max": True}),
    (LENGTHS, {"column": "text", "max_value": 2, "mostly": 0.8}),
    (LENGTH, {"column": "text", "value": 1}),
    (UNIQUE, {"column": "number"}),
    (UNIQUE, {"column": "text", "mostly": 0.01}),
    (UNIQUE, {"column": "id"}),
    *((GREATER, {**NUMBERS, "ignore_row_if": ignore}) for ignore in (BOTH, EITHER, NEITHER)),
    (GREATER, {**NUMBERS, "or_equal": True, "mostly": 0.4}),
    (GREATER, {"column_A": "later", "column_B": "time", "ignore_row_if": EITHER, "row_condition": POSITIVE}),
    (GREATER, {"column_A": "text", "column_B": "word", "or_equal": True}),
    *((EQUAL, {**NUMBERS, "ignore_row_if": ignore}) for ignore in (BOTH, EITHER, NEITHER)),
    (EQUAL, {"column_A": "text", "column_B": "word", "row_condition": NOBODY}),
    (PAIRS, {"column_A": "text", "column_B": "word", "value_pairs_set": [["a", "a"], ["", "ab"]]}),
    (PAIRS, {**NUMBERS, "value_pairs_set": [[0, 1], [1.5, 0]], "ignore_row_if": NEITHER, "mostly": 0.1}),
    *((WITHIN, {**THREE, "ignore_row_if": ignore}) for ignore in (ALL, ANY, NEVER)),
    (WITHIN, {"column_list": ["text", "word"], "row_condition": POSITIVE, "mostly": 0.5}),
    *((ALL_EQUAL, {**THREE, "ignore_row_if": ignore}) for ignore in (ALL, ANY, NEVER)),
    (SUM, {"column_list": ["number", "other"], "sum_total": 1}),
    (SUM, {**THREE, "sum_total": 1.5, "ignore_row_if": ANY, "mostly": 0.2}),
    (SUM, {"column_list": ["whole", "id"], "sum_total": 7, "ignore_row_if": NEVER, "row_condition": POSITIVE}),
    (COMPOUND, {"column_list": ["number", "text"]}),
    (COMPOUND, {"column_list": ["text", "word"], "ignore_row_if": ANY, "mostly": 0.1}),
    (COMPOUND, {"column_list": ["time", "later"], "ignore_row_if": NEVER}),
)


def entries() -> list[dict[str, Any]]:
    """The examples as they stand in a suite, rule_id being their index."""
    severities = ("critical", "warning", "info")
    return [
        {
            "type": kind,
            "kwargs": kwargs,
            "severity": severities[index % 3],
            "description": f"example {index}",
            "meta": {"rule_id": str(index), "dimension": "validity"},
        }
        for index, (kind, kwargs) in enumerate(EXAMPLES)
    ]


def example_suite() -> Suite:
    # More rules than the bits of a number hold: in parts, then put together.
    found = [
        parse_suite(json.dumps({"name": "s", "expectations": entries()[start : start + 40]}), "s", COLUMNS)
        for start in range(0, len(EXAMPLES), 40)
    ]
    return Suite("s", tuple(rule for suite in found for rule in suite.rules), "")


def random_rows(count: int, seed: int) -> list[tuple[Any, ...]]:
    """Rows of COLUMNS; the same for the same seed."""
    dice = random.Random(seed)
    noon = utc(2024, 1, 1, 12)
    numbers = [0.0, -0.0, 1.0, 1.5, 0.5, -1.0, 1e308, float("nan"), float("inf"), float("-inf"), dice.random()]
    texts = ["", "a", "A", "ab", "abb", "it's", "it is a", "a\n", "ä", "😀", '"', "\\", " "]
    times = [noon, utc(1999, 12, 31, 23, 59, 59, 999_999), utc(2000, 1, 1), noon + timedelta(microseconds=1)]

    def one_of(values: list[Any]) -> Any:
        return None if dice.random() < NULLS else dice.choice(values)

    return [
        (
            identifier,
            one_of(numbers),
            one_of(numbers),
            one_of([0, 1, 2, -1, 2**62]),
            one_of(texts),
            one_of(texts[:5]),
            one_of(times),
            one_of(times),
            one_of([each.date() for each in times]),
            one_of([[], ["a"], [None]]),
        )
        for identifier in range(count)
    ]

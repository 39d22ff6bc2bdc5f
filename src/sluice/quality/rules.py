"""Rules as Spark columns: true for each row that breaks the rule, as Great Expectations defines the type."""

from __future__ import annotations

from functools import reduce
from typing import Any

from pyspark.sql import Column
from pyspark.sql import functions as F

from sluice.quality.suites import Rule


def failing(rule: Rule) -> Column:
    """True for rows that break the rule, false for all others; null values pass all but not-null rules."""
    return F.coalesce(_BUILDERS[rule.type](dict(rule.kwargs)), F.lit(False))


def _is_null(kwargs: dict[str, Any]) -> Column:
    return F.col(kwargs["column"]).isNull()


def _is_not_null(kwargs: dict[str, Any]) -> Column:
    return F.col(kwargs["column"]).isNotNull()


def _is_outside(kwargs: dict[str, Any]) -> Column:
    column, broken = F.col(kwargs["column"]), []
    if (low := kwargs.get("min_value")) is not None:
        broken.append(column <= _end(low) if kwargs.get("strict_min") else column < _end(low))
    if (high := kwargs.get("max_value")) is not None:
        broken.append(column >= _end(high) if kwargs.get("strict_max") else column > _end(high))
    return reduce(Column.__or__, broken)


def _end(value: Any) -> Column:
    # A range end written as text is a time: JSON has no other way to write one.
    return F.lit(value).cast("timestamp") if isinstance(value, str) else F.lit(value)


def _is_not_in_set(kwargs: dict[str, Any]) -> Column:
    return ~F.col(kwargs["column"]).isin(kwargs["value_set"])


def _is_in_set(kwargs: dict[str, Any]) -> Column:
    return F.col(kwargs["column"]).isin(kwargs["value_set"])


def _is_not_greater(kwargs: dict[str, Any]) -> Column:
    # Whatever ignore_row_if says: GX never counts a comparison with null among the unexpected.
    left, right = F.col(kwargs["column_A"]), F.col(kwargs["column_B"])
    return left < right if kwargs.get("or_equal") else left <= right


_BUILDERS = {
    "expect_column_values_to_not_be_null": _is_null,
    "expect_column_values_to_be_null": _is_not_null,
    "expect_column_values_to_be_between": _is_outside,
    "expect_column_values_to_be_in_set": _is_not_in_set,
    "expect_column_values_to_not_be_in_set": _is_in_set,
    "expect_column_pair_values_a_to_be_greater_than_b": _is_not_greater,
}

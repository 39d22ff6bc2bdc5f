"""Row conditions: which rows a rule judges, as Great Expectations' own structure of comparisons, never as text."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from sluice.quality.rule_types import NUMBER, TEXT, TIME

MAX_COMPARISONS = 100
_ORDERS = ("<", "<=", ">", ">=")
_SETS = ("IN", "NOT_IN")
OPERATORS = ("==", "!=", *_ORDERS, *_SETS)
# Great Expectations writes a text into SQL as Python prints it, which Spark reads differently for other characters.
_PLAIN_TEXT = re.compile(r"[^'\"\\\x00-\x1f\x7f-\xa0\u2000-\u206f\ufeff]{1,1024}")
# What Spark's cast reads under ANSI, and no more: a text it cannot read would stop a stream.
_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)?)?")


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number that Spark can hold."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return math.isfinite(value) and (isinstance(value, float) or -(2**63) <= value < 2**63)


def is_time(value: Any) -> bool:
    """Whether a JSON value is written as 2000-01-01T00:00:00Z, with any offset, or as a date."""
    return isinstance(value, str) and _TIME.fullmatch(value) is not None


def columns_of(condition: Any) -> list[str]:
    """The columns a condition names, as far as it has the form of one."""
    if not isinstance(condition, Mapping):
        return []
    if isinstance(parts := condition.get("conditions"), list):
        return [name for part in parts for name in columns_of(part)]
    column = condition.get("column")
    name = column.get("name") if isinstance(column, Mapping) else None
    return [name] if isinstance(name, str) else []


def condition_fault(condition: Any, families: Mapping[str, str]) -> str | None:
    """What is wrong with a row condition, in words; None if it may be used.

    Args:
        families: of the columns it may name.
    """
    if isinstance(condition, str) or (isinstance(condition, Mapping) and condition.get("type") == "pass_through"):
        return "row_condition as text is raw SQL and refused; write it as an object with type comparison, and so on"
    if len(columns_of(condition)) > MAX_COMPARISONS:
        return f"row_condition has more than {MAX_COMPARISONS} comparisons"
    return _fault(condition, families, ("and", "or"))


def _fault(condition: Any, families: Mapping[str, str], allowed: tuple[str, ...]) -> str | None:
    if not isinstance(condition, Mapping):
        return "row_condition must be an object"
    kind = condition.get("type")
    if kind in allowed:
        # Great Expectations takes no `or` within another condition.
        within = ("and",)
        parts = condition.get("conditions")
        if set(condition) != {"type", "conditions"} or not isinstance(parts, list) or not parts:
            return f"row_condition: {kind} needs a list `conditions`, and nothing else"
        faults = [_fault(part, families, within) for part in parts]
        return next((fault for fault in faults if fault), None)
    if kind == "nullity":
        return _fault_of_keys(condition, {"is_null"}, families) or _fault_of_nullity(condition)
    if kind == "comparison":
        return _fault_of_keys(condition, {"operator", "parameter"}, families) or _fault_of_comparison(
            condition, families[condition["column"]["name"]]
        )
    return f"row_condition: no type {kind!r} here; known: comparison, nullity, {', '.join(allowed)}"


def _fault_of_keys(condition: Mapping[str, Any], keys: set[str], families: Mapping[str, str]) -> str | None:
    if set(condition) != {"type", "column", *keys}:
        return f"row_condition: {condition['type']} needs column, {', '.join(sorted(keys))}, and nothing else"
    column = condition["column"]
    if not isinstance(column, Mapping) or set(column) != {"name"} or not isinstance(column["name"], str):
        return 'row_condition: a column is written {"name": …}'
    if column["name"] not in families:
        return f"row_condition: no column {column['name']!r}"
    return None


def _fault_of_nullity(condition: Mapping[str, Any]) -> str | None:
    return None if isinstance(condition["is_null"], bool) else "row_condition: is_null must be true or false"


def _fault_of_comparison(condition: Mapping[str, Any], family: str) -> str | None:
    operator, parameter = condition["operator"], condition["parameter"]
    name = condition["column"]["name"]
    if operator not in OPERATORS:
        return f"row_condition: operator must be one of {' '.join(OPERATORS)}"
    if operator in _SETS:
        if not isinstance(parameter, list) or not parameter or family == TIME:
            return f"row_condition: {operator} needs a list of numbers or of texts"
        values = parameter
    else:
        values = [parameter]
    if not all(_is_of(value, family) for value in values):
        return f"row_condition: {parameter!r} cannot be compared with {name}, which holds a {family}"
    return None


def _is_of(value: Any, family: str) -> bool:
    if family == NUMBER:
        return is_number(value)
    if family == TIME:
        return is_time(value)
    return family == TEXT and isinstance(value, str) and _PLAIN_TEXT.fullmatch(value) is not None

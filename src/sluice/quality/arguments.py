"""The arguments of a rule: each checked against its type and the columns it names, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from sluice.quality.conditions import columns_of, condition_fault, is_number, is_time
from sluice.quality.patterns import pattern_fault
from sluice.quality.rule_types import (
    EXCLUDED_TYPES,
    LIST,
    LIST_IGNORES,
    NUMBER,
    OTHER,
    PAIR,
    PAIR_IGNORES,
    RULE_TYPES,
    TEXT,
    TIME,
    RuleType,
)

ROW, BATCH = "row", "batch"
_FOR_ALL = frozenset({"mostly", "row_condition"})
_IN_WORDS = {NUMBER: "numbers", TEXT: "texts", TIME: "times", OTHER: "neither numbers, texts nor times"}
_LENGTHS = "expect_column_value_lengths_to_be_between"


class Fault(Exception):
    """What is wrong with a rule, in words; the loader adds file and rule."""


@dataclass(frozen=True)
class Columns:
    """The columns that rules may name, by family: those of a row, and the facts of a batch."""

    row: Mapping[str, str]
    batch: Mapping[str, str]


def check_arguments(kind: Any, kwargs: Any, columns: Columns) -> str:
    """ROW or BATCH, by the columns that the rule names.

    Raises:
        Fault: an argument is missing, unknown, of the wrong type, or would not be applied as written.
    """
    if not isinstance(kind, str) or kind not in RULE_TYPES:
        reason = EXCLUDED_TYPES.get(str(kind), "no such type is known")
        raise Fault(f"the type {kind!r} cannot be judged: {reason}")
    if not isinstance(kwargs, Mapping):
        raise Fault("kwargs must be an object")
    rule_type = RULE_TYPES[kind]
    _check_keys(kind, rule_type, kwargs)
    scope, families = _scope_of(kind, rule_type, kwargs, columns)
    family = _family_of(kind, rule_type, kwargs, families)
    _check_domain(rule_type, kwargs, scope, families)
    _check_values(kind, kwargs, family)
    return scope


def _check_keys(kind: str, rule_type: RuleType, kwargs: Mapping[str, Any]) -> None:
    needed = {*rule_type.domain, *rule_type.needed}
    if unknown := set(kwargs) - needed - rule_type.optional - _FOR_ALL:
        raise Fault(f"{kind} takes no {', '.join(sorted(unknown))}")
    if missing := needed - set(kwargs):
        raise Fault(f"{', '.join(sorted(missing))} is missing")


def _judged_columns(rule_type: RuleType, kwargs: Mapping[str, Any]) -> list[Any]:
    if rule_type.domain != LIST:
        return [kwargs[key] for key in rule_type.domain]
    names = kwargs["column_list"]
    if not isinstance(names, list) or len(names) < 2 or len({str(name) for name in names}) != len(names):
        raise Fault("column_list must be a list of at least two different columns")
    return names


def _scope_of(
    kind: str, rule_type: RuleType, kwargs: Mapping[str, Any], columns: Columns
) -> tuple[str, Mapping[str, str]]:
    named = [*_judged_columns(rule_type, kwargs), *columns_of(kwargs.get("row_condition"))]
    for name in named:
        if not isinstance(name, str) or (name not in columns.row and name not in columns.batch):
            raise Fault(f"no column {name!r}")
    if all(name in columns.row for name in named):
        return ROW, columns.row
    if not all(name in columns.batch for name in named):
        rows = [name for name in named if name in columns.row]
        facts = [name for name in named if name not in columns.row]
        raise Fault(f"{', '.join(rows)} is of each row and {', '.join(facts)} of the batch: a rule judges one of both")
    if not rule_type.for_batches:
        known = ", ".join(name for name, each in RULE_TYPES.items() if each.for_batches)
        raise Fault(f"{kind} cannot judge the facts of a batch; what can: {known}")
    return BATCH, columns.batch


def _family_of(kind: str, rule_type: RuleType, kwargs: Mapping[str, Any], families: Mapping[str, str]) -> str:
    names = _judged_columns(rule_type, kwargs)
    family = families[names[0]]
    for name in names:
        if families[name] not in rule_type.families:
            raise Fault(f"{kind} cannot judge {name}, which holds {_IN_WORDS[families[name]]}")
        if families[name] != family and not rule_type.mixed:
            raise Fault(f"{', '.join(names)} are of different types")
    return family


def _check_domain(rule_type: RuleType, kwargs: Mapping[str, Any], scope: str, families: Mapping[str, str]) -> None:
    mostly = kwargs.get("mostly", 1)
    if not is_number(mostly) or not 0 < mostly <= 1:
        raise Fault("mostly must be a number above 0 and at most 1")
    if "row_condition" in kwargs:
        if rule_type.whole_batch:
            raise Fault("row_condition cannot be combined with a comparison of the batch's rows with each other")
        if fault := condition_fault(kwargs["row_condition"], families):
            raise Fault(fault)
    allowed = LIST_IGNORES if rule_type.domain == LIST else PAIR_IGNORES
    if kwargs.get("ignore_row_if", allowed[0]) not in allowed:
        raise Fault(f"ignore_row_if must be one of {', '.join(allowed)}")
    if scope == BATCH and rule_type.domain == PAIR and kwargs.get("ignore_row_if") != "either_value_is_missing":
        raise Fault("a batch rule on two columns needs ignore_row_if either_value_is_missing: a null fact passes")


def _check_values(kind: str, kwargs: Mapping[str, Any], family: str) -> None:
    for key in ("strict_min", "strict_max", "or_equal"):
        if not isinstance(kwargs.get(key, False), bool):
            raise Fault(f"{key} must be true or false")
    if "between" in kind:
        _check_ends(kwargs, family, must_be_whole=kind == _LENGTHS)
    if "value_set" in kwargs and not _is_value_set(kwargs["value_set"], family):
        raise Fault(f"value_set must be a list of texts or a list of numbers, here of {family}s")
    if "value_pairs_set" in kwargs and not _is_set_of_pairs(kwargs["value_pairs_set"], family):
        raise Fault(f"value_pairs_set must be a list of lists of two {family}s")
    if "value" in kwargs and not _is_length(kwargs["value"]):
        raise Fault("value must be a whole number of characters")
    if "sum_total" in kwargs and not is_number(kwargs["sum_total"]):
        raise Fault("sum_total must be a number")
    if kwargs.get("match_on", "any") not in ("any", "all"):
        raise Fault("match_on must be any or all")
    _check_patterns(kwargs)


def _check_ends(kwargs: Mapping[str, Any], family: str, *, must_be_whole: bool) -> None:
    ends = [kwargs.get(key) for key in ("min_value", "max_value")]
    given = [end for end in ends if end is not None]
    if not given:
        raise Fault("min_value or max_value is needed")
    if must_be_whole:
        if not all(_is_length(end) for end in given):
            raise Fault("min_value and max_value must be whole numbers of characters")
    elif family == TIME:
        given = [_moment(end) for end in given]
    elif not all(is_number(end) for end in given):
        raise Fault("min_value and max_value must be numbers")
    if len(given) < 2:
        return
    low, high = given
    if low > high:
        raise Fault(f"min_value {low} is greater than max_value {high}")
    if low == high and (kwargs.get("strict_min") or kwargs.get("strict_max")):
        raise Fault(f"no value lies strictly between {low} and {high}")
    if family == TIME and str(ends[0]) > str(ends[1]):
        # Great Expectations compares them as texts, too, and would refuse to judge.
        raise Fault("min_value and max_value must be written with the same offset")


def _moment(text: Any) -> datetime:
    try:
        if not is_time(text):
            raise ValueError(text)
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Fault(f"{text!r} is no time; write it as 2000-01-01T00:00:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _is_length(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


def _is_value(value: Any, family: str) -> bool:
    return is_number(value) if family == NUMBER else isinstance(value, str)


def _is_value_set(values: Any, family: str) -> bool:
    # A null among them would let every value pass: SQL's IN is then never false.
    return isinstance(values, list) and bool(values) and all(_is_value(value, family) for value in values)


def _is_set_of_pairs(pairs: Any, family: str) -> bool:
    if not isinstance(pairs, list) or not pairs:
        return False
    return all(
        isinstance(pair, list) and len(pair) == 2 and all(_is_value(value, family) for value in pair) for pair in pairs
    )


def _check_patterns(kwargs: Mapping[str, Any]) -> None:
    patterns = [kwargs["regex"]] if "regex" in kwargs else kwargs.get("regex_list", [])
    if "regex_list" in kwargs and (not isinstance(patterns, list) or not patterns):
        raise Fault("regex_list must be a list of texts")
    for pattern in patterns:
        if fault := pattern_fault(pattern):
            raise Fault(fault)

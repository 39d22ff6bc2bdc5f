"""Suites: the only source of rules, in Great Expectations' own JSON format, loaded whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from sluice.errors import SuiteInvalid
from sluice.schemas import CRITICAL, DIMENSIONS, ERROR_CODES, RULE_FAILED, SEVERITIES

# Expectation types that are judged per row, with the kwargs they need and those they may have.
ROW_TYPES: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "expect_column_values_to_not_be_null": (frozenset({"column"}), frozenset()),
    "expect_column_values_to_be_null": (frozenset({"column"}), frozenset()),
    "expect_column_values_to_be_between": (
        frozenset({"column"}),
        frozenset({"min_value", "max_value", "strict_min", "strict_max"}),
    ),
    "expect_column_values_to_be_in_set": (frozenset({"column", "value_set"}), frozenset()),
    "expect_column_values_to_not_be_in_set": (frozenset({"column", "value_set"}), frozenset()),
    "expect_column_pair_values_a_to_be_greater_than_b": (
        frozenset({"column_A", "column_B"}),
        frozenset({"or_equal", "ignore_row_if"}),
    ),
}
IGNORE_ROW_IF = ("both_values_are_missing", "either_value_is_missing", "neither")
# Broken rules travel as the bits of one 64-bit number.
MAX_RULES = 62
_MEND = "mend the suite; docs/rules.md shows every type of rule"


@dataclass(frozen=True)
class Rule:
    """One expectation of a suite.

    Attributes:
        rule_id: unique in its suite; stands in `failed_rules` and `rule_counts`.
        severity: critical refuses the row, warning and info let it pass and name it.
        error_code: what a row refused by this rule is quarantined under.
    """

    rule_id: str
    type: str
    kwargs: Mapping[str, Any]
    severity: str
    dimension: str
    error_code: str

    @property
    def is_critical(self) -> bool:
        """Whether a row that breaks the rule is refused."""
        return self.severity == CRITICAL


@dataclass(frozen=True)
class Suite:
    """The rules that decide what may enter one table, and the text they were read from."""

    name: str
    rules: tuple[Rule, ...]
    text: str


def load_suite(folder: Path, name: str, columns: Collection[str]) -> Suite:
    """The suite in `<folder>/<name>.json`.

    Args:
        columns: names a rule may judge.

    Raises:
        SuiteInvalid: the file cannot be read, or any of it would not be applied; names file and rule.
    """
    path = folder / f"{name}.json"
    try:
        return parse_suite(path.read_text("utf-8"), name, columns)
    except OSError as error:
        raise SuiteInvalid(f"cannot read the suite {path}: {error.strerror}", "check expectations.path") from None
    except UnicodeDecodeError:
        raise SuiteInvalid(f"{path}: not UTF-8", _MEND) from None
    except SuiteInvalid as error:
        raise SuiteInvalid(f"{path}: {error.message}", error.hint) from None


def parse_suite(text: str, name: str, columns: Collection[str]) -> Suite:
    """As `load_suite`, from the text itself."""
    try:
        content = json.loads(text, object_pairs_hook=_no_repeated_keys, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise SuiteInvalid(f"not valid JSON: {error}", _MEND) from None
    if not isinstance(content, Mapping) or not isinstance(content.get("expectations"), list):
        raise SuiteInvalid("a suite is an object with a list `expectations`", _MEND)
    if unknown := set(content) - {"name", "id", "expectations", "meta", "notes"}:
        raise SuiteInvalid(f"unknown key {', '.join(sorted(unknown))}", _MEND)
    if content.get("name") != name:
        raise SuiteInvalid(f"the suite's name is {content.get('name')!r}, the file's {name!r}", _MEND)
    if not content["expectations"]:
        raise SuiteInvalid("the suite is empty and would let everything pass", _MEND)
    if len(content["expectations"]) > MAX_RULES:
        raise SuiteInvalid(f"{len(content['expectations'])} rules, at most {MAX_RULES} can be judged", _MEND)
    rules = tuple(_parse_rule(entry, index, columns) for index, entry in enumerate(content["expectations"]))
    identifiers = [rule.rule_id for rule in rules]
    if repeated := sorted({each for each in identifiers if identifiers.count(each) > 1}):
        raise SuiteInvalid(f"rule_id {', '.join(repeated)} stands there twice", _MEND)
    return Suite(name, rules, text)


def _no_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError(f"a key is repeated among {', '.join(key for key, _ in pairs)}")
    return found


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON number")


def _parse_rule(entry: Any, index: int, columns: Collection[str]) -> Rule:
    where = f"expectations[{index}]"
    if not isinstance(entry, Mapping):
        raise SuiteInvalid(f"{where} is no object", _MEND)
    meta = entry.get("meta")
    if not isinstance(meta, Mapping) or not isinstance(meta.get("rule_id"), str) or not meta["rule_id"]:
        raise SuiteInvalid(f"{where} has no meta.rule_id", _MEND)
    where = f"rule {meta['rule_id']}"
    if unknown := set(entry) - {"type", "kwargs", "severity", "meta", "id", "notes", "description"}:
        raise SuiteInvalid(f"{where}: unknown key {', '.join(sorted(unknown))}", _MEND)
    if meta.get("dimension") not in DIMENSIONS:
        raise SuiteInvalid(f"{where}: meta.dimension must be one of {', '.join(DIMENSIONS)}", _MEND)
    if entry.get("severity") not in SEVERITIES:
        raise SuiteInvalid(f"{where}: severity must be one of {', '.join(SEVERITIES)}", _MEND)
    code = meta.get("error_code", RULE_FAILED)
    if code not in ERROR_CODES:
        raise SuiteInvalid(f"{where}: unknown meta.error_code {code!r}", _MEND)
    kind, kwargs = entry.get("type"), entry.get("kwargs")
    if kind not in ROW_TYPES:
        raise SuiteInvalid(f"{where}: the type {kind!r} cannot be judged", f"known: {', '.join(ROW_TYPES)}")
    if not isinstance(kwargs, Mapping):
        raise SuiteInvalid(f"{where}: kwargs must be an object", _MEND)
    _check_kwargs(kind, kwargs, columns, where)
    return Rule(meta["rule_id"], kind, kwargs, entry["severity"], meta["dimension"], code)


def _check_kwargs(kind: str, kwargs: Mapping[str, Any], columns: Collection[str], where: str) -> None:
    needed, optional = ROW_TYPES[kind]
    if unknown := set(kwargs) - needed - optional:
        raise SuiteInvalid(f"{where}: {kind} takes no {', '.join(sorted(unknown))}", _MEND)
    if missing := needed - set(kwargs):
        raise SuiteInvalid(f"{where}: {', '.join(sorted(missing))} is missing", _MEND)
    for key in ("column", "column_A", "column_B"):
        if key in kwargs and kwargs[key] not in columns:
            raise SuiteInvalid(f"{where}: no column {kwargs[key]!r}", f"columns: {', '.join(sorted(columns))}")
    ends = [kwargs.get(key) for key in ("min_value", "max_value")]
    if "between" in kind and all(end is None for end in ends):
        raise SuiteInvalid(f"{where}: min_value or max_value is needed", _MEND)
    if any(end is not None and (isinstance(end, bool) or not isinstance(end, (int, float, str))) for end in ends):
        raise SuiteInvalid(f"{where}: min_value and max_value are numbers or times", _MEND)
    _check_ends([_moment(end, where) if isinstance(end, str) else end for end in ends], where)
    if "value_set" in kwargs and not _is_value_set(kwargs["value_set"]):
        raise SuiteInvalid(f"{where}: value_set must be a list of texts or a list of numbers", _MEND)
    for key in ("strict_min", "strict_max", "or_equal"):
        if not isinstance(kwargs.get(key, False), bool):
            raise SuiteInvalid(f"{where}: {key} must be true or false", _MEND)
    if kwargs.get("ignore_row_if", IGNORE_ROW_IF[0]) not in IGNORE_ROW_IF:
        raise SuiteInvalid(f"{where}: ignore_row_if must be one of {', '.join(IGNORE_ROW_IF)}", _MEND)


def _check_ends(ends: list[Any], where: str) -> None:
    if None in ends:
        return
    if isinstance(ends[0], datetime) != isinstance(ends[1], datetime):
        raise SuiteInvalid(f"{where}: min_value and max_value are both numbers or both times", _MEND)
    if ends[0] > ends[1]:
        raise SuiteInvalid(f"{where}: min_value {ends[0]} is greater than max_value {ends[1]}", _MEND)


def _moment(text: str, where: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SuiteInvalid(f"{where}: {text!r} is no time", "write it as 2000-01-01T00:00:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _is_value_set(values: Any) -> bool:
    if not isinstance(values, list) or not values or any(isinstance(value, bool) for value in values):
        return False
    # A null among them would let every value pass: SQL's IN is then never false.
    return all(isinstance(value, str) for value in values) or all(isinstance(value, (int, float)) for value in values)

"""Suites: the only source of rules, in Great Expectations' own JSON format, loaded whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sluice.errors import SuiteInvalid
from sluice.quality.arguments import BATCH, ROW, Columns, Fault, check_arguments
from sluice.quality.rule_types import LIST, NUMBER, RULE_TYPES, family_of
from sluice.schemas import CRITICAL, DIMENSIONS, ERROR_CODES, RULE_FAILED, SEVERITIES

# Broken row rules travel as the bits of one 64-bit number.
MAX_ROW_RULES = 62
MAX_BATCH_RULES = 62
_MEND = "mend the suite; docs/rules.md shows every type of rule"
_SUITE_KEYS = {"name", "id", "expectations", "meta", "notes"}
_RULE_KEYS = {"type", "kwargs", "severity", "meta", "id", "notes", "description"}
_META_KEYS = {"rule_id", "dimension", "error_code"}


@dataclass(frozen=True)
class Rule:
    """One expectation of a suite.

    Attributes:
        rule_id: unique in its suite; stands in `failed_rules` and `rule_counts`.
        kwargs: as they stand in the suite, with `mostly` and `row_condition`.
        severity: critical refuses the row or holds the batch, warning and info let it pass and name it.
        error_code: what a row refused by this rule is quarantined under.
        scope: ROW, judged on each row, or BATCH, judged on the facts of the batch.
        mostly: the share of the judged, present values that must not break the rule.
        entry: the rule as it stands in the suite.
    """

    rule_id: str
    type: str
    kwargs: Mapping[str, Any]
    severity: str
    dimension: str
    error_code: str
    scope: str = ROW
    mostly: float = 1.0
    description: str = ""
    entry: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def is_critical(self) -> bool:
        """Whether a row that breaks the rule is refused, or a batch that breaks it held."""
        return self.severity == CRITICAL

    @property
    def needs_whole_batch(self) -> bool:
        """Whether it compares the rows of a batch with each other, so that no row can be judged alone."""
        return RULE_TYPES[self.type].whole_batch

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it judges, in the order of its arguments; not those of its row_condition."""
        domain = RULE_TYPES[self.type].domain
        return tuple(self.kwargs["column_list"]) if domain == LIST else tuple(self.kwargs[key] for key in domain)


@dataclass(frozen=True)
class Suite:
    """The rules that decide what may enter one table, and the text they were read from."""

    name: str
    rules: tuple[Rule, ...]
    text: str

    @property
    def row_rules(self) -> tuple[Rule, ...]:
        """The rules judged on each row, in the suite's order."""
        return tuple(rule for rule in self.rules if rule.scope == ROW)

    @property
    def batch_rules(self) -> tuple[Rule, ...]:
        """The rules judged on the facts of a batch, in the suite's order."""
        return tuple(rule for rule in self.rules if rule.scope == BATCH)


def load_suite(
    folder: Path,
    name: str,
    row_columns: Mapping[str, str],
    batch_columns: Collection[str] = (),
    *,
    batch_severities: Collection[str] = SEVERITIES,
) -> Suite:
    """The suite in `<folder>/<name>.json`.

    Args:
        row_columns: what a row rule may name, with Spark SQL types.
        batch_columns: what a batch rule may name; all are numbers.
        batch_severities: what a batch rule may be; a gate that cannot hold whole batches takes no critical one.

    Raises:
        SuiteInvalid: the file cannot be read, or any of it would not be applied; names file and rule.
    """
    path = folder / f"{name}.json"
    try:
        text = path.read_text("utf-8")
        return parse_suite(text, name, row_columns, batch_columns, batch_severities=batch_severities)
    except OSError as error:
        raise SuiteInvalid(f"cannot read the suite {path}: {error.strerror}", "check expectations.path") from None
    except UnicodeDecodeError:
        raise SuiteInvalid(f"{path}: not UTF-8", _MEND) from None
    except SuiteInvalid as error:
        raise SuiteInvalid(f"{path}: {error.message}", error.hint) from None


def parse_suite(
    text: str,
    name: str,
    row_columns: Mapping[str, str],
    batch_columns: Collection[str] = (),
    *,
    batch_severities: Collection[str] = SEVERITIES,
) -> Suite:
    """As `load_suite`, from the text itself."""
    try:
        content = json.loads(text, object_pairs_hook=_no_repeated_keys, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise SuiteInvalid(f"not valid JSON: {error}", _MEND) from None
    entries = _entries(content, name)
    families = {column: family_of(kind) for column, kind in row_columns.items()}
    # A name that is both would leave open which is meant: it is the row's.
    columns = Columns(families, {column: NUMBER for column in batch_columns if column not in families})
    rules = tuple(_parse_rule(entry, index, columns, batch_severities) for index, entry in enumerate(entries))
    identifiers = [rule.rule_id for rule in rules]
    if repeated := sorted({each for each in identifiers if identifiers.count(each) > 1}):
        raise SuiteInvalid(f"rule_id {', '.join(repeated)} stands there twice", _MEND)
    suite = Suite(name, rules, text)
    for what, found, most in (
        ("row", suite.row_rules, MAX_ROW_RULES),
        ("batch", suite.batch_rules, MAX_BATCH_RULES),
    ):
        if len(found) > most:
            raise SuiteInvalid(f"{len(found)} {what} rules, at most {most} can be judged", _MEND)
    return suite


def _no_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError(f"a key is repeated among {', '.join(key for key, _ in pairs)}")
    return found


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON number")


def _entries(content: Any, name: str) -> list[Any]:
    if not isinstance(content, Mapping) or not isinstance(content.get("expectations"), list):
        raise SuiteInvalid("a suite is an object with a list `expectations`", _MEND)
    if unknown := set(content) - _SUITE_KEYS:
        raise SuiteInvalid(f"unknown key {', '.join(sorted(unknown))}", _MEND)
    if content.get("name") != name:
        raise SuiteInvalid(f"the suite's name is {content.get('name')!r}, the file's {name!r}", _MEND)
    if not content["expectations"]:
        raise SuiteInvalid("the suite is empty and would let everything pass", _MEND)
    return list(content["expectations"])


def _parse_rule(entry: Any, index: int, columns: Columns, batch_severities: Collection[str]) -> Rule:
    where = f"expectations[{index}]"
    if not isinstance(entry, Mapping):
        raise SuiteInvalid(f"{where} is no object", _MEND)
    meta = entry.get("meta")
    if not isinstance(meta, Mapping) or not isinstance(meta.get("rule_id"), str) or not meta["rule_id"]:
        raise SuiteInvalid(f"{where} has no meta.rule_id", _MEND)
    try:
        _check_entry(entry, meta)
        scope = check_arguments(entry.get("type"), entry.get("kwargs"), columns)
        if scope == BATCH and entry["severity"] not in batch_severities:
            raise Fault(f"a batch rule of this suite must be {' or '.join(batch_severities)}")
        if scope == BATCH and "error_code" in meta:
            raise Fault("meta.error_code is for rules on rows")
    except Fault as fault:
        known = f"row columns: {', '.join(columns.row)}; batch columns: {', '.join(columns.batch) or 'none'}"
        hint = known if "column" in str(fault) else _MEND
        raise SuiteInvalid(f"rule {meta['rule_id']}: {fault}", hint) from None
    return Rule(
        rule_id=meta["rule_id"],
        type=entry["type"],
        kwargs=entry["kwargs"],
        severity=entry["severity"],
        dimension=meta["dimension"],
        error_code=meta.get("error_code", RULE_FAILED),
        scope=scope,
        mostly=float(entry["kwargs"].get("mostly", 1)),
        description=entry.get("description") or "",
        entry=entry,
    )


def _check_entry(entry: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
    if unknown := set(entry) - _RULE_KEYS:
        raise Fault(f"unknown key {', '.join(sorted(unknown))}")
    if unknown := set(meta) - _META_KEYS:
        raise Fault(f"unknown meta.{', meta.'.join(sorted(unknown))}")
    if meta.get("dimension") not in DIMENSIONS:
        raise Fault(f"meta.dimension must be one of {', '.join(DIMENSIONS)}")
    if entry.get("severity") not in SEVERITIES:
        raise Fault(f"severity must be one of {', '.join(SEVERITIES)}")
    if meta.get("error_code", RULE_FAILED) not in ERROR_CODES:
        raise Fault(f"unknown meta.error_code {meta['error_code']!r}")
    for key in ("description", "notes", "id"):
        value = entry.get(key)
        is_texts = key == "notes" and isinstance(value, list) and all(isinstance(each, str) for each in value)
        if value is not None and not isinstance(value, str) and not is_texts:
            raise Fault(f"{key} must be a text")

"""The rulebook of a gate: contract, registry and suite, as texts with their hashes and as what applies them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from py4j.protocol import Py4JJavaError
from pyspark.sql import Column, DataFrame, SparkSession

from sluice.errors import ContractInvalid, SuiteInvalid
from sluice.quality.facts import GOLD_FACTS, silver_facts
from sluice.quality.results import RuleCounts
from sluice.quality.rules import Predicate, compile_rules
from sluice.quality.suites import Suite, load_suite, parse_suite
from sluice.schemas import GOLD_READINGS_1MIN, SEVERITIES, SILVER_READINGS, WARNING
from sluice.settings import Settings, read_yaml
from sluice.tables.decisions import Decision, Decisions
from sluice.transforms.contract import Contract, parse_contract
from sluice.transforms.gold import CANDIDATE_TYPES
from sluice.transforms.judge import JUDGED_TYPES, MAX_BITS, Mark, RowRule
from sluice.transforms.registry import REGISTRY_DDL, Registry, parse_registry, registry_rows

SILVER_SUITE = f"{SILVER_READINGS.layer}_{SILVER_READINGS.name}"
GOLD_SUITE = f"{GOLD_READINGS_1MIN.layer}_{GOLD_READINGS_1MIN.name}"
CONTRACT, REGISTRY, SUITE = "contract", "registry", "suite"
# Kinds of text that a layer's decisions rest on.
_KINDS = {"silver": (SUITE, CONTRACT, REGISTRY), "gold": (SUITE, REGISTRY)}


@dataclass(frozen=True)
class Rulebook:
    """Everything that decides about the rows of one layer, valid, with the texts it was read from."""

    contract: Contract
    registry: Registry
    suite: Suite
    texts: dict[str, str]

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of each text, by kind."""
        return {kind: hashlib.sha256(text.encode()).hexdigest() for kind, text in self.texts.items()}


def load_rulebook(settings: Settings, layer: str) -> Rulebook:
    """The rulebook of a layer's gate as the settings name it.

    Args:
        layer: silver or gold.

    Raises:
        ContractInvalid, RegistryInvalid, SuiteInvalid, YamlInvalid: a file cannot be applied whole.
    """
    contract, registry = settings.contract.path, settings.devices.path
    parsed_contract = parse_contract(read_yaml(contract), str(contract))
    parsed_registry = parse_registry(read_yaml(registry), str(registry))
    suite = load_layer_suite(settings.expectations.path, layer, parsed_contract)
    texts = {CONTRACT: _text(contract), REGISTRY: _text(registry), SUITE: suite.text}
    return Rulebook(parsed_contract, parsed_registry, suite, {kind: texts[kind] for kind in _KINDS[layer]})


def load_layer_suite(folder: Path, layer: str, contract: Contract) -> Suite:
    """The suite of a layer's gate from `folder`.

    Raises:
        SuiteInvalid: it cannot be applied whole.
    """
    name = SILVER_SUITE if layer == "silver" else GOLD_SUITE
    rows, batch, severities = _judged(layer, contract)
    return load_suite(folder, name, rows, batch, batch_severities=severities)


def load_suites(folder: Path, contract: Contract) -> list[Suite]:
    """The gates' suites that a folder has, in the order of their names.

    Raises:
        SuiteInvalid: there is none, a file is no gate's, or one cannot be applied whole.
    """
    layers = {SILVER_SUITE: "silver", GOLD_SUITE: "gold"}
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise SuiteInvalid(f"there is no suite in {folder}", "set expectations.path")
    for path in paths:
        if path.stem not in layers:
            raise SuiteInvalid(f"{path} is the suite of no gate", f"gates have {' and '.join(layers)}")
    return [load_layer_suite(folder, layers[path.stem], contract) for path in paths]


def recall_rulebook(decisions: Decisions, decision: Decision, current: Rulebook, layer: str) -> Rulebook:
    """The rulebook under which a promotion was decided, whatever the files say by now.

    Raises:
        CheckpointLost: one of its texts is gone.
    """
    wanted = {kind: decision.hash_of(kind) for kind in _KINDS[layer]}
    if wanted == current.hashes:
        return current
    return parse_rulebook({kind: decisions.find_text(kind, digest) for kind, digest in wanted.items()}, current, layer)


def parse_rulebook(texts: Mapping[str, str], current: Rulebook, layer: str) -> Rulebook:
    """A rulebook from its texts.

    Args:
        texts: by kind; what is missing is taken from `current`.
    """
    found = {**current.texts, **texts}
    contract = parse_contract(_yaml(found[CONTRACT])) if CONTRACT in found else current.contract
    rows, batch, severities = _judged(layer, contract)
    suite = parse_suite(found[SUITE], current.suite.name, rows, batch, batch_severities=severities)
    return Rulebook(contract, parse_registry(_yaml(found[REGISTRY])), suite, found)


def with_candidate(rulebook: Rulebook, path: Path, layer: str) -> Rulebook:
    """The rulebook with the suite of a file, whatever the file's name, in place of its own.

    Raises:
        SuiteInvalid: the file cannot be read, or any of it would not be applied; names file and rule.
    """
    rows, batch, severities = _judged(layer, rulebook.contract)
    try:
        text = path.read_text("utf-8")
        suite = parse_suite(text, rulebook.suite.name, rows, batch, batch_severities=severities)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise SuiteInvalid(f"cannot read the suite {path}: {reason}", "check the path") from None
    except SuiteInvalid as error:
        raise SuiteInvalid(f"{path}: {error.message}", error.hint) from None
    return replace(rulebook, suite=suite, texts={**rulebook.texts, SUITE: text})


def _judged(layer: str, contract: Contract) -> tuple[Mapping[str, str], Sequence[str], Sequence[str]]:
    """Row columns, batch columns, and the severities that batch rules may have."""
    if layer == "silver":
        return JUDGED_TYPES, silver_facts([version.number for version in contract.versions]), SEVERITIES
    # Gold holds minutes, never a whole batch.
    return CANDIDATE_TYPES, GOLD_FACTS, SEVERITIES[SEVERITIES.index(WARNING) :]


@dataclass(frozen=True)
class RowRules:
    """A suite's row rules as columns, and what must be counted beside them for their results.

    Attributes:
        marks: to be counted over all judged rows, with those of the layer's own first.
        judged_marks: by rule_id, the mark of the rows in the rule's domain; absent where that is all rows.
        missing_marks: by rule_id, the mark of the rows GX counts as missing; absent where there are none.
        sample_columns: by rule_id, the columns whose values the rule sees.
        together: ids of the rules that compare rows with each other.
    """

    rules: list[RowRule]
    marks: list[Mark]
    judged_marks: Mapping[str, str]
    missing_marks: Mapping[str, str]
    sample_columns: Mapping[str, tuple[str, ...]]
    together: tuple[str, ...]

    @property
    def judges_together(self) -> bool:
        """Whether some rule compares rows with each other."""
        return bool(self.together)

    def counts(
        self, rows: int, broken: Mapping[str, int], marks: Mapping[str, int], samples: Mapping[str, list[Any]]
    ) -> dict[str, RuleCounts]:
        """What a pass counted, per rule.

        Args:
            rows: judged rows.
            broken: rows that break each rule, by rule_id; absent for none.
            marks: rows by mark.
            samples: values of some rows that break each rule, by rule_id.
        """
        return {
            rule.rule_id: RuleCounts(
                judged=marks.get(self.judged_marks[rule.rule_id], 0) if rule.rule_id in self.judged_marks else rows,
                missing=marks.get(self.missing_marks.get(rule.rule_id, ""), 0),
                unexpected=broken.get(rule.rule_id, 0),
                samples=samples.get(rule.rule_id, []),
            )
            for rule in self.rules
        }


def compile_row_rules(
    spark: SparkSession, suite: Suite, types: Mapping[str, str], own_marks: Sequence[Mark] = ()
) -> RowRules:
    """The suite's row rules as GX itself writes them for Spark.

    Raises:
        SuiteInvalid: GX refuses a rule, or there is more to count than one number has bits.
    """
    ddl = ", ".join(f"`{name}` {kind}" for name, kind in types.items())
    predicates = {each.rule_id: each for each in compile_rules(spark, suite.row_rules, ddl)}
    marks = _Marks(list(own_marks))
    judged = {name: marks.add(each.judged) for name, each in predicates.items() if each.judged is not None}
    missing = {name: marks.add(each.missing) for name, each in predicates.items() if each.missing is not None}
    if len(marks.found) > MAX_BITS:
        raise SuiteInvalid(
            f"the suite {suite.name} asks for {len(marks.found)} counts", f"at most {MAX_BITS} can be made"
        )
    return RowRules(
        [_row_rule(rule, predicates[rule.rule_id]) for rule in suite.row_rules],
        marks.found,
        judged,
        missing,
        {name: tuple(each.sample_columns) for name, each in predicates.items()},
        tuple(name for name, each in predicates.items() if each.needs_whole_batch),
    )


def _row_rule(rule: Any, predicate: Predicate) -> RowRule:
    return RowRule(rule.rule_id, rule.is_critical, rule.error_code, predicate.failing)


class _Marks:
    """Marks by what they hold: two rules on one column count its nulls once."""

    def __init__(self, own: list[Mark]) -> None:
        self.found = own

    def add(self, condition: Column) -> str:
        name = str(condition)
        if name not in {mark.name for mark in self.found}:
            self.found.append(Mark(name, condition))
        return name


def registry_frame(spark: SparkSession, registry: Registry) -> DataFrame:
    """The registry's devices in REGISTRY_DDL.

    From Arrow, which Spark keeps in the JVM: of Python rows it makes a frame that each broadcast has a Python worker
    read anew.
    """
    import pyarrow as pa

    names = [part.split() for part in REGISTRY_DDL.split(", ")]
    kinds = {"string": pa.string(), "double": pa.float64()}
    rows = registry_rows(registry)
    columns = [pa.array([row[place] for row in rows], kinds[kind]) for place, (_, kind) in enumerate(names)]
    return spark.createDataFrame(pa.table(columns, names=[name for name, _ in names]), REGISTRY_DDL)


def check_zones(spark: SparkSession, rulebook: Rulebook) -> None:
    """Refuses time zones that Python knows and this Java does not: they would stop the first batch that needs one.

    Raises:
        ContractInvalid: names the zone.
    """
    zones = {version.assume_time_zone for version in rulebook.contract.versions}
    zones |= {device.assume_time_zone for device in rulebook.registry.devices}
    for zone in sorted(zones - {""}):
        try:
            spark._jvm.java.time.ZoneId.of(zone)  # type: ignore[union-attr]
        except Py4JJavaError:
            raise ContractInvalid(f"this Java knows no time zone {zone}", "use another name of that zone") from None


def _text(path: Path) -> str:
    return path.read_text("utf-8")


def _yaml(text: str) -> dict[str, Any]:
    # Checked strictly when it was first used.
    return yaml.safe_load(text) or {}

"""The rulebook: contract, registry and suite, as texts with their hashes and as what a reader applies."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from sluice.errors import ContractInvalid, SuiteInvalid
from sluice.quality.facts import GOLD_FACTS, silver_facts
from sluice.quality.rules import Predicate, compile_rules
from sluice.quality.suites import Suite, load_suite, parse_suite
from sluice.schemas import CRITICAL, GOLD_READINGS_1MIN, SEVERITIES, SILVER_READINGS
from sluice.settings import Settings, read_yaml
from sluice.tables.checkpoints import Decision, Decisions
from sluice.transforms.contract import Contract, parse_contract
from sluice.transforms.gold import CANDIDATE_TYPES
from sluice.transforms.judge import JUDGED_TYPES, RowRule
from sluice.transforms.parse import Limits
from sluice.transforms.registry import REGISTRY_DDL, Registry, parse_registry, registry_rows
from sluice.transforms.silver import Reader

SILVER_SUITE = f"{SILVER_READINGS.layer}_{SILVER_READINGS.name}"
GOLD_SUITE = f"{GOLD_READINGS_1MIN.layer}_{GOLD_READINGS_1MIN.name}"
CONTRACT, REGISTRY, SUITE = "contract", "registry", "suite"


@dataclass(frozen=True)
class Rulebook:
    """Everything that decides about events, valid, with the texts it was read from.

    Attributes:
        suite: of silver.
        gold_suite: None in a rulebook that was recalled for a batch of silver.
        texts: contract, registry and silver's suite.
    """

    contract: Contract
    registry: Registry
    suite: Suite
    texts: dict[str, str]
    gold_suite: Suite | None = None

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of each text, by kind."""
        return {kind: hashlib.sha256(text.encode()).hexdigest() for kind, text in self.texts.items()}


def load_rulebook(settings: Settings) -> Rulebook:
    """The rulebook that the settings name.

    Raises:
        ContractInvalid, RegistryInvalid, SuiteInvalid, YamlInvalid: a file cannot be applied whole.
    """
    contract, registry = settings.contract.path, settings.devices.path
    parsed_contract = parse_contract(read_yaml(contract), str(contract))
    parsed_registry = parse_registry(read_yaml(registry), str(registry))
    suite = load_silver_suite(settings.expectations.path, parsed_contract)
    texts = {CONTRACT: _text(contract), REGISTRY: _text(registry), SUITE: suite.text}
    return Rulebook(parsed_contract, parsed_registry, suite, texts, load_gold_suite(settings.expectations.path))


def load_silver_suite(folder: Path, contract: Contract) -> Suite:
    """The suite of silver.

    Raises:
        SuiteInvalid: it cannot be applied whole.
    """
    return _for_single_rows(load_suite(folder, SILVER_SUITE, JUDGED_TYPES, _silver_facts(contract)))


def load_gold_suite(folder: Path) -> Suite:
    """The suite of gold, whose gate holds single minutes, never a batch: its batch rules are not critical.

    Raises:
        SuiteInvalid: it cannot be applied whole.
    """
    severities = [severity for severity in SEVERITIES if severity != CRITICAL]
    found = load_suite(folder, GOLD_SUITE, CANDIDATE_TYPES, GOLD_FACTS, batch_severities=severities)
    return _for_single_rows(found)


def _silver_facts(contract: Contract) -> tuple[str, ...]:
    return silver_facts([version.number for version in contract.versions])


def _for_single_rows(suite: Suite) -> Suite:
    # Rows are judged as they are read, doubtful ones apart from the others: no frame holds the whole batch.
    whole = [rule.rule_id for rule in suite.row_rules if rule.needs_whole_batch]
    if whole:
        raise SuiteInvalid(
            f"{suite.name}: {', '.join(whole)} would compare the rows of a batch with each other",
            "repeats are found by the event key, across batches; take the rule out",
        )
    return suite


def recall_rulebook(decisions: Decisions, decision: Decision) -> Rulebook:
    """The rulebook under which a batch was decided, whatever the files say by now.

    Raises:
        CheckpointLost: one of its texts is gone.
    """
    contract = decisions.find_text(CONTRACT, decision.contract_hash)
    registry = decisions.find_text(REGISTRY, decision.registry_hash)
    suite = decisions.find_text(SUITE, decision.suite_hash)
    parsed_contract = parse_contract(_yaml(contract))
    return Rulebook(
        parsed_contract,
        parse_registry(_yaml(registry)),
        parse_suite(suite, SILVER_SUITE, JUDGED_TYPES, _silver_facts(parsed_contract)),
        {CONTRACT: contract, REGISTRY: registry, SUITE: suite},
    )


def row_rules(spark: SparkSession, suite: Suite) -> list[RowRule]:
    """The row rules of silver's suite as columns over JUDGED_TYPES."""
    predicates = row_predicates(spark, suite)
    return [
        RowRule(rule.rule_id, rule.is_critical, rule.error_code, predicate.failing)
        for rule, predicate in zip(suite.row_rules, predicates, strict=True)
    ]


def row_predicates(spark: SparkSession, suite: Suite) -> list[Predicate]:
    """As `compile_rules`; once per suite and JVM, as each micro-batch asks and compiling takes longer than judging."""
    types = CANDIDATE_TYPES if suite.name == GOLD_SUITE else JUDGED_TYPES
    key = (spark.sparkContext.applicationId, suite.text)
    if key not in _COMPILED:
        ddl = ", ".join(f"`{name}` {kind}" for name, kind in types.items())
        _COMPILED[key] = compile_rules(spark, suite.row_rules, ddl)
    return _COMPILED[key]


_COMPILED: dict[tuple[str | None, str], list[Predicate]] = {}


def open_reader(spark: SparkSession, rulebook: Rulebook, settings: Settings) -> Reader:
    """What reads and judges records under the rulebook."""
    silver = settings.silver
    limits = Limits(silver.max_message_bytes, silver.max_nesting, silver.max_text_characters, silver.max_id_characters)
    registry = spark.createDataFrame(registry_rows(rulebook.registry), REGISTRY_DDL)
    return Reader(rulebook.contract, registry, row_rules(spark, rulebook.suite), limits)


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

"""The rulebook: contract, registry and suite, as texts with their hashes and as what a reader applies."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from sluice.errors import ContractInvalid
from sluice.quality.rules import failing
from sluice.quality.suites import Suite, load_suite, parse_suite
from sluice.schemas import SILVER_READINGS
from sluice.settings import Settings, read_yaml
from sluice.tables.checkpoints import Decision, Decisions
from sluice.transforms.contract import Contract, parse_contract
from sluice.transforms.judge import JUDGED_COLUMNS, RowRule
from sluice.transforms.parse import Limits
from sluice.transforms.registry import REGISTRY_DDL, Registry, parse_registry, registry_rows
from sluice.transforms.silver import Reader

SILVER_SUITE = f"{SILVER_READINGS.layer}_{SILVER_READINGS.name}"
CONTRACT, REGISTRY, SUITE = "contract", "registry", "suite"


@dataclass(frozen=True)
class Rulebook:
    """Everything that decides about events, valid, with the texts it was read from."""

    contract: Contract
    registry: Registry
    suite: Suite
    texts: dict[str, str]

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
    suite = load_suite(settings.expectations.path, SILVER_SUITE, JUDGED_COLUMNS)
    texts = {CONTRACT: _text(contract), REGISTRY: _text(registry), SUITE: suite.text}
    return Rulebook(parsed_contract, parsed_registry, suite, texts)


def recall_rulebook(decisions: Decisions, decision: Decision) -> Rulebook:
    """The rulebook under which a batch was decided, whatever the files say by now.

    Raises:
        CheckpointLost: one of its texts is gone.
    """
    contract = decisions.find_text(CONTRACT, decision.contract_hash)
    registry = decisions.find_text(REGISTRY, decision.registry_hash)
    suite = decisions.find_text(SUITE, decision.suite_hash)
    return Rulebook(
        parse_contract(_yaml(contract)),
        parse_registry(_yaml(registry)),
        parse_suite(suite, SILVER_SUITE, JUDGED_COLUMNS),
        {CONTRACT: contract, REGISTRY: registry, SUITE: suite},
    )


def row_rules(suite: Suite) -> list[RowRule]:
    """The suite's rules as columns."""
    return [RowRule(rule.rule_id, rule.is_critical, rule.error_code, failing(rule)) for rule in suite.rules]


def open_reader(spark: SparkSession, rulebook: Rulebook, settings: Settings) -> Reader:
    """What reads and judges records under the rulebook."""
    silver = settings.silver
    limits = Limits(silver.max_message_bytes, silver.max_nesting, silver.max_text_characters, silver.max_id_characters)
    registry = spark.createDataFrame(registry_rows(rulebook.registry), REGISTRY_DDL)
    return Reader(rulebook.contract, registry, row_rules(rulebook.suite), limits)


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

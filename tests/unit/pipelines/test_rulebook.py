"""The suites in force as they are shown: which rules judge each row, and which the whole batch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.serving.lake_builder import between, suite_text

from sluice.cli import run_command
from sluice.errors import SuiteInvalid
from sluice.pipelines.rulebook import load_suites
from sluice.settings import home, read_yaml
from sluice.transforms.contract import Contract, parse_contract


@pytest.fixture
def contract() -> Contract:
    return parse_contract(read_yaml(home() / "conf" / "contract.yaml"))


@pytest.mark.parametrize("name", ["silver_readings", "gold_readings_1min"])
def test_a_shipped_suite_names_every_rule_in_its_order(contract: Contract, name: str) -> None:
    entries = json.loads((home() / "expectations" / f"{name}.json").read_text())["expectations"]
    (suite,) = [each for each in load_suites(home() / "expectations", contract) if each.name == name]
    assert [rule.rule_id for rule in suite.rules] == [entry["meta"]["rule_id"] for entry in entries]


def test_what_judges_a_minute_by_columns_beside_those_of_the_table_is_a_row_rule(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_command(["gate", "rules", "--json", "--set", f"expectations.path={home() / 'expectations'}"]) == 0
    rules = [rule for rule in json.loads(capsys.readouterr().out) if rule["suite"] == "gold_readings_1min"]
    assert [rule["rule_id"] for rule in rules if rule["scope"] == "batch"] == ["share_held_limited"]


def test_a_rule_is_shown_with_all_that_its_suite_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entry = between("cold", "temperature_celsius", -50, 100, "warning")
    (tmp_path / "silver_readings.json").write_text(suite_text(entry))
    assert run_command(["gate", "rules", "--json", "--set", f"expectations.path={tmp_path}"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {
            "suite": "silver_readings",
            "rule_id": "cold",
            "scope": "row",
            "severity": "warning",
            "dimension": "validity",
            "type": "expect_column_values_to_be_between",
            "kwargs": {"column": "temperature_celsius", "min_value": -50, "max_value": 100},
            "description": "temperature_celsius is possible.",
        }
    ]


@pytest.mark.parametrize("name", ["some", "silver_readings"])
@pytest.mark.parametrize("text", ["", "[]", '{"expectations": [1]}', '{"expectations": [{"meta": {}}]}'])
def test_a_file_that_is_no_suite_is_named(tmp_path: Path, contract: Contract, name: str, text: str) -> None:
    (tmp_path / f"{name}.json").write_text(text)
    with pytest.raises(SuiteInvalid, match=rf"{name}\.json"):
        load_suites(tmp_path, contract)


def test_a_folder_without_suites_is_an_error(tmp_path: Path, contract: Contract) -> None:
    with pytest.raises(SuiteInvalid, match="there is no suite in"):
        load_suites(tmp_path, contract)

"""The rules as they are shown: which judge each row, and which the whole batch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sluice.errors import SuiteInvalid
from sluice.serving.suites import ShownRule, read_rules, scope_of
from sluice.settings import home

from .lake_builder import between, suite_text


def test_the_shipped_silver_suite_names_every_rule_with_its_scope() -> None:
    entries = json.loads((home() / "expectations" / "silver_readings.json").read_text())["expectations"]

    shown = [rule.rule_id for rule in read_rules(home() / "expectations") if rule.suite == "silver_readings"]
    assert shown == [entry["meta"]["rule_id"] for entry in entries]


def test_a_rule_is_shown_with_all_that_its_suite_says(tmp_path: Path) -> None:
    entry = between("cold", "temperature_celsius", -50, 100, "warning")
    (tmp_path / "silver_readings.json").write_text(suite_text(entry))

    assert read_rules(tmp_path) == [
        ShownRule(
            "silver_readings",
            "cold",
            "row",
            "warning",
            "validity",
            "expect_column_values_to_be_between",
            {"column": "temperature_celsius", "min_value": -50, "max_value": 100},
            "temperature_celsius is possible.",
        )
    ]


@pytest.mark.parametrize(
    ("suite", "kwargs", "meta", "scope"),
    [
        ("silver_readings", {"column": "humidity_percent"}, {}, "row"),
        ("silver_readings", {"column_A": "latest_accepted_time", "column_B": "event_time"}, {}, "row"),
        ("silver_readings", {"column_A": "value", "column_B": "value_registered_min"}, {}, "row"),
        ("silver_readings", {"column": "share_unreadable"}, {}, "batch"),
        ("silver_readings", {"column": "value_mean"}, {}, "batch"),
        ("gold_readings_1min", {"column": "value_mean"}, {}, "row"),
        ("silver_readings", {"min_value": 1}, {}, "batch"),
        ("silver_readings", {"column": "humidity_percent"}, {"scope": "batch"}, "batch"),
    ],
)
def test_a_rule_over_columns_of_rows_judges_rows(
    suite: str, kwargs: dict[str, object], meta: dict[str, object], scope: str
) -> None:
    assert scope_of(suite, {"kwargs": kwargs, "meta": meta}) == scope


@pytest.mark.parametrize("text", ["", "[]", '{"expectations": [1]}', '{"expectations": [{"meta": {}}]}'])
def test_a_file_that_is_no_suite_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "some.json").write_text(text)
    with pytest.raises(SuiteInvalid, match=r"some\.json"):
        read_rules(tmp_path)


def test_a_folder_without_suites_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SuiteInvalid, match="there is no suite in"):
        read_rules(tmp_path)

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from sluice.errors import SuiteInvalid
from sluice.pipelines.rulebook import load_layer_suite
from sluice.quality.rules import compile_rules
from sluice.quality.suites import parse_suite
from sluice.schemas import GOLD_READINGS_1MIN
from sluice.settings import home, read_yaml
from sluice.testing import utc
from sluice.transforms.contract import parse_contract
from sluice.transforms.gold import CANDIDATE_TYPES, as_candidates

NOON = utc(2024, 1, 1, 12)
INFINITE, NAN = float("inf"), float("nan")
MINUTE = {
    "bucket": NOON,
    "device_id": "sensor-0001",
    "metric": "temperature_celsius",
    "unit": "°C",
    "reading_count": 3,
    "value_mean": 20.0,
    "value_min": 19.0,
    "value_max": 21.0,
    "value_stddev": 1.0,
    "out_of_range_count": 0,
    "expected_count": 4.0,
    "completeness_percent": 75.0,
    "updated_at": NOON,
    "bucket_date": NOON.date(),
}
# What is odd about a minute, and the rules of gold it breaks.
MINUTES: tuple[tuple[dict[str, Any], list[str]], ...] = (
    ({}, []),
    ({"value_mean": (0.1 + 0.1 + 0.1) / 3, "value_min": 0.1, "value_max": 0.1}, []),
    ({"value_mean": -(0.1 + 0.1 + 0.1) / 3, "value_min": -0.1, "value_max": -0.1}, []),
    ({"bucket": utc(2024, 1, 1, 12, 5), "reading_count": 1, "value_stddev": None}, []),
    ({"expected_count": None, "completeness_percent": None, "unit": None}, []),
    ({"completeness_percent": 49.9}, ["completeness_at_least_half"]),
    ({"bucket": utc(2024, 1, 1, 12, 6)}, ["bucket_not_in_the_future"]),
    ({"bucket": utc(2024, 1, 1, 11, 59, 30)}, ["bucket_on_the_minute"]),
    ({"bucket": None}, ["bucket_present"]),
    ({"device_id": None, "metric": None}, ["device_id_present", "metric_present"]),
    ({"reading_count": 0}, ["reading_count_positive"]),
    ({"reading_count": None}, ["reading_count_present"]),
    ({"out_of_range_count": 3}, []),
    ({"out_of_range_count": 4}, ["out_of_range_count_at_most_reading_count"]),
    ({"out_of_range_count": -1}, ["out_of_range_count_not_negative"]),
    ({"value_mean": 18.9}, ["value_mean_at_least_value_min"]),
    ({"value_mean": 21.1}, ["value_mean_at_most_value_max"]),
    (
        {"value_min": 22.0, "value_mean": 22.0, "value_max": 21.0},
        ["value_min_at_most_value_max", "value_mean_at_most_value_max"],
    ),
    ({"value_max": INFINITE}, ["value_max_finite"]),
    (
        {"value_min": None, "value_mean": None, "value_max": None},
        ["value_mean_present", "value_min_present", "value_max_present"],
    ),
)


def test_the_shipped_rules_of_gold_are_broken_by_what_they_name(spark: SparkSession) -> None:
    rows = [tuple({**MINUTE, **odd}.values()) for odd, _ in MINUTES]
    minutes = spark.createDataFrame(
        [(index, *row) for index, row in enumerate(rows)], f"id int, {GOLD_READINGS_1MIN.ddl}"
    )
    candidates = as_candidates(minutes, F.lit(utc(2024, 1, 1, 12, 5, 59)))
    contract = parse_contract(read_yaml(home() / "conf" / "contract.yaml"))
    suite = load_layer_suite(home() / "expectations", "gold", contract)
    ddl = ", ".join(f"`{name}` {kind}" for name, kind in CANDIDATE_TYPES.items())
    predicates = compile_rules(spark, suite.row_rules, ddl)
    found = candidates.select("id", *[each.failing.alias(each.rule_id) for each in predicates]).collect()
    broken = {row["id"]: {each.rule_id for each in predicates if row[each.rule_id]} for row in found}
    assert broken == {index: set(rules) for index, (_, rules) in enumerate(MINUTES)}


def rule(**kwargs: Any) -> dict[str, Any]:
    kind = "expect_column_values_to_match_regex"
    meta = {"rule_id": "r", "dimension": "validity"}
    return {"type": kind, "kwargs": {"column": "text", **kwargs}, "severity": "critical", "meta": meta}


@pytest.mark.parametrize(
    ("ddl", "regex", "why"),
    [
        ("text string", "a{,3}", r"Java takes no regex 'a\{,3\}'"),
        ("other string", "a", 'The column "text" in BatchData does not exist'),
    ],
)
def test_a_rule_that_spark_cannot_apply_is_refused_by_its_name(
    spark: SparkSession, ddl: str, regex: str, why: str
) -> None:
    suite = parse_suite(json.dumps({"name": "s", "expectations": [rule(regex=regex)]}), "s", {"text": "string"})
    with pytest.raises(SuiteInvalid, match=rf"rule r cannot be applied: .*{why}"):
        compile_rules(spark, suite.rules, ddl)


def test_great_expectations_is_not_imported_to_load_suites() -> None:
    program = (
        "import sys; from sluice.settings import load_settings; from sluice.pipelines.rulebook import load_rulebook;"
        "import sluice.quality.gate, sluice.quality.results, sluice.quality.rules;"
        "load_rulebook(load_settings(environment={}), 'silver');"
        "sys.exit('great_expectations' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=120).returncode == 0

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sluice.errors import SuiteInvalid
from sluice.quality.suites import ROW_TYPES, load_suite, parse_suite
from sluice.schemas import METRICS, READING_METRIC, SILVER_READINGS, TIME_OUT_OF_RANGE, range_rules
from sluice.settings import home
from sluice.transforms.judge import JUDGED_COLUMNS

COLUMNS = ("temperature", "low", "status")
BETWEEN = "expect_column_values_to_be_between"
IN_SET = "expect_column_values_to_be_in_set"
PAIR = "expect_column_pair_values_a_to_be_greater_than_b"
REMOVED = object()


def rule(**keys: Any) -> dict[str, Any]:
    """A valid rule named `r`; REMOVED takes a key away."""
    entry = {
        "type": BETWEEN,
        "kwargs": {"column": "temperature", "min_value": -50, "max_value": 100},
        "severity": "critical",
        "meta": {"rule_id": "r", "dimension": "validity"},
        **keys,
    }
    return {key: value for key, value in entry.items() if value is not REMOVED}


def meta(**keys: Any) -> dict[str, Any]:
    return {"meta": {"rule_id": "r", "dimension": "validity", **keys}}


def between(**ends: Any) -> dict[str, Any]:
    return {"kwargs": {"column": "temperature", **ends}}


def text_of(*rules: dict[str, Any], **keys: Any) -> str:
    return json.dumps({"name": "s", "expectations": list(rules), **keys})


def test_a_suite_keeps_its_rules_in_order_and_the_text_it_was_read_from() -> None:
    second = rule(severity="warning", meta={"rule_id": "q", "dimension": "timeliness", "error_code": TIME_OUT_OF_RANGE})
    text = text_of(rule(), second)
    suite = parse_suite(text, "s", COLUMNS)
    assert (suite.name, suite.text) == ("s", text)
    found = [(each.rule_id, each.is_critical, each.dimension, each.error_code) for each in suite.rules]
    assert found == [("r", True, "validity", "RULE_FAILED"), ("q", False, "timeliness", "TIME_OUT_OF_RANGE")]
    assert suite.rules[0].kwargs == {"column": "temperature", "min_value": -50, "max_value": 100}


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ('{"name": "s", "name": "t", "expectations": []}', "a key is repeated"),
        (text_of(rule(**between(min_value=1))).replace(" 1}", " NaN}"), "NaN is no JSON number"),
        ("[]", "a suite is an object with a list `expectations`"),
        ('{"name": "s"}', "a suite is an object with a list `expectations`"),
        ('{"name": "s", "expectations": {}}', "a suite is an object with a list `expectations`"),
        (text_of(rule(), colour="red"), "unknown key colour"),
        (text_of(rule(), name="other"), "the suite's name is 'other', the file's 's'"),
        (text_of(), "the suite is empty and would let everything pass"),
        ('{"name": "s", "expectations": ["r"]}', r"expectations\[0\] is no object"),
        (text_of(rule(meta=REMOVED)), r"expectations\[0\] has no meta.rule_id"),
        (text_of(rule(), rule(meta={"dimension": "validity"})), r"expectations\[1\] has no meta.rule_id"),
        (text_of(rule(**meta(rule_id=""))), r"expectations\[0\] has no meta.rule_id"),
        (text_of(rule(**meta(rule_id=7))), r"expectations\[0\] has no meta.rule_id"),
        (text_of(rule(), rule()), "rule_id r stands there twice"),
    ],
)
def test_a_text_that_is_no_suite_is_refused(text: str, fact: str) -> None:
    with pytest.raises(SuiteInvalid, match=fact) as refused:
        parse_suite(text, "s", COLUMNS)
    assert refused.value.hint


@pytest.mark.parametrize(
    ("broken", "fact"),
    [
        (rule(colour="red"), "unknown key colour"),
        (rule(**meta(dimension="beauty")), "meta.dimension must be one of"),
        (rule(meta={"rule_id": "r"}), "meta.dimension must be one of"),
        (rule(severity=REMOVED), "severity must be one of"),
        (rule(severity="fatal"), "severity must be one of"),
        (rule(**meta(error_code="OOPS")), "unknown meta.error_code 'OOPS'"),
        (rule(type=REMOVED), "the type None cannot be judged"),
        (rule(type="expect_column_to_exist"), "the type 'expect_column_to_exist' cannot be judged"),
        (rule(type="expect_column_values_to_match_regex"), "cannot be judged"),
        (rule(type="unexpected_rows_expectation"), "cannot be judged"),
        (rule(kwargs=REMOVED), "kwargs must be an object"),
        (rule(kwargs=["temperature"]), "kwargs must be an object"),
        (rule(**between(min_value=1, mostly=0.9)), "takes no mostly"),
        (rule(**between(min_value=1, row_condition="1=1; drop")), "takes no row_condition"),
        (rule(kwargs={"min_value": 1}), "column is missing"),
        (rule(**between(min_value=1, column="pressure")), "no column 'pressure'"),
        (rule(**between(min_value=1, column="`x`; drop table")), "no column"),
        (rule(type=PAIR, kwargs={"column_A": "temperature"}), "column_B is missing"),
        (rule(type=PAIR, kwargs={"column_A": "temperature", "column_B": "high"}), "no column 'high'"),
        (rule(**between()), "min_value or max_value is needed"),
        (rule(**between(min_value=None)), "min_value or max_value is needed"),
        (rule(**between(min_value=True)), "min_value and max_value are numbers or times"),
        (rule(**between(min_value=[1])), "min_value and max_value are numbers or times"),
        (rule(**between(min_value=2, max_value=1)), "min_value 2 is greater than max_value 1"),
        (rule(**between(min_value="yesterday")), "'yesterday' is no time"),
        (rule(**between(min_value="2000-01-01T00:00:00Z", max_value=5)), "both numbers or both times"),
        (
            rule(**between(min_value="2000-01-01T00:00:00Z", max_value="2000-01-01T00:30:00+01:00")),
            "min_value 2000-01-01 .* is greater than max_value",
        ),
        (rule(**between(min_value=1, strict_min="yes")), "strict_min must be true or false"),
        (rule(type=IN_SET, kwargs={"column": "status"}), "value_set is missing"),
        (rule(type=IN_SET, kwargs={"column": "status", "value_set": []}), "value_set must be a list of texts or"),
        (rule(type=IN_SET, kwargs={"column": "status", "value_set": "ok"}), "value_set must be a list of texts or"),
        (rule(type=IN_SET, kwargs={"column": "status", "value_set": ["a", None]}), "value_set must be a list of"),
        (rule(type=IN_SET, kwargs={"column": "status", "value_set": ["a", 1]}), "value_set must be a list of"),
        (rule(type=IN_SET, kwargs={"column": "status", "value_set": [True]}), "value_set must be a list of texts"),
        (
            rule(type=PAIR, kwargs={"column_A": "temperature", "column_B": "low", "or_equal": 1}),
            "or_equal must be true or false",
        ),
        (
            rule(type=PAIR, kwargs={"column_A": "temperature", "column_B": "low", "ignore_row_if": "never"}),
            "ignore_row_if must be one of",
        ),
    ],
)
def test_a_rule_that_would_not_be_applied_as_written_is_refused_by_its_name(broken: dict[str, Any], fact: str) -> None:
    valid = rule(**meta(rule_id="valid"))
    with pytest.raises(SuiteInvalid, match=fact) as refused:
        parse_suite(text_of(valid, broken), "s", COLUMNS)
    assert refused.value.message.startswith("rule r: ")
    assert refused.value.hint


def test_a_file_is_named_in_what_is_wrong_with_it(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text(text_of())
    (tmp_path / "latin.json").write_bytes(b'{"name": "\xfc"}')
    for name, fact in (("s", "s.json: the suite is empty"), ("latin", "latin.json: not UTF-8"), ("absent", "absent")):
        with pytest.raises(SuiteInvalid, match=fact) as refused:
            load_suite(tmp_path, name, COLUMNS)
        assert str(tmp_path) in refused.value.message


def test_the_shipped_suite_judges_what_the_design_says() -> None:
    suite = load_suite(home() / "expectations", f"{SILVER_READINGS.layer}_{SILVER_READINGS.name}", JUDGED_COLUMNS)
    critical = [each.rule_id for each in suite.rules if each.is_critical]
    assert critical == [
        "device_id_present",
        "event_time_present",
        "event_time_not_before_2000",
        "event_time_not_in_the_future",
        "temperature_celsius_possible",
        "humidity_percent_possible",
        "latitude_possible",
        "longitude_possible",
    ]
    warnings = {each.rule_id for each in suite.rules if not each.is_critical}
    assert warnings == {rule_id for metric in (*METRICS, READING_METRIC) for rule_id in range_rules(metric)}
    # A row's broken rules travel as the bits of one number.
    assert len(suite.rules) <= 62


def test_every_rule_of_the_shipped_suite_says_in_words_what_it_asks() -> None:
    content = json.loads((home() / "expectations" / "silver_readings.json").read_text("utf-8"))
    assert all(len(entry["description"]) > 10 for entry in content["expectations"])
    assert {entry["type"] for entry in content["expectations"]} <= set(ROW_TYPES)

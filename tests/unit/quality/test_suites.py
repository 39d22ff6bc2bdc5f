from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sluice.errors import SuiteInvalid
from sluice.pipelines.rulebook import load_layer_suite
from sluice.quality.facts import silver_facts
from sluice.quality.rule_types import EXCLUDED_TYPES, RULE_TYPES
from sluice.quality.suites import Suite, load_suite, parse_suite
from sluice.schemas import METRICS, READING_METRIC, TIME_OUT_OF_RANGE, range_rules
from sluice.settings import home, read_yaml
from sluice.transforms.contract import parse_contract

COLUMNS = {
    "temperature": "double",
    "low": "double",
    "status": "string",
    "seen": "timestamp",
    "tags": "array<string>",
}
FACTS = ("rows_in", "share")
BETWEEN = "expect_column_values_to_be_between"
IN_SET = "expect_column_values_to_be_in_set"
PAIR = "expect_column_pair_values_a_to_be_greater_than_b"
PAIR_IN_SET = "expect_column_pair_values_to_be_in_set"
REGEX, REGEX_LIST = "expect_column_values_to_match_regex", "expect_column_values_to_match_regex_list"
LENGTHS, LENGTH = "expect_column_value_lengths_to_be_between", "expect_column_value_lengths_to_equal"
UNIQUE, SUM = "expect_column_values_to_be_unique", "expect_multicolumn_sum_to_equal"
COMPOUND = "expect_compound_columns_to_be_unique"
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


def of(kind: str, **kwargs: Any) -> dict[str, Any]:
    return rule(type=kind, kwargs=kwargs)


def compares(column: str, operator: str, parameter: Any) -> dict[str, Any]:
    return {"type": "comparison", "column": {"name": column}, "operator": operator, "parameter": parameter}


def where(condition: Any) -> dict[str, Any]:
    return rule(**between(min_value=1, row_condition=condition))


def parsed(*rules: dict[str, Any]) -> Suite:
    return parse_suite(text_of(*rules), "s", COLUMNS, FACTS)


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
        (rule(**meta(colour="red")), "unknown meta.colour"),
        (rule(description=7), "description must be a text"),
        (rule(type=REMOVED), "the type None cannot be judged"),
        (rule(type=["x"]), "cannot be judged"),
        (rule(type="expect_nothing"), "the type 'expect_nothing' cannot be judged"),
        (of("expect_column_values_to_be_increasing", column="low"), "rows of a micro-batch have no order"),
        (of("expect_column_values_to_be_of_type", column="low", type_="x"), "checked when it is written"),
        (of("expect_table_row_count_to_be_between", min_value=1), "judge the column rows_in"),
        (of("expect_column_max_to_be_between", column="share", max_value=1), "use expect_column_values_to_be_between"),
        (of("unexpected_rows_expectation", unexpected_rows_query="SELECT 1"), "raw SQL is refused"),
        (rule(kwargs=REMOVED), "kwargs must be an object"),
        (rule(kwargs=["temperature"]), "kwargs must be an object"),
        (rule(**between(min_value=1, unexpected_rows_query="SELECT 1")), "takes no unexpected_rows_query"),
        (rule(**between(min_value=1, condition_parser="spark")), "takes no condition_parser"),
        *((rule(**between(min_value=1, mostly=mostly)), "mostly must be a number above 0") for mostly in (0, 1.1, "1")),
        (where("1=1; drop"), "row_condition as text is raw SQL and refused"),
        (where({"type": "pass_through", "pass_through_filter": "1=1"}), "row_condition as text is raw SQL and refused"),
        (where(["x"]), "row_condition must be an object"),
        (where({"type": "not", "condition": {}}), "no type 'not' here"),
        (where({"type": "and", "conditions": []}), "and needs a list `conditions`"),
        (where({"type": "and", "conditions": [{"type": "or", "conditions": []}]}), "no type 'or' here"),
        (where({**compares("low", ">", 1), "colour": "red"}), "comparison needs column, operator, parameter, and"),
        (where(compares("pressure", ">", 1)), "no column 'pressure'"),
        (where(compares("low`; drop", ">", 1)), "no column"),
        (where({"type": "nullity", "column": {"name": ["low"]}, "is_null": True}), "a column is written"),
        (where(compares("low", "LIKE", 1)), "operator must be one of"),
        (where(compares("low", ">", "1")), "'1' cannot be compared with low, which holds a number"),
        (where(compares("low", ">", True)), "True cannot be compared with low"),
        (where(compares("low", "==", None)), "None cannot be compared with low"),
        (where(compares("status", "==", 1)), "1 cannot be compared with status, which holds a text"),
        (where(compares("status", "==", "a' OR '1'='1")), "cannot be compared with status"),
        (where(compares("status", "==", "a\\")), "cannot be compared with status"),
        (where(compares("seen", ">", "yesterday")), "'yesterday' cannot be compared with seen, which holds a time"),
        (where(compares("low", "IN", [])), "IN needs a list of numbers or of texts"),
        (where(compares("low", "IN", [1, "a"])), "cannot be compared with low"),
        (where({"type": "nullity", "column": {"name": "low"}, "is_null": 1}), "is_null must be true or false"),
        (where({"type": "and", "conditions": [compares("low", ">", 1)] * 101}), "more than 100 comparisons"),
        (where(compares("rows_in", ">", 1)), "temperature is of each row and rows_in of the batch"),
        (of(PAIR, column_A="temperature", column_B="share"), "a rule judges one of both"),
        (of(REGEX, column="share", regex="a"), "cannot judge the facts of a batch"),
        (of(PAIR, column_A="share", column_B="rows_in"), "needs ignore_row_if either_value_is_missing"),
        (rule(kwargs={"column": "share", "max_value": 1}, **meta(error_code="RULE_FAILED")), "is for rules on rows"),
        (of(REGEX, column="status", regex="(a+)+b"), "a repeat or an alternative within a repeat"),
        (of(REGEX, column="status", regex="("), "the regex cannot be used"),
        (of(REGEX, column="status", regex="a" * 201), "201 characters, at most 200"),
        (of(REGEX, column="low", regex="a"), "cannot judge low, which holds numbers"),
        (of(REGEX_LIST, column="status", regex_list=["a", ".*.*.*b"]), "more than 2 endless repeats"),
        (of(REGEX_LIST, column="status", regex_list=[]), "regex_list must be a list of texts"),
        (of(REGEX_LIST, column="status", regex_list=["a"], match_on="some"), "match_on must be any or all"),
        (of(LENGTHS, column="status", min_value=1.5), "whole numbers of characters"),
        (of(LENGTH, column="status", value=-1), "value must be a whole number of characters"),
        (of(UNIQUE, column="tags"), "cannot judge tags, which holds neither numbers, texts nor times"),
        (of(UNIQUE, column="low", row_condition=compares("low", ">", 1)), "row_condition cannot be combined"),
        (of(SUM, column_list=["low"], sum_total=1), "column_list must be a list of at least two"),
        (of(SUM, column_list=["low", "low"], sum_total=1), "column_list must be a list of at least two"),
        (of(SUM, column_list=["low", "temperature"], sum_total="1"), "sum_total must be a number"),
        (of(SUM, column_list=["low", "status"], sum_total=1), "cannot judge status, which holds texts"),
        (of(COMPOUND, column_list=["low", "tags"]), "cannot judge tags"),
        (of(COMPOUND, column_list=["low", "status"], ignore_row_if="neither"), "ignore_row_if must be one of all_val"),
        (of(PAIR, column_A="low", column_B="status"), "low, status are of different types"),
        (of(PAIR_IN_SET, column_A="low", column_B="temperature", value_pairs_set=[[1]]), "lists of two numbers"),
        (of(IN_SET, column="low", value_set=["a"]), "value_set must be a list of texts or a list of numbers"),
        (of(IN_SET, column="low", value_set=[2**63]), "value_set must be a list of texts or a list of numbers"),
        (of(BETWEEN, column="low", min_value="2000-01-01"), "min_value and max_value must be numbers"),
        (of(BETWEEN, column="status", min_value=1), "cannot judge status, which holds texts"),
        (of(BETWEEN, column="low", min_value=1, max_value=1, strict_min=True), "no value lies strictly between"),
        (of(BETWEEN, column="seen", min_value=5), "5 is no time"),
        (of(BETWEEN, column="seen", min_value="2024-W01-1"), "'2024-W01-1' is no time"),
        (of(BETWEEN, column="seen", min_value="2024-13-01"), "'2024-13-01' is no time"),
        (
            of(BETWEEN, column="seen", min_value="2000-01-01T02:00:00+02:00", max_value="2000-01-01T01:00:00Z"),
            "must be written with the same offset",
        ),
        (rule(kwargs={"min_value": 1}), "column is missing"),
        (rule(**between(min_value=1, column="pressure")), "no column 'pressure'"),
        (rule(**between(min_value=1, column="`x`; drop table")), "no column"),
        (rule(type=PAIR, kwargs={"column_A": "temperature"}), "column_B is missing"),
        (rule(type=PAIR, kwargs={"column_A": "temperature", "column_B": "high"}), "no column 'high'"),
        (rule(**between()), "min_value or max_value is needed"),
        (rule(**between(min_value=None)), "min_value or max_value is needed"),
        (rule(**between(min_value=True)), "min_value and max_value must be numbers"),
        (rule(**between(min_value=[1])), "min_value and max_value must be numbers"),
        (rule(**between(min_value=2, max_value=1)), "min_value 2 is greater than max_value 1"),
        (of(BETWEEN, column="seen", min_value="yesterday"), "'yesterday' is no time"),
        (of(BETWEEN, column="seen", min_value="2000-01-01T00:00:00Z", max_value=5), "5 is no time"),
        (
            of(BETWEEN, column="seen", min_value="2000-01-01T00:00:00Z", max_value="2000-01-01T00:30:00+01:00"),
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
        parsed(valid, broken)
    assert refused.value.message.startswith("rule r: ")
    assert refused.value.hint


def test_a_file_is_named_in_what_is_wrong_with_it(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text(text_of())
    (tmp_path / "latin.json").write_bytes(b'{"name": "\xfc"}')
    for name, fact in (("s", "s.json: the suite is empty"), ("latin", "latin.json: not UTF-8"), ("absent", "absent")):
        with pytest.raises(SuiteInvalid, match=fact) as refused:
            load_suite(tmp_path, name, COLUMNS)
        assert str(tmp_path) in refused.value.message


def test_a_rule_is_of_the_row_or_of_the_batch_by_the_columns_it_names() -> None:
    batch = rule(**meta(rule_id="q"), kwargs={"column": "share", "max_value": 1, "mostly": 0.5})
    suite = parsed(rule(), batch)
    assert [(each.rule_id, each.scope, each.mostly) for each in suite.rules] == [("r", "row", 1.0), ("q", "batch", 0.5)]
    assert [each.rule_id for each in suite.row_rules] == ["r"]
    assert [each.rule_id for each in suite.batch_rules] == ["q"]


@pytest.mark.parametrize(
    "condition",
    [
        compares("low", "<=", 1.5),
        compares("status", "IN", ["ok", "idle"]),
        compares("seen", ">=", "2024-01-01T00:00:00.5+01:00"),
        {"type": "nullity", "column": {"name": "tags"}, "is_null": False},
        {
            "type": "and",
            "conditions": [compares("low", ">", 1), {"type": "and", "conditions": [compares("low", "<", 2)]}],
        },
        {
            "type": "or",
            "conditions": [compares("low", ">", 1), {"type": "and", "conditions": [compares("low", "<", 2)]}],
        },
    ],
)
def test_a_row_condition_in_the_form_of_gx_is_accepted(condition: dict[str, Any]) -> None:
    assert parsed(where(condition)).rules[0].kwargs["row_condition"] == condition


@pytest.mark.parametrize(
    "pattern", ["^[a-z]+-[0-9]{4}$", r"^\d+\.\d+\.\d+$", "^(ok|idle)$", "(?:ab){2,3}x?", ".*a.*b", r"\(?x\)?"]
)
def test_a_regex_whose_time_is_bounded_is_accepted(pattern: str) -> None:
    assert parsed(of(REGEX, column="status", regex=pattern)).rules[0].kwargs["regex"] == pattern


@pytest.mark.parametrize(
    "pattern",
    [
        "(a|aa)+",
        "(a*)*",
        "(.*a){12}",
        "a?" * 30,
        "(?i)a",
        "(?P<n>a)",
        r"(a)\1",
        "(?=a)",
        "[[a]",
        "[a&&b]",
        r"\p{L}",
        "",
    ],
)
def test_a_regex_that_java_reads_otherwise_or_that_can_take_for_ever_is_refused(pattern: str) -> None:
    with pytest.raises(SuiteInvalid, match=r"regex|repeat|alternative|optional"):
        parsed(of(REGEX, column="status", regex=pattern))


def test_at_most_62_row_rules_fit_into_a_number() -> None:
    rules = [rule(**meta(rule_id=str(index))) for index in range(63)]
    assert len(parsed(*rules[:62]).row_rules) == 62
    with pytest.raises(SuiteInvalid, match="63 row rules, at most 62 can be judged"):
        parsed(*rules)


def test_a_gate_that_holds_no_batches_takes_no_critical_batch_rule() -> None:
    batch = rule(kwargs={"column": "share", "max_value": 1})
    with pytest.raises(SuiteInvalid, match="rule r: a batch rule of this suite must be warning or info"):
        parse_suite(text_of(batch), "s", COLUMNS, FACTS, batch_severities=("warning", "info"))


def test_facts_of_silver_include_a_share_per_version() -> None:
    assert silver_facts([2, 0, 1])[-3:] == ("share_version_0", "share_version_1", "share_version_2")


@pytest.fixture(scope="module")
def silver() -> Suite:
    contract = parse_contract(read_yaml(home() / "conf" / "contract.yaml"))
    return load_layer_suite(home() / "expectations", "silver", contract)


@pytest.fixture(scope="module")
def gold() -> Suite:
    contract = parse_contract(read_yaml(home() / "conf" / "contract.yaml"))
    return load_layer_suite(home() / "expectations", "gold", contract)


def ids(suite: Suite, scope: str, severity: str) -> list[str]:
    return [each.rule_id for each in suite.rules if (each.scope, each.severity) == (scope, severity)]


def test_the_shipped_suite_of_silver_refuses_and_holds_what_the_design_says(silver: Suite) -> None:
    assert ids(silver, "row", "critical") == [
        "device_id_present",
        "event_time_present",
        "event_time_not_before_2000",
        "event_time_not_in_the_future",
        "temperature_celsius_possible",
        "humidity_percent_possible",
        "latitude_possible",
        "longitude_possible",
    ]
    ranges = {rule_id for metric in (*METRICS, READING_METRIC) for rule_id in range_rules(metric)}
    assert set(ids(silver, "row", "warning")) == {*ranges, "status_known", "event_time_too_old"}
    assert ids(silver, "batch", "critical") == ["share_unreadable_limited", "share_quarantined_limited"]
    for each in silver.batch_rules:
        fewest = each.kwargs["row_condition"]["parameter"]
        assert fewest == (10_000 if each.is_critical else 1_000)
    assert {each.kwargs["max_value"] for each in silver.batch_rules if each.is_critical} == {0.5}


def test_the_shipped_suite_of_gold_holds_minutes_and_no_batches(gold: Suite) -> None:
    assert ids(gold, "row", "warning") == ["completeness_at_least_half"]
    assert ids(gold, "batch", "critical") == []
    assert {"bucket_on_the_minute", "bucket_not_in_the_future", "reading_count_positive"} <= {
        *ids(gold, "row", "critical")
    }


@pytest.mark.parametrize("name", ["silver_readings", "gold_readings_1min"])
def test_every_rule_that_is_shipped_says_in_words_what_it_asks(name: str) -> None:
    content = json.loads((home() / "expectations" / f"{name}.json").read_text("utf-8"))
    assert all(len(entry["description"]) > 10 for entry in content["expectations"])


def test_the_documentation_names_every_type_and_every_fact() -> None:
    text = (home() / "docs" / "rules.md").read_text("utf-8")
    named = {*RULE_TYPES, *EXCLUDED_TYPES, *silver_facts([]), "share_held", "share_version_<n>"}
    assert {name for name in named if f"`{name}`" not in text} == set()

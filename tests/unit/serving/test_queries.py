"""The header of a ready-made query, and the values it takes."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from pathlib import Path

import duckdb
import pytest

from sluice.errors import QueryInvalid
from sluice.serving.queries import Parameter, Query, bind_parameters, find_query, load_queries, parse_query
from sluice.settings import home

TEXT = """\
-- title: A title: with a colon
-- about: What it shows.
-- param device_id text default 'o''clock': the device
-- param count integer default 5
-- param share number default 0.5: between 0 and 1
-- param open boolean default true
-- param since timestamp default null: the start
-- param needed text: has no default
-- optional: gold.held, silver.held

-- any other comment
SELECT $device_id
-- param late text: a comment in the SQL is no header
"""


def test_a_header_describes_title_about_parameters_and_optional_tables() -> None:
    assert parse_query("some_query", TEXT) == Query(
        name="some_query",
        title="A title: with a colon",
        about="What it shows.",
        parameters=(
            Parameter("device_id", "text", False, "o'clock", "the device"),
            Parameter("count", "integer", False, 5, ""),
            Parameter("share", "number", False, 0.5, "between 0 and 1"),
            Parameter("open", "boolean", False, True, ""),
            Parameter("since", "timestamp", False, None, "the start"),
            Parameter("needed", "text", True, None, "has no default"),
        ),
        optional=("gold.held", "silver.held"),
        sql=TEXT,
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-- about: x\nSELECT 1", "query q: the header has no `-- title:` line"),
        ("-- title: x\nSELECT 1", "query q: the header has no `-- about:` line"),
        ("SELECT 1\n-- title: x\n-- about: y", "query q: the header has no `-- title:` line"),
        ("-- title: x\n-- param a date", "query q, line 2: cannot read the parameter 'a date'"),
        ("-- param a", "query q, line 1: cannot read the parameter 'a'"),
        ("-- param a text default 'open: x", 'query q, line 1: cannot read the parameter "a text default \'open: x"'),
        ("-- param a integer default x", "query q, line 1: a is 'x', not of type integer"),
        ("-- title: x\n-- about: y\n-- optional: gold.nix", "query q: gold.nix is no table"),
    ],
)
def test_a_wrong_header_is_named_with_its_line(text: str, message: str) -> None:
    with pytest.raises(QueryInvalid) as caught:
        parse_query("q", text)

    assert caught.value.message == message


def test_given_values_are_typed_and_others_take_their_defaults() -> None:
    given = {"needed": "x", "count": "7", "open": "False", "since": "2026-03-01T12:00:00+02:00"}

    assert bind_parameters(parse_query("q", TEXT), given) == {
        "device_id": "o'clock",
        "count": 7,
        "share": 0.5,
        "open": False,
        "since": datetime(2026, 3, 1, 10, tzinfo=timezone.utc),
        "needed": "x",
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "query q needs needed"),
        ({"needed": "x", "nix": "1"}, "query q has no parameter 'nix'"),
        ({"needed": "x", "count": "1.5"}, "--param: count is '1.5', not of type integer"),
        ({"needed": "x", "share": "much"}, "--param: share is 'much', not of type number"),
        ({"needed": "x", "share": "nan"}, "--param: share is 'nan', not of type number"),
        ({"needed": "x", "share": "-inf"}, "--param: share is '-inf', not of type number"),
        ({"needed": "x", "open": "yes"}, "--param: open is 'yes', not of type boolean"),
        ({"needed": "x", "since": "yesterday"}, "--param: since is 'yesterday', not of type timestamp"),
        (
            {"needed": "x", "since": "2026-03-01T12:00:00"},
            "--param: since is '2026-03-01T12:00:00', not of type timestamp",
        ),
    ],
)
def test_a_wrong_value_is_named(given: dict[str, str], message: str) -> None:
    with pytest.raises(QueryInvalid) as caught:
        bind_parameters(parse_query("q", TEXT), given)

    assert caught.value.message == message


def test_an_unknown_name_suggests_near_ones() -> None:
    queries = load_queries(home() / "conf" / "queries")

    with pytest.raises(QueryInvalid) as caught:
        find_query(queries, "latest_reading")

    assert (caught.value.message, caught.value.hint) == (
        "there is no query 'latest_reading'",
        "did you mean latest_readings?",
    )


def test_a_missing_folder_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(QueryInvalid, match="there is no folder of queries at"):
        load_queries(tmp_path / "none")


@pytest.mark.parametrize("content", [b"\xff", b"-- title: x\n"])
def test_one_broken_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.sql").write_bytes(content)

    with pytest.raises(QueryInvalid, match="broken"):
        load_queries(tmp_path)


@pytest.mark.parametrize("query", load_queries(home() / "conf" / "queries").values(), ids=lambda query: query.name)
def test_a_shipped_query_uses_exactly_the_parameters_it_declares(query: Query) -> None:
    (statement,) = duckdb.connect().extract_statements(query.sql)

    assert statement.named_parameters == {parameter.name for parameter in query.parameters}
    assert all(parameter.about and not parameter.required for parameter in query.parameters)
    assert query.about.endswith(".")


def test_the_guide_lists_every_query_with_its_parameters() -> None:
    text = (home() / "docs" / "queries.md").read_text("utf-8")
    rows = [line.split("|")[1:4] for line in text.splitlines() if line.startswith("| `")]
    listed = {name.strip(" `"): re.findall(r"`(\w+)`", parameters) for name, _, parameters in map(_three, rows)}
    queries = load_queries(home() / "conf" / "queries")

    assert {name: listed.get(name) for name in queries} == {
        name: [parameter.name for parameter in query.parameters] for name, query in queries.items()
    }


def _three(cells: list[str]) -> list[str]:
    return [*cells, "", ""][:3]

"""SQL from anywhere: it reads the lake and nothing else, and what is wrong is said in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from sluice.errors import LakeMissing, QueryInvalid
from sluice.schemas import SILVER_READINGS
from sluice.serving.lake import OpenLake, open_lake
from sluice.serving.readonly import run_read_only

from .lake_builder import append, at, build_lake, minute, reading


@pytest.fixture
def lake(tmp_path: Path) -> OpenLake:
    path = build_lake(
        tmp_path / "lake",
        {
            "silver.readings": [reading(1, at("12:00:00"), status="\x1b[31mred")],
            "gold.readings_1min": [minute(at("12:00:00"))],
        },
    )
    return open_lake(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT device_id FROM silver.readings", [("sensor-0001",)]),
        ("WITH r AS (FROM silver.readings) SELECT r.offset FROM r", [(1,)]),
        ('FROM "silver"."readings" SELECT event_id', [("e1",)]),
        ("select READINGS.event_id from SILVER.READINGS", [("e1",)]),
        ("VALUES (1), (2);", [(1,), (2,)]),
        ("SHOW TABLES", [("gold.readings_1min",), ("silver.readings",)]),
        ("SELECT count(*) FROM (DESCRIBE silver.readings)", [(len(SILVER_READINGS.columns),)]),
        ("SELECT count(*) FROM (SUMMARIZE silver.readings)", [(len(SILVER_READINGS.columns),)]),
        ("SELECT 1 WHERE false", []),
    ],
)
def test_a_statement_that_reads_is_answered(lake: OpenLake, text: str, expected: list[tuple[object, ...]]) -> None:
    assert sorted(run_read_only(lake, text).rows()) == expected


def test_columns_have_unique_names_and_types(lake: OpenLake) -> None:
    answer = run_read_only(lake, "SELECT 1 AS a, 'x' AS a, event_time FROM silver.readings")

    assert (answer.columns, answer.types) == (
        ("a", "a_2", "event_time"),
        ("INTEGER", "VARCHAR", "TIMESTAMP WITH TIME ZONE"),
    )


@pytest.mark.parametrize(
    "text",
    [
        "DROP VIEW silver.readings",
        "DELETE FROM silver.readings",
        "INSERT INTO silver.readings VALUES (1)",
        "CREATE TABLE x AS SELECT 1",
        "UPDATE silver.readings SET device_id = 'x'",
        "COPY silver.readings TO '{target}'",
        "EXPORT DATABASE '{target}'",
        "ATTACH '{target}' AS other",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "PRAGMA enable_external_access = true",
        "CALL pragma_version()",
        "USE silver",
        "BEGIN",
        "CHECKPOINT",
        "VACUUM",
        "SELECT 1; DROP VIEW silver.readings",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{target}'",
        "SELECT * FROM query('COPY (SELECT 1) TO ''{target}''')",
        "WITH x AS (INSERT INTO silver.readings SELECT * FROM silver.readings RETURNING *) FROM x",
        "SELECT * FROM read_csv('{secret}')",
        "SELECT * FROM read_text('{secret}')",
        "SELECT * FROM read_blob('{secret}')",
        "SELECT * FROM read_json('{secret}')",
        "SELECT * FROM read_parquet('{secret}')",
        "SELECT * FROM sniff_csv('{secret}')",
        "SELECT * FROM glob('/*')",
        "FROM '{secret}'",
        "FROM '{secret}.csv'",
        "SELECT * FROM read_csv('http://127.0.0.1:9/x')",
        "SELECT * FROM duckdb_secrets()",
    ],
)
def test_what_could_change_or_read_something_else_is_refused(lake: OpenLake, tmp_path: Path, text: str) -> None:
    secret, target = tmp_path / "secret", tmp_path / "target"
    secret.write_text("password")

    with pytest.raises((QueryInvalid, LakeMissing)) as caught:
        list(run_read_only(lake, text.replace("{secret}", str(secret)).replace("{target}", str(target))).rows())

    assert caught.value.exit_code == 2
    assert "password" not in caught.value.message
    assert not target.exists()
    assert open_lake(lake.path).delta("silver.readings").version() == 0


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("SELCT 1", 'Parser Error: syntax error at or near "SELCT"', ""),
        (" -- nothing", "the SQL holds no statement", ""),
        ("SELECT 1; SELECT 2", "the SQL holds 2 statements", ""),
        (
            "FROM silver.redings",
            "there is no table silver.redings",
            "did you mean silver.readings or gold.readings_1min?",
        ),
        ("FROM readings", "there is no table readings", "did you mean silver.readings or gold.readings_1min?"),
        (
            "FROM gold.readings",
            "there is no table gold.readings",
            "did you mean silver.readings or gold.readings_1min?",
        ),
        ("FROM zzz", "there is no table zzz", "there are: silver.readings, gold.readings_1min"),
        (
            "SELECT device FROM silver.readings",
            'Binder Error: Referenced column "device" not found in FROM clause! Candidate bindings: "device_id"',
            "",
        ),
        ("SELECT $a", "Invalid Input Error: Values were not provided for the following ", ""),
    ],
)
def test_wrong_sql_is_one_line_with_a_hint(lake: OpenLake, text: str, message: str, hint: str) -> None:
    with pytest.raises(QueryInvalid) as caught:
        run_read_only(lake, text)

    assert caught.value.message.startswith(message)
    assert "\n" not in caught.value.message
    assert caught.value.hint
    if hint:
        assert caught.value.hint == hint


def test_data_in_an_error_is_harmless_too(lake: OpenLake) -> None:
    with pytest.raises(QueryInvalid) as caught:
        list(run_read_only(lake, "SELECT status::INTEGER FROM silver.readings").rows())

    assert (
        caught.value.message
        == r"Conversion Error: Could not convert string '\x1b[31mred' to INT32 when casting from source column status"
    )


def test_a_table_that_no_job_has_made_yet_is_missing_not_wrong(lake: OpenLake) -> None:
    with pytest.raises(LakeMissing) as caught:
        run_read_only(lake, "SELECT count(*) FROM silver.quarantine")

    assert (caught.value.exit_code, caught.value.message, caught.value.hint) == (
        3,
        "the lake has no table silver.quarantine yet",
        "the silver job creates it: `sluice run --once`",
    )


def test_an_optional_table_reads_as_empty_until_it_is_there(lake: OpenLake) -> None:
    text, optional = "SELECT count(*), max(status) FROM gold.held", ["gold.held"]
    assert list(run_read_only(lake, text, None, optional).rows()) == [(0, None)]

    append(lake.path, "gold.held", [{"device_id": "a", "status": "open"}])

    assert list(run_read_only(lake, text, None, optional).rows()) == [(1, "open")]


def test_a_file_that_goes_away_while_it_is_read_is_said_so(lake: OpenLake) -> None:
    for file in (lake.path / "silver" / "readings").rglob("*.parquet"):
        file.unlink()

    with pytest.raises(LakeMissing, match="a file of the lake went away while it was read"):
        list(run_read_only(lake, "SELECT device_id FROM silver.readings").rows())


def test_a_value_bound_as_a_parameter_is_never_sql(lake: OpenLake) -> None:
    answer = run_read_only(lake, "SELECT $text AS text", {"text": "'; DROP VIEW silver.readings; --"})

    assert list(answer.rows()) == [("'; DROP VIEW silver.readings; --",)]


def test_a_long_answer_comes_in_order_and_whole(lake: OpenLake) -> None:
    answer = run_read_only(lake, "SELECT i FROM range(25_001) AS t(i) ORDER BY i")

    assert [row[0] for row in answer.rows()] == list(range(25_001))

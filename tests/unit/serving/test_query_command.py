"""`sluice query` as it is typed: what is printed where, and the exit codes."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sluice.cli import run_command

from .lake_builder import at, bronze, build_lake, reading

HOSTILE = "\x1b[31m[red]x[/red]\x9b2J\u202e"


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = build_lake(
        tmp_path / "lake",
        {
            "bronze.events": [bronze(1, b'{"a": 1}'), bronze(2, b"\xff\x1b")],
            "silver.readings": [
                reading(1, at("12:00:00"), status=HOSTILE),
                reading(2, at("12:00:05"), device_id="sensor-0002", quality_flag="unknown_device"),
            ],
        },
    )
    monkeypatch.setenv("SLUICE_LAKE__PATH", str(path))
    return path


def test_a_ready_made_query_prints_a_table(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["query", "unknown_devices"]) == 0

    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "device_id    readings  first_event_time      last_event_time",
        "sensor-0002         1  2026-03-01T12:00:05Z  2026-03-01T12:00:05Z",
    ]


def test_a_table_without_rows_says_so_beside_the_answer(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["query", "device_last_hour", "--param", "device_id=sensor-9999"]

    assert run_command(arguments) == 0
    shown = capsys.readouterr()
    assert shown.out.split()[:2] == ["event_time", "event_id"]
    assert shown.err == "no rows\n"

    assert run_command([*arguments, "--json"]) == 0
    shown = capsys.readouterr()
    assert (json.loads(shown.out), shown.err) == ([], "")


def test_a_table_is_for_eyes_and_csv_and_json_have_every_digit(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = []
    for how in ("table", "csv", "json"):
        assert run_command(["query", "--sql", "SELECT 0.1::DOUBLE + 0.2::DOUBLE AS n", "--format", how]) == 0
        shown.append("".join(capsys.readouterr().out.split()))

    assert shown == ["n0.3", "n0.30000000000000004", '[{"n":0.30000000000000004}]']


@pytest.mark.parametrize("how", [["--json"], ["--format", "json"]])
def test_json_is_an_array_of_objects(lake: Path, capsys: pytest.CaptureFixture[str], how: list[str]) -> None:
    sql = 'SELECT "offset", kafka_timestamp, value, 1.5::DECIMAL(3,1) AS n, NULL AS z FROM bronze.events ORDER BY 1'

    assert run_command(["query", "--sql", sql, *how]) == 0

    assert json.loads(capsys.readouterr().out) == [
        {"offset": 1, "kafka_timestamp": "2026-03-01T12:00:00Z", "value": '{"a": 1}', "n": 1.5, "z": None},
        {"offset": 2, "kafka_timestamp": "2026-03-01T12:00:00Z", "value": "0xff1b", "n": 1.5, "z": None},
    ]


def test_csv_has_a_header_and_all_rows(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["query", "--format=csv", "--sql", "SELECT i, i * 2 AS j FROM range(150) AS t(i)"]) == 0

    expected = ["i,j", *(f"{number},{number * 2}" for number in range(150))]
    assert capsys.readouterr().out.splitlines() == expected


@pytest.mark.parametrize(("device", "events"), [("sensor-0002", ["e2"]), ("x' OR '1'='1", [])])
def test_a_parameter_is_a_value_and_never_sql(
    lake: Path, capsys: pytest.CaptureFixture[str], device: str, events: list[str]
) -> None:
    assert run_command(["query", "device_last_hour", "--param", f"device_id={device}", "--json"]) == 0

    assert [row["event_id"] for row in json.loads(capsys.readouterr().out)] == events


def test_a_parameter_of_free_sql_is_bound_as_text(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sql = "SELECT event_id FROM silver.readings WHERE device_id = $device"

    assert run_command(["query", "--sql", sql, "--param", "device=sensor-0002", "--json"]) == 0

    assert json.loads(capsys.readouterr().out) == [{"event_id": "e2"}]


def test_a_table_shows_a_hundred_rows_and_says_that_there_are_more(
    lake: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = []
    for rows, options in ((100, []), (101, []), (150, ["--limit", "0"]), (150, ["--limit", "7"])):
        assert run_command(["query", "--sql", f"FROM range({rows})", *options]) == 0
        shown = capsys.readouterr()
        counts.append((len(shown.out.splitlines()) - 1, shown.err.strip()))

    assert counts == [(100, ""), (100, "the first 100 rows; --limit 0 shows all"), (150, ""), (7, "")]


def test_the_list_names_every_query_for_people_and_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["query", "--list"]) == 0
    for_people = capsys.readouterr().out
    assert run_command(["query", "--list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)

    names = [
        "anomalies",
        "books",
        "completeness",
        "correlation",
        "daily_summary",
        "device_last_hour",
        "duplicates_by_device",
        "hourly",
        "ingest_lag",
        "late_arrivals",
        "latest_readings",
        "minute_percentiles",
        "minutes",
        "open_holds",
        "out_of_range",
        "promotions_by_verdict",
        "quality_scores",
        "quality_shares",
        "quarantine_by_code",
        "silent_devices",
        "unknown_devices",
        "version_mix",
        "version_mix_over_time",
    ]
    assert [entry["name"] for entry in listed] == names
    assert [line.split()[0] for line in for_people.splitlines()[1:]] == names
    assert listed[5] == {
        "name": "device_last_hour",
        "title": "The last hour of a device",
        "about": "All readings of one device in the hour up to its newest one.",
        "parameters": [
            {
                "name": "device_id",
                "type": "text",
                "required": False,
                "default": "sensor-0001",
                "about": "the device",
            }
        ],
    }


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        ([], 2, "sluice: give one of NAME, --list and --sql"),
        (["books", "--list"], 2, "sluice: give one of NAME, --list and --sql"),
        (["bokks"], 2, "sluice: there is no query 'bokks'\n  next: did you mean books?"),
        (["books", "--param", "x"], 2, "sluice: --param x: not of the form KEY=VALUE"),
        (["books", "--param", "x=1"], 2, "sluice: query books has no parameter 'x'\n  next: it takes none"),
        (["--sql", "SELCT 1"], 2, 'sluice: Parser Error: syntax error at or near "SELCT"'),
        (["--sql", "DROP VIEW silver.readings"], 2, "sluice: DROP is not allowed: queries only read"),
        (["--sql", "FROM '/etc/passwd'"], 2, "sluice: there is no table /etc/passwd"),
        (["--sql", "SELECT status::INT FROM silver.readings"], 2, "sluice: Conversion Error: "),
        (
            ["version_mix_over_time", "--param", "every=fortnight"],
            2,
            "sluice: Invalid Input Error: every: give hour, day, week or month\n  next: give another value",
        ),
        (
            ["completeness", "--param", "hours=ten"],
            2,
            "sluice: --param: hours is 'ten', not of type integer\n  next: give a whole number, e.g. 24\n",
        ),
        (
            ["minutes", "--param", "since=2026-03-01T12:00:00"],
            2,
            "sluice: --param: since is '2026-03-01T12:00:00', not of type timestamp\n"
            "  next: give a time with its offset, e.g. 2026-01-31T12:00:00Z\n",
        ),
        (["minutes"], 3, "sluice: the lake has no table gold.readings_1min yet"),
        (["books", "--set", "lake.path=/nowhere"], 3, "sluice: there is no lake at /nowhere\n  next: start the jobs"),
        (["--sql", "SELECT 1", "--format", "xml"], 2, ""),
        (["--sql", "SELECT 1", "--limit", "-1"], 2, ""),
    ],
)
def test_what_is_wrong_is_said_on_standard_error_with_its_exit_code(
    lake: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, error: str
) -> None:
    assert run_command(["query", *arguments]) == code

    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(error)
    assert "Traceback" not in shown.err
    assert "\x1b" not in shown.err


@pytest.mark.parametrize("how", ["table", "csv", "json"])
def test_hostile_text_is_inert_on_a_terminal(lake: Path, how: str) -> None:
    sql = f"SELECT status, '{HOSTILE}' AS \"{HOSTILE}\" FROM silver.readings WHERE status IS NOT NULL"

    shown = on_a_terminal(["query", "--sql", sql, "--format", how])

    styled_header = shown.replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert set(styled_header) & {"\x1b", "\x9b", "\u202e", "\x07"} == set()
    assert shown.count("[red]x[/red]") == {"table": 3, "csv": 3, "json": 3}[how]


def test_a_plan_is_printed_line_by_line(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sql = "EXPLAIN SELECT device_id FROM silver.readings WHERE device_id = 'x'"

    assert run_command(["query", "--sql", sql]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 3
    assert [line.strip("│ ") for line in lines if "Filters" in line] == ["Filters: \"device_id\" = 'x'"]


def test_an_answer_needs_no_java_and_comes_within_seconds(lake: Path) -> None:
    command = [sys.executable, "-c", "from sluice.cli import main; main()", "query", "books", "--json"]
    environment = {**os.environ, "PATH": "/nonexistent", "JAVA_HOME": "/nonexistent"}
    started = time.monotonic()

    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)

    # Measured 0.7 s on an idle machine; the bound leaves room for a busy one.
    assert time.monotonic() - started < 5
    assert [row["rows_in"] for row in json.loads(done.stdout)] == [2, 2]


@pytest.mark.parametrize(
    ("options", "reader", "read"),
    [
        ("--format csv --sql 'FROM range(200000)'", "head -1", "range\n"),
        ("--format json --sql 'FROM range(200000)'", "head -1", '[{"range": 0},\n'),
        ("--limit 0 --sql 'FROM range(20000)'", "head -1", "range\n"),
        ("--list", "true", ""),
    ],
)
def test_a_reader_that_stops_early_is_no_error(lake: Path, options: str, reader: str, read: str) -> None:
    command = f"{sys.executable} -c 'from sluice.cli import main; main()' query {options} | {reader}"

    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False, timeout=60
    )

    assert (done.returncode, done.stdout.strip(" "), done.stderr) == (0, read, "")


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        (
            43,
            ["first_of_the_columns  second_of_the_columns", "e1                    valid", f"{'e2':<22}unknown_device"],
        ),
        (
            42,
            [
                *("first_of_the_columns   e1", "second_of_the_columns  valid", ""),
                *("first_of_the_columns   e2", "second_of_the_columns  unknown_device"),
            ],
        ),
    ],
)
def test_where_the_columns_do_not_fit_each_value_has_a_line(lake: Path, columns: int, shown: list[str]) -> None:
    sql = """SELECT event_id AS first_of_the_columns, quality_flag AS second_of_the_columns
        FROM silver.readings ORDER BY event_id"""

    text = re.sub(r"\x1b\[[0-9;]*m", "", on_a_terminal(["query", "--sql", sql], columns))

    assert [line.rstrip() for line in text.splitlines()] == shown


def on_a_terminal(arguments: list[str], columns: int = 400) -> str:
    """What a person sees: the command's output on a pseudo-terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", "from sluice.cli import main; main()", *arguments]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns)}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:
        pass  # Linux: the other end has been closed.
    finally:
        os.close(ours)
    assert process.wait(timeout=60) == 0
    return shown.decode("utf-8")

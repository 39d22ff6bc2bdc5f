"""`sluice publish` and jobs/publish.py as a user runs them: what they print, exit codes, no secret anywhere."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from tests.integration.conftest import BIN, ROOT, environment
from tests.postgres_server import PASSWORD, Server
from tests.unit.serving.lake_builder import append, at, minute
from tests.unit.serving.publish import gold_lake as gold
from tests.unit.serving.publish.gold_lake import LATEST, MINUTES, latest

from sluice.cli import run_command


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    lake = gold.gold_lake(tmp_path / "lake")
    given = gold.settings_of(lake)
    monkeypatch.setenv("SLUICE_LAKE__PATH", str(lake))
    monkeypatch.setenv("SLUICE_DEVICES__PATH", str(given.devices.path))
    monkeypatch.setenv("SLUICE_PUBLISH__PATH", str(given.publish.path))
    return lake


def settings(lake: Path, **more: object) -> dict[str, object]:
    given = gold.settings_of(lake)
    return {"lake__path": lake, "devices__path": given.devices.path, "publish__path": given.publish.path, **more}


def test_people_read_lines_and_programs_json(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["publish"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"to SQLite {lake.parent / 'store.sqlite'}"
    assert lines[2].startswith("  readings_1min: gold.readings_1min version 0: 3 upserted, 0 deleted, ")
    assert lines[2].endswith("(all rows compared: for the first time)")

    append(lake, MINUTES, [minute(at("15:00:00"))])
    assert run_command(["publish", "--once", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    seconds = told["tables"][1].pop("seconds")
    assert 0 < seconds < 60
    assert told["tables"][1] == {
        "table": "readings_1min",
        "source": MINUTES,
        "from_version": 0,
        "to_version": 1,
        "upserted": 1,
        "deleted": 0,
        "refused": 0,
        "whole": "",
    }
    assert (told["store"], told["missing"]) == (f"SQLite {lake.parent / 'store.sqlite'}", [])


def test_a_row_that_postgres_cannot_hold_stands_apart_with_its_reason_until_it_can(
    postgres: Server, lake: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SLUICE_PUBLISH_DSN", postgres.dsn())
    monkeypatch.setenv("SLUICE_PUBLISH__SCHEMA_NAME", "refusing")
    append(lake, LATEST, [latest("a\0b"), latest("fine", quality_flag="nul\0")])
    assert run_command(["publish"]) == 1
    said = capsys.readouterr()
    assert "readings_latest: gold.latest_readings version 1: 1 upserted, 0 deleted, 2 rows stand refused" in said.out
    assert "2 rows cannot be held there: they stand in sluice_refused" in said.err

    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        rows = connection.execute("SELECT * FROM refusing.sluice_refused ORDER BY row_key").fetchall()
        assert [(row[0], json.loads(row[1]), row[3]) for row in rows] == [
            ("readings_latest", ["a\0b", "temperature_celsius"], REASON),
            ("readings_latest", ["fine", "temperature_celsius"], REASON),
        ]
        assert json.loads(rows[1][2])["quality_flag"] == "nul\0"

        # A pass with nothing new keeps them, one in which a row became good takes it off.
        assert run_command(["publish"]) == 1
        delta = gold.DeltaTable(lake / "gold/latest_readings")
        delta.update(updates={"quality_flag": "'valid'"}, predicate="device_id = 'fine'")
        assert run_command(["publish"]) == 1
        assert len(connection.execute("SELECT * FROM refusing.sluice_refused").fetchall()) == 1
        # One that was good and became bad is not left there as it was.
        delta.update(updates={"quality_flag": "concat('nul', chr(0))"}, predicate="device_id = 'fine'")
        assert run_command(["publish"]) == 1
        kept = connection.execute("SELECT device_id FROM refusing.readings_latest").fetchall()
        assert kept == [("sensor-0001",)]
        delta.delete("device_id != 'sensor-0001'")
        assert run_command(["publish"]) == 0
        assert connection.execute("SELECT * FROM refusing.sluice_refused").fetchall() == []


REASON = "a text holds the character NUL, which PostgreSQL cannot store"


@pytest.mark.parametrize(
    ("variable", "value", "code", "fact"),
    [
        ("SLUICE_PUBLISH_DSN", "host=/nowhere password=canary-p4ssw0rd", 3, "/nowhere"),
        ("SLUICE_PUBLISH_DSN", "canary-p4ssw0rd", 2, "is no DSN"),
        ("SLUICE_LAKE__PATH", "/nowhere", 3, "there is no lake at /nowhere"),
        ("SLUICE_PUBLISH__PATH", "/proc/x/store.sqlite", 3, "SQLite /proc/x/store.sqlite"),
        ("SLUICE_PUBLISH__SCHEMA_NAME", "a;b", 2, "publish.schema_name"),
    ],
)
def test_what_is_not_there_is_one_line_without_a_secret(
    lake: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    value: str,
    code: int,
    fact: str,
) -> None:
    monkeypatch.setenv(variable, value)
    assert run_command(["publish"]) == code
    said = capsys.readouterr()
    first, second = said.err.splitlines()
    assert fact in first
    assert second.startswith("  next: ")
    assert "canary" not in said.out + said.err


def test_a_wrong_password_and_another_kind_of_file_are_named(
    postgres: Server, lake: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (lake.parent / "store.sqlite").write_text("no database at all, however long this text may be " * 50)
    assert run_command(["publish"]) == 1
    assert "file is not a database" in capsys.readouterr().err
    monkeypatch.setenv("SLUICE_PUBLISH_DSN", postgres.dsn().replace(PASSWORD, "canary-wrong"))
    assert run_command(["publish"]) == 3
    said = capsys.readouterr().err
    assert 'password authentication failed for user "sluice"' in said
    assert "canary" not in said


def test_a_user_without_rights_is_told_so(
    postgres: Server, lake: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute("CREATE ROLE reader LOGIN PASSWORD 'canary-p4ssw0rd'")
    monkeypatch.setenv("SLUICE_PUBLISH_DSN", postgres.dsn().replace("user=sluice", "user=reader"))
    monkeypatch.setenv("SLUICE_PUBLISH__SCHEMA_NAME", "not_for_reader")
    assert run_command(["publish"]) == 1
    assert "refuses: permission denied for database postgres" in capsys.readouterr().err


def test_a_follower_waits_for_a_database_that_is_away_and_shows_its_password_nowhere(
    postgres: Server, lake: Path
) -> None:
    dsn = postgres.new_database("away")
    secret = lake.parent / "dsn"
    secret.write_text(dsn)
    secret.chmod(0o600)
    command = [sys.executable, str(BIN / "sluice"), "publish", "--every", "0.1", "--json"]
    log = lake.parent / "log"
    with log.open("w") as errors:
        given = environment(**settings(lake, publish__dsn_path=secret))
        process = subprocess.Popen(command, env=given, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["tables"][1]["upserted"] == 3
        with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
            connection.execute("ALTER DATABASE away ALLOW_CONNECTIONS false")
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'away'")
            _await(lambda: "trying again in 2 s" in log.read_text())
            append(lake, MINUTES, [minute(at("15:00:00"))])
            connection.execute("ALTER DATABASE away ALLOW_CONNECTIONS true")
        while json.loads(process.stdout.readline())["tables"][1]["upserted"] != 1:
            pass
        arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes().decode()
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
    assert PASSWORD not in arguments + rest + log.read_text()
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT count(*) FROM sluice.readings_1min").fetchone() == (4,)


def _await(is_so: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_job_publishes_as_the_command_does_and_starts_no_java(lake: Path) -> None:
    given = {**environment(**settings(lake)), "JAVA_HOME": "/nowhere", "PATH": "/nowhere"}
    command = [sys.executable, str(ROOT / "jobs" / "publish.py")]
    assert ".venv/bin/python jobs/publish.py" in (ROOT / "jobs" / "publish.py").read_text("utf-8")
    done = subprocess.run(command, env=given, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert "readings_1min: gold.readings_1min version 0: 3 upserted" in done.stdout
    with sqlite3.connect(lake.parent / "store.sqlite") as connection:
        assert connection.execute("SELECT count(*) FROM readings_1min").fetchone() == (3,)


def test_once_and_every_exclude_each_other(lake: Path) -> None:
    assert run_command(["publish", "--once", "--every", "1"]) == 2
    assert not (lake.parent / "store.sqlite").exists()

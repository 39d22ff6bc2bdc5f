"""`sluice export` as a user runs it: by options, killed in the middle, again and again, verified."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from tests.integration.conftest import BIN, ROOT, environment
from tests.unit.serving.lake_builder import append, at, build_lake, reading

from sluice.cli import run_command

SILVER = "silver.readings"
DAYS = [timedelta(days=number) for number in range(3)]


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A reading a day for three days, each in a file of its own."""
    monkeypatch.setenv("SLUICE_LAKE__PATH", str(tmp_path / "lake"))
    monkeypatch.setenv("SLUICE_EXPORT__PATH", str(tmp_path / "out"))
    rows = [reading(place, at("12:00:00") + day, customer="acme") for place, day in enumerate(DAYS)]
    return build_lake(tmp_path / "lake", {SILVER: rows})


def exported_days(lake: Path) -> list[str]:
    return sorted(path.parts[-3] for path in (lake.parent / "out" / SILVER).glob("day=*/customer=*/part.*"))


def verified(lake: Path) -> int:
    return run_command(["export", "verify", str(lake.parent / "out")])


def await_that(is_so: Callable[[], bool], process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert process.poll() is None, "the export ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_killed_export_shows_no_half_file_and_the_next_one_completes_it(lake: Path) -> None:
    # A pipe in place of the last day's file: whoever reads it waits.
    (last,) = (lake / "silver/readings/event_date=2026-03-03").glob("*.parquet")
    aside = lake.parent / "aside"
    last.rename(aside)
    os.mkfifo(last)
    command = [str(BIN / "sluice"), "export", "--table", SILVER]
    given = environment(lake__path=lake, export__path=lake.parent / "out")
    process = subprocess.Popen(command, env=given, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        await_that(lambda: len(exported_days(lake)) == 2, process)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    finally:
        process.kill()
        process.wait()
        last.unlink()
        aside.rename(last)
    assert exported_days(lake) == ["day=2026-03-01", "day=2026-03-02"]

    assert run_command(["export", "--table", SILVER]) == 0
    assert exported_days(lake) == ["day=2026-03-01", "day=2026-03-02", "day=2026-03-03"]
    assert verified(lake) == 0


def test_a_damaged_export_is_told_by_its_exit_code(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["export", "--table", SILVER]) == 0
    assert verified(lake) == 0
    capsys.readouterr()
    (lake.parent / "out" / SILVER / "day=2026-03-02" / "customer=acme" / "part.parquet").write_bytes(b"x")

    assert verified(lake) == 1
    said = capsys.readouterr()
    assert "day=2026-03-02/customer=acme/part.parquet: 1 bytes, not" in said.out
    assert "sluice export --again" in said.err
    assert run_command(["export", "verify", str(lake.parent / "nothing")]) == 2


def test_days_are_chosen_by_their_first_and_last(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["export", "--table", SILVER, "--day", "2026-03-02", "--json"]) == 0
    (done,) = json.loads(capsys.readouterr().out)
    assert (done["table"], done["days"], done["written"], done["rows"]) == (SILVER, 1, 1, 1)
    assert run_command(["export", "--table", SILVER, "--from", "2026-03-02", "--to", "2026-03-03"]) == 0
    assert exported_days(lake) == ["day=2026-03-02", "day=2026-03-03"]


@pytest.mark.parametrize(
    ("arguments", "code", "fact"),
    [
        (["--day", "yesterday"], 2, "--day yesterday: not a date"),
        (["--day", "2026-03-01", "--to", "2026-03-02"], 2, "--day excludes --from and --to"),
        (["--from", "2026-03-02", "--to", "2026-03-01"], 2, "--from 2026-03-02 lies after --to 2026-03-01"),
        (["--table", "bronze.events"], 2, "--table bronze.events: not a table that is exported by day"),
        (["--customer", ""], 2, "--customer is empty"),
        (["--table", "gold.readings_1min"], 3, "has no table gold.readings_1min yet"),
        (["--table", SILVER, "--output", "/proc/nothing"], 2, "cannot write to /proc/nothing"),
    ],
)
def test_what_is_asked_for_wrongly_is_one_line(
    lake: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, fact: str
) -> None:
    assert run_command(["export", *arguments]) == code
    first, second = capsys.readouterr().err.splitlines()
    assert fact in first
    assert second.startswith("  next: ")


def test_an_export_that_follows_takes_up_what_comes_and_stops_when_told(lake: Path) -> None:
    out = lake.parent / "out"
    command = [str(BIN / "sluice"), "export", "--table", SILVER, "--every", "0.1", "--json"]
    given = environment(lake__path=lake, export__path=out)
    process = subprocess.Popen(command, env=given, cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())[0]["rows"] == 3
        append(lake, SILVER, [reading(9, at("12:00:00"), customer="new")])
        await_that(lambda: json.loads(process.stdout.readline())[0]["rows"] == 4, process)  # type: ignore[union-attr]
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
    assert verified(lake) == 0

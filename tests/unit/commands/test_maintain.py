"""`sluice maintain` as it is typed: what it prints, and how it exits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.tables.streamed_lake import streamed_lake

from sluice.cli import run_command
from sluice.tables.lake import Lake


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    lake = streamed_lake(tmp_path / "lake")
    monkeypatch.setenv("SLUICE_LAKE__PATH", str(lake.path))
    return lake


def test_people_get_a_line_for_each_table(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["maintain", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "a dry run: nothing was changed" in printed
    assert run_command(["maintain"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["table", "files"]
    (bronze,) = [line for line in lines if line.startswith("bronze.events")]
    assert "3 → 1" in bronze
    assert [line.split()[0] for line in lines[1:]] == [
        "bronze.events",
        "silver.readings",
        "silver.quarantine",
        "ops.silver_promotions",
        "ops.gold_promotions",
    ]


def test_programs_get_one_document(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["maintain", "--layers", "bronze", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["dry_run"] is False
    (bronze,) = answer["layers"]
    assert (bronze["layer"], bronze["done"]) == ("bronze", True)
    (table,) = bronze["tables"]
    assert {name: table[name] for name in ("table", "files_before", "files_after", "rows_removed", "refused")} == {
        "table": "bronze.events",
        "files_before": 3,
        "files_after": 1,
        "rows_removed": 0,
        "refused": [],
    }


def test_what_is_old_goes_and_is_told(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["maintain", "--layers", "bronze", "--by", "ann", "--why", "two years are enough"]
    assert run_command([*arguments, "--set", "maintain.bronze_days=1"]) == 0
    printed = capsys.readouterr().out
    assert "floor: bronze.events: iot.raw:1:0 before 6" in printed
    assert run_command(["query", "--sql", 'SELECT "by", why FROM ops.floors LIMIT 1', "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"by": "ann", "why": "two years are enough"}]


def test_what_cannot_be_done_has_an_exit_of_its_own(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (lake.path / "silver" / "readings" / "event_date=2026-03-01").glob("*.parquet"):
        path.unlink()
    assert run_command(["maintain"]) == 1
    assert "not done: maintenance of silver failed" in capsys.readouterr().err
    assert run_command(["maintain", "--layers", "lead"]) == 2
    assert run_command(["maintain", "--set", "maintain.bronze_days=0"]) == 2
    monkeypatch.setenv("SLUICE_LAKE__PATH", str(lake.path / "none"))
    assert run_command(["maintain"]) == 3
    assert "there is no lake" in capsys.readouterr().err

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.quality.docs_lake import SUITE_FILE, write_result

from sluice.cli import run_command
from sluice.errors import EXIT_DEPENDENCY, EXIT_DONE, EXIT_USAGE


def call(lake: Path, *arguments: str) -> int:
    settings = (f"--set=lake.path={lake}", f"--set=expectations.path={SUITE_FILE.parent}")
    return run_command(["docs", *arguments, *settings])


def test_a_damaged_result_is_one_line_on_stderr_and_no_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_result(tmp_path, "good", 0)
    damaged = tmp_path / "_validations/silver/damaged.json"
    damaged.write_text("[]", "utf-8")
    assert call(tmp_path, "--json") == EXIT_DONE
    told = capsys.readouterr()
    assert json.loads(told.out) == {
        "index": str(tmp_path / "_docs/index.html"),
        "promotions": 1,
        "suites": 1,
        "rendered": 2,
        "removed": 0,
        "skipped": [{"file": str(damaged), "reason": "no JSON object"}],
    }
    assert told.err == f"sluice: skipped {damaged}: no JSON object\n"


def test_a_lake_without_results_is_said_and_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "elsewhere"
    assert call(tmp_path, "--output", str(output)) == EXIT_DONE
    told = capsys.readouterr()
    assert (
        told.err == "sluice: no promotion has a stored result yet (sluice run makes them); the pages show the suites\n"
    )
    assert (output / "index.html").is_file()
    assert not (tmp_path / "_docs").exists()


def test_without_a_lake_nothing_is_built(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(tmp_path / "none") == EXIT_DEPENDENCY
    assert capsys.readouterr().err.startswith(f"sluice: there is no lake at {tmp_path / 'none'}\n  next: ")
    assert not (tmp_path / "none").exists()


def test_the_limit_is_an_option_over_the_setting(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for minute in range(3):
        write_result(tmp_path, "good", minute)
    assert call(tmp_path, "--limit", "1", "--json") == EXIT_DONE
    assert json.loads(capsys.readouterr().out)["promotions"] == 1
    assert call(tmp_path, "--set=docs.max_promotions=2", "--json") == EXIT_DONE
    assert json.loads(capsys.readouterr().out)["promotions"] == 2
    assert call(tmp_path, "--limit", "0") == EXIT_USAGE


def test_open_hands_the_index_to_the_browser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: bool(opened.append(address)))
    assert call(tmp_path, "--open") == EXIT_DONE
    assert opened == [(tmp_path / "_docs/index.html").as_uri()]
    assert "no browser could be started; open " in capsys.readouterr().err

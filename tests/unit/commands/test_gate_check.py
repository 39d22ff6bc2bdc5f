"""`sluice gate check` as it is typed, without Spark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.pipelines.test_check import keep_live, later
from tests.unit.serving.lake_builder import build_lake, promotion

from sluice import session
from sluice.cli import run_command

SHOWN = """\
silver_readings 0123456789ab on 2 promotions, 10 rows
promotion_id decided_at verdict_then verdict_now rows_in newly_refused newly_accepted flags_changed rows_otherwise \
why_now
p1 2026-03-01T12:01:00Z PROMOTE PROMOTE 5 1 0 0 3
rules (row: rows that break it; batch: promotions that fail it)
rule_id scope severity_then severity_now then now newly_broken no_longer_broken
hot row critical critical 0 2 2 0
1 promotion, 3 rows would be decided otherwise"""


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lake whose ledger is empty of batches; a Spark session would be an error."""

    def refuse(*_: Any) -> None:
        raise AssertionError("Spark was started")

    monkeypatch.setattr(session, "open_session", refuse)
    path = build_lake(tmp_path / "lake", {"ops.silver_promotions": [promotion(1, kind="approve")]})
    monkeypatch.setenv("SLUICE_LAKE__PATH", str(path))
    return path


def test_live_shows_the_promotions_that_differ_and_the_rules(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for each in (later(0, rows_otherwise=0), later(1, rows_otherwise=3)):
        keep_live(lake, each, "0123456789abcdef")

    assert run_command(["gate", "check", "--live"]) == 0

    shown = capsys.readouterr()
    assert "\n".join(" ".join(line.split()) for line in shown.out.splitlines()) == SHOWN
    assert shown.err == "note: which rows are copies is taken as it was found then\n"


def test_live_as_json_is_one_document_with_every_promotion(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for each in (later(0, rows_otherwise=0), later(1, rows_otherwise=3)):
        keep_live(lake, each, "new")

    assert run_command(["gate", "check", "--live", "--json", "--to", "2026-03-01T12:00:30Z"]) == 0

    content = json.loads(capsys.readouterr().out)
    assert [each["promotion_id"] for each in content["comparisons"]] == ["p0"]
    assert (content["promotions"], content["rows_otherwise"]) == (1, 0)
    assert content["comparisons"][0]["decided_at"] == "2026-03-01T12:00:00Z"


def test_a_suite_that_cannot_be_applied_is_an_error_before_spark_starts(
    lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.json"
    entry = {
        "type": "expect_column_values_to_be_between",
        "kwargs": {"column": "temperature", "max_value": 3},
        "severity": "critical",
        "meta": {"rule_id": "hot", "dimension": "validity"},
    }
    path.write_text(json.dumps({"name": "silver_readings", "expectations": [entry]}))

    assert run_command(["gate", "check", "--suite", str(path)]) == 2
    message = capsys.readouterr().err.splitlines()[0]
    assert message.startswith(f"sluice: {path}: rule hot: ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--from", "yesterday"], "--from yesterday: no RFC 3339 time with an offset"),
        (["--layer", "gold"], "only the gate of silver can be checked"),
        (["--live", "--suite", "x.json"], "--live shows what ran beside the gate, and takes no --suite"),
        (["--suite", "absent.json"], "cannot read the suite absent.json: No such file or directory"),
    ],
)
def test_a_wrong_option_is_named(
    lake: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert run_command(["gate", "check", *options]) == 2
    assert capsys.readouterr().err.splitlines()[0] == f"sluice: {message}"


def test_without_promotions_nothing_is_judged(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["gate", "check"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "0 promotions, 0 rows would be decided otherwise"


def test_without_a_candidate_live_says_how_to_run_one(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["gate", "check", "--live"]) == 3
    assert "sluice run --candidate FILE" in capsys.readouterr().err

"""`sluice gate ls`, `history`, `show` and `rules` as they are typed."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from tests.unit.serving.lake_builder import (
    between,
    bronze,
    build_lake,
    config,
    held,
    promotion,
    suite_text,
)

from sluice.cli import run_command
from sluice.commands.context import age_text

HOSTILE = "\x1b[31m[red]x[/red]\x9b2J\u202e"
HOT = between("hot", "temperature_celsius", -50, 100)


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """p1 promoted with a broken rule, p2 held an hour and a half ago, both of silver; its breaker is open."""
    since = datetime.now(timezone.utc) - timedelta(minutes=150)
    path = build_lake(
        tmp_path / "lake",
        {
            "silver.held": [held(1, "p2"), held(2, "p2")],
            "ops.silver_promotions": [
                promotion(
                    1, rows_in=20, rows_promoted=19, rows_quarantined=1, rule_counts=[("hot", 1)], suite_hash="s1"
                )
                | {"batch_id": 0, "score": 97.5, "gate_seconds": 0.25},
                promotion(2, rows_in=2, rows_held=2, verdict="HOLD", why=f"too many {HOSTILE}", decided_at=since)
                | {"batch_id": 1},
            ],
            "ops.configs": [config("suite", "s1", suite_text(HOT))],
        },
    )
    file = path / "_checkpoints" / "silver" / "breaker.json"
    file.parent.mkdir(parents=True)
    file.write_text('{"state": "open", "holds_in_row": 3, "opened_at": "2026-03-01T12:00:00Z", "last_batch_id": 7}')
    monkeypatch.setenv("SLUICE_LAKE__PATH", str(path))
    return path


def test_ls_shows_holds_with_their_age_and_the_breakers(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["gate", "ls"]) == 0

    header, hold, *rest = capsys.readouterr().out.splitlines()
    assert header.split() == ["promotion_id", "layer", "rows", "since", "age", "why"]
    assert hold.split()[:3] == ["p2", "silver", "2"]
    assert hold.split()[4:6] == ["2.5", "h"]
    assert rest == [
        "why: sluice gate show PROMOTION_ID",
        "breaker of silver: open since 2026-03-01T12:00:00Z, 3 holds in a row",
        "breaker of gold: closed",
    ]


def test_ls_json_has_holds_and_breakers(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["gate", "ls", "--json"]) == 0

    answer = json.loads(capsys.readouterr().out)
    (hold,) = answer["holds"]
    assert (hold["promotion_id"], hold["layer"], hold["rows"], hold["verdict"]) == ("p2", "silver", 2, "HOLD")
    assert 9000 <= hold["age_seconds"] < 9600
    assert {layer: breaker["state"] for layer, breaker in answer["breakers"].items()} == {
        "silver": "open",
        "gold": "closed",
    }


def test_ls_says_when_nothing_is_held(lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = build_lake(tmp_path / "other", {"bronze.events": [bronze(1)]})

    assert run_command(["gate", "ls", "--set", f"lake.path={other}"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "nothing is held",
        "breaker of silver: closed",
        "breaker of gold: closed",
    ]


def test_history_is_a_table_or_whole_ledger_rows(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["gate", "history"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert run_command(["gate", "history", "--layer", "silver", "--limit", "1", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)

    assert [line.split()[0] for line in lines] == ["promotion_id", "p2", "p1"]
    assert lines[2].split() == [
        *["p1", "batch", "PROMOTE", "20", "19", "1", "0", "0", "97.5", "0.25", "2026-03-01T12:00:00Z"]
    ]
    assert (row["promotion_id"], row["why"]) == ("p2", f"too many {HOSTILE}")


def test_show_says_why(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["gate", "show", "p1"]) == 0

    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "p1: PROMOTE",
        "  layer                silver",
        "  kind                 batch",
        "  decided_at           2026-03-01T12:00:00Z",
        "  score                97.5",
        "  gate_seconds         0.25",
        "  rows_in 20, rows_promoted 19, rows_quarantined 1, rows_duplicate 0, rows_held 0",
        "  critical hot: 1 rows, 5 %",
        "      expect_column_values_to_be_between(column=temperature_celsius, min_value=-50, max_value=100)",
        "  no validation result is stored for it: the rules are what the ledger counted",
        "  suite                s1",
    ]


def test_show_without_a_promotion_shows_the_rules_in_force(
    lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "suites"
    folder.mkdir()
    batch = between("share", "share_quarantined", 0, 0.5)
    (folder / "silver_readings.json").write_text(suite_text(HOT, batch))
    options = ["--set", f"expectations.path={folder}"]

    assert run_command(["gate", "show", *options]) == 0
    shown = capsys.readouterr().out
    assert run_command(["gate", "rules", *options]) == 0
    assert capsys.readouterr().out == shown
    assert run_command(["gate", "rules", "--json", *options]) == 0
    rules = json.loads(capsys.readouterr().out)

    assert [line.split()[:3] for line in shown.splitlines()] == [
        ["suite", "rule_id", "scope"],
        ["silver_readings", "hot", "row"],
        ["silver_readings", "share", "batch"],
    ]
    assert [(rule["rule_id"], rule["scope"]) for rule in rules] == [("hot", "row"), ("share", "batch")]


@pytest.mark.parametrize(
    "command", [["ls"], ["ls", "--json"], ["history"], ["show", "p2"], ["show", "p2", "--json"], ["show", HOSTILE]]
)
def test_hostile_text_is_inert(lake: Path, capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    run_command(["gate", *command])

    shown = capsys.readouterr()
    assert set(shown.out + shown.err) & {"\x1b", "\x9b", "\u202e", "\x07"} == set()


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["show", "p9"], 1, "sluice: no ledger has a promotion 'p9'\n  next: sluice gate history"),
        (["history", "--layer", "bronze"], 2, ""),
        (["history", "--limit", "-1"], 2, ""),
        (["ls", "--set", "lake.path=/nowhere"], 3, "sluice: there is no lake at /nowhere"),
    ],
)
def test_what_is_wrong_has_its_exit_code(
    lake: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, error: str
) -> None:
    assert run_command(["gate", *arguments]) == code
    assert capsys.readouterr().err.startswith(error)


def test_ages_are_written_in_the_unit_that_fits() -> None:
    assert [age_text(each) for each in (None, 0.4, 119, 120, 7199, 7200, 172_799, 172_800)] == [
        "",
        "0 s",
        "119 s",
        "2 min",
        "120 min",
        "2.0 h",
        "48.0 h",
        "2.0 d",
    ]

"""`sluice replay` as it is typed; what owners do about it is tested where there are some."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.serving.lake_builder import bronze, build_lake, promotion

from sluice.cli import run_command
from sluice.errors import EXIT_DONE, EXIT_NOT_ALL_RIGHT, EXIT_USAGE
from sluice.pipelines import replay_requests
from sluice.pipelines.replay_requests import Step
from sluice.settings import Settings
from sluice.tables.requests import Answer
from sluice.tables.spans import Buckets, Span

HOUR = ("--from", "2026-03-01T12:00:00Z", "--to", "2026-03-01T13:00:00Z")
ASKED = ("--by", "ann", "--why", "it was °F")


@pytest.fixture(autouse=True)
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = build_lake(
        tmp_path / "lake",
        {"bronze.events": [bronze(0)], "ops.silver_promotions": [promotion(1, promotion_id="silver-rebuild-7")]},
    )
    monkeypatch.setenv("SLUICE_LAKE__PATH", str(path))
    return path


def steps(monkeypatch: pytest.MonkeyPatch, *told: Step) -> list[tuple[object, ...]]:
    """Stands for the owners; what was asked of them."""
    asked: list[tuple[object, ...]] = []

    def replay_layer(settings: Settings, *arguments: object) -> list[Step]:
        asked.append(arguments)
        return list(told)

    monkeypatch.setattr(replay_requests, "replay_layer", replay_layer)
    return asked


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--layer", "silver", *ASKED), "say from where"),
        (("--layer", "silver", *HOUR), "--by and --why must say something"),
        (("--layer", "silver", *HOUR, "--by", " ", "--why", "x"), "--by and --why must say something"),
        (("--layer", "gold", "--from", "iot.raw:0:5", *ASKED), "gold has no offsets"),
        (("--layer", "silver", "--from", "today", *ASKED), "neither a time nor an offset"),
        (("--layer", "bronze", *HOUR, *ASKED), "bronze"),
        (HOUR, "layer"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_asked(
    arguments: tuple[str, ...], reason: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = steps(monkeypatch)
    assert run_command(["replay", *arguments]) == EXIT_USAGE
    assert reason in capsys.readouterr().err
    assert not asked


def test_it_asks_for_the_part_and_tells_what_became_of_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    silver = Step("silver", "silver-rebuild-7", Answer(True, "7 records replayed"), {"rows_in": 7, "rows_promoted": 6})
    gold = Step("gold", None, Answer(False, "it waits"), {})
    asked = steps(monkeypatch, silver)
    assert run_command(["replay", "--layer", "silver", *HOUR, *ASKED]) == EXIT_DONE
    assert capsys.readouterr().out == "silver: 7 records replayed\n  sluice gate show silver-rebuild-7\n"
    assert isinstance(asked[0][1], Span)
    assert (asked[0][0], *asked[0][2:]) == ("silver", "ann", "it was °F", 600.0)
    asked = steps(monkeypatch, silver, gold)
    assert run_command(["replay", "--layer", "gold", *HOUR, *ASKED, "--json"]) == EXIT_NOT_ALL_RIGHT
    out = capsys.readouterr().out
    assert '"promotion_id": "silver-rebuild-7"' in out
    assert '"rows_promoted": 6' in out
    assert isinstance(asked[0][1], Buckets)


def test_a_layer_that_has_not_run_cannot_be_replayed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["replay", "--layer", "gold", *HOUR, *ASKED]) != EXIT_DONE
    assert "has no silver.readings yet" in capsys.readouterr().err

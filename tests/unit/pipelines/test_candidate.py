"""A candidate suite beside the gate must never disturb it."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sluice.pipelines.candidate import LiveCandidate
from sluice.pipelines.rulebook import load_rulebook
from sluice.settings import Settings, load_settings
from sluice.tables.lake import Lake


def settings_with(candidate: Path | None) -> Settings:
    options = {"gate.candidate_path": str(candidate)} if candidate else {}
    return load_settings(options=options, environment={})


def work(settings: Settings, batch_id: int, kind: str = "batch") -> Any:
    return SimpleNamespace(
        promotion_id=f"silver-a-{batch_id}", kind=kind, spark=None, rulebook=load_rulebook(settings, "silver")
    )


DECISION = cast("Any", SimpleNamespace(promotion={"rows_in": 3}, facts={}))


@pytest.mark.parametrize("text", [None, "{", '{"name": "silver_readings", "expectations": []}'])
def test_a_suite_that_cannot_be_applied_is_told_once_and_disturbs_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str | None
) -> None:
    path = tmp_path / "suite.json"
    if text is not None:
        path.write_text(text)
    settings = settings_with(path)
    candidate = LiveCandidate(settings, Lake(tmp_path / "lake"))

    with caplog.at_level(logging.WARNING, "sluice"):
        for batch_id in range(3):
            candidate.record(work(settings, batch_id), cast("Any", None), DECISION)

    (record,) = caplog.records
    assert str(path) in record.getMessage()
    assert not (tmp_path / "lake").exists()


@pytest.mark.parametrize("kind", ["batch", "approve", "replay"])
def test_without_a_candidate_and_for_what_a_person_decides_nothing_is_done(tmp_path: Path, kind: str) -> None:
    settings = settings_with(None if kind == "batch" else tmp_path / "absent.json")
    LiveCandidate(settings, Lake(tmp_path)).record(work(settings, 1, kind), cast("Any", None), DECISION)

    assert list(tmp_path.iterdir()) == []

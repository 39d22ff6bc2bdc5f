"""A replay is asked for once, however often its command is typed while it, or what follows from it, waits."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.serving.lake_builder import bronze, build_lake, promotion

from sluice.errors import RequestUnanswered
from sluice.pipelines.replay import promotion_of, told
from sluice.pipelines.replay_requests import replay_layer
from sluice.schemas import REBUILD
from sluice.serving.spans import parse_span
from sluice.settings import Settings, load_settings
from sluice.tables.lake import Lake, own_layer
from sluice.tables.requests import (
    Answer,
    Request,
    answer_request,
    find_answer,
    leave_request,
    pending_requests,
    ready_requests,
)
from sluice.tables.spans import Buckets

HOUR = parse_span("2026-03-01T12:00:00Z", "2026-03-01T13:00:00Z")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    ledger = [promotion(1, promotion_id="silver-rebuild-7", kind="replay", decided_by="ann", why=f"{HOUR}: mended")]
    rows = {"bronze.events": [bronze(0)], "ops.silver_promotions": ledger, "ops.gold_promotions": []}
    path = build_lake(tmp_path / "lake", rows)
    return load_settings(options={"lake.path": str(path)}, environment={})


def ask(settings: Settings, by: str = "ann", why: str = "mended") -> None:
    with pytest.raises(RequestUnanswered, match="has not answered within"):
        replay_layer(settings, "silver", HOUR, by, why, 0.01)


def test_the_same_command_again_waits_for_the_request_that_is_there(settings: Settings) -> None:
    lake = Lake(settings.lake.path)
    with own_layer(lake, "silver"):
        ask(settings)
        ask(settings)
        (request,) = pending_requests(lake, "silver")
        assert (request.action, request.by, request.why) == (REBUILD, "ann", "mended")
        ask(settings, by="bob")
    assert len(pending_requests(lake, "silver")) == 2


def test_once_silver_is_done_the_same_command_waits_for_gold_alone(settings: Settings) -> None:
    lake = Lake(settings.lake.path)
    silver = Request("7", "silver", REBUILD, HOUR.as_text(), "ann", "mended")
    gold = Request("7", "gold", REBUILD, Buckets((), promotion_of(silver)).as_text(), "ann", "mended")
    leave_request(lake, silver)
    leave_request(lake, gold)
    assert ready_requests(lake, "gold") == []
    answer_request(lake, silver, Answer(True, "done"))
    assert ready_requests(lake, "gold") == [gold]
    with own_layer(lake, "gold"), own_layer(lake, "silver"):
        steps = replay_layer(settings, "silver", HOUR, "ann", "mended", 0.01)
        assert pending_requests(lake, "silver") == []
        ask(settings, why="something else")
    assert [(step.layer, step.promotion_id, step.answer.done) for step in steps] == [
        ("silver", "silver-rebuild-7", True),
        ("gold", None, False),
    ]


def test_a_request_that_was_answered_is_not_left_again(settings: Settings) -> None:
    lake = Lake(settings.lake.path)
    request = Request("7", "gold", REBUILD, Buckets(()).as_text(), "ann", "")
    leave_request(lake, request)
    answer_request(lake, request, Answer(True, "done"))
    leave_request(lake, request)
    assert pending_requests(lake, "gold") == []
    assert find_answer(lake, request) == Answer(True, "done")


def test_what_was_done_is_told_from_the_ledger_row() -> None:
    row = dict(promotion(1, kind="replay", rows_in=1200, rows_promoted=1000, rows_duplicate=150, rows_quarantined=50))
    assert told(row) == "1,200 records replayed: 1,000 readings, 150 duplicates, 50 in quarantine"
    beyond = {**row, "rule_counts": [("replay:beyond_range", 3)]}
    assert told(beyond).endswith("; 3 of them are copies that lie beyond the range")
    assert promotion_of(Request("7-a", "gold", REBUILD, "{}", "", "")) == "gold-rebuild-7-a"

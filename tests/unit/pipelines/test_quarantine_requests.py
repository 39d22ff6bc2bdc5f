"""A request about quarantined records is one, however often its command is typed while it waits."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.serving.lake_builder import build_lake, promotion, refused

from sluice.errors import RequestUnanswered
from sluice.pipelines.quarantine import promotion_of, told
from sluice.pipelines.quarantine_requests import decide_quarantined
from sluice.settings import Settings, load_settings
from sluice.tables.lake import Lake, own_layer
from sluice.tables.requests import Answer, Request, answer_request, pending_requests
from sluice.tables.selection import Selection, read_selection

NEW = Selection(code="UNKNOWN_VERSION")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    rows = [refused(1, "UNKNOWN_VERSION"), refused(2, "NOT_JSON", status="discarded")]
    ledger = [promotion(1, promotion_id="other", kind="replay")]
    path = build_lake(tmp_path / "lake", {"silver.quarantine": rows, "ops.silver_promotions": ledger})
    return load_settings(options={"lake.path": str(path)}, environment={})


def ask(settings: Settings, kind: str = "replay", selection: Selection = NEW, by: str = "ann") -> None:
    with pytest.raises(RequestUnanswered, match="has not answered within"):
        decide_quarantined(settings, kind, selection, by, "mended", 0.01)


def test_the_same_command_again_waits_for_the_request_that_is_there(settings: Settings) -> None:
    lake = Lake(settings.lake.path)
    with own_layer(lake, "silver"):
        for _ in range(3):
            ask(settings)
        (request,) = pending_requests(lake, "silver")
        assert (request.action, request.by, request.why) == ("replay-quarantined", "ann", "mended")
        assert read_selection(request.subject) == NEW
        ask(settings, by="bob")
        ask(settings, kind="discard")
        # While something waits, nobody knows what will be open.
        ask(settings, selection=Selection(code="NOT_JSON"))
    assert len(pending_requests(lake, "silver")) == 4


def test_the_answer_is_that_of_the_owner(settings: Settings) -> None:
    lake = Lake(settings.lake.path)
    with own_layer(lake, "silver"):
        ask(settings)
        (request,) = pending_requests(lake, "silver")
        answer_request(lake, request, Answer(False, "the suite is broken"))
        ask(settings)
        assert len(pending_requests(lake, "silver")) == 1
    assert promotion_of(request) == f"silver-replay-{request.request_id}"


def test_what_was_done_is_told_from_the_ledger_row() -> None:
    row = dict(promotion(1, kind="replay", rows_in=1200, rows_promoted=1000, rows_duplicate=150, rows_quarantined=50))
    assert told(row) == "1,200 replayed: 1,000 promoted, 150 duplicate, 50 still refused"
    assert told({**row, "kind": "discard"}).startswith("1,200 discarded: ")
    assert promotion_of(Request("7-a", "silver", "discard-quarantined", "{}", "", "")) == "silver-discard-7-a"

"""Which replays and discards certainly dealt with a quarantined record, and which of them gave it its reason."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.schemas import SILVER_HELD, SILVER_QUARANTINE
from sluice.serving.retries import judging_promotion, later_promotions

from .lake_builder import at, promotion, refused


def retry(name: str, clock: str, kind: str = "replay") -> dict[str, Any]:
    return dict(promotion(0, promotion_id=name, kind=kind, decided_at=at(clock)))


RETRIES = [
    retry("r1", "12:30:00"),
    retry("x1", "12:40:00", "discard"),
    retry("r2", "13:00:00"),
    retry("r3", "13:30:00"),
    retry("x2", "14:00:00", "discard"),
]
FIRST = {"p1": dict(promotion(1))}


def row(attempts: int, last: str, status: str = "open") -> dict[str, Any]:
    seen = {"attempts": attempts, "last_seen_at": at(last), "status": status, "promotion_id": "p1"}
    return dict(refused(1, "NOT_JSON", **seen))


@pytest.mark.parametrize(
    ("found", "later", "judged_by"),
    [
        pytest.param(row(1, "12:00:00"), [], "p1", id="never again"),
        pytest.param(row(2, "12:30:00"), ["r1"], "r1", id="once"),
        pytest.param(row(4, "13:30:00"), ["r1", "r2", "r3"], "r3", id="by all there were"),
        pytest.param(row(3, "13:30:00"), ["r3"], "r3", id="by some, of which the last is known"),
        pytest.param(row(1, "14:00:00", "discarded"), ["x2"], "p1", id="discarded at once"),
        pytest.param(row(4, "14:00:00", "discarded"), ["r1", "r2", "r3", "x2"], "r3", id="discarded after all"),
        pytest.param(row(2, "14:00:00", "discarded"), ["x2"], None, id="discarded after one that is not known"),
        pytest.param(row(2, "12:30:00", "replayed"), ["r1"], "r1", id="let in by another later"),
        pytest.param(row(1, "12:00:00") | {"last_seen_at": None}, [], "p1", id="times unknown"),
    ],
)
def test_what_is_certain_is_told_and_nothing_else(found: dict[str, Any], later: list[str], judged_by: str) -> None:
    assert [each["promotion_id"] for each in later_promotions(found, RETRIES)] == later
    decided = judging_promotion(SILVER_QUARANTINE, found, FIRST, RETRIES)
    assert (decided and decided["promotion_id"]) == judged_by


def test_a_row_of_another_table_was_judged_by_the_promotion_it_names() -> None:
    assert judging_promotion(SILVER_HELD, {"promotion_id": "p1"}, FIRST, RETRIES) is FIRST["p1"]
    assert judging_promotion(SILVER_HELD, {"promotion_id": None}, FIRST, RETRIES) is None

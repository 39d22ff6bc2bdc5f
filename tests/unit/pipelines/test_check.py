"""Which promotions are compared, and what a suite beside the gate has recorded of them."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from sluice.pipelines.check import Check, Stored, Window, read_live, read_stored
from sluice.pipelines.comparison import Comparison, RuleChange

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
RULES = (RuleChange("hot", "row", "critical", "critical", 0, 1, 1, 0),)
DECIDED = Comparison("p0", NOON, "s1", "PROMOTE", "PROMOTE", "", 5, 5, 1, 0, 0, 1, RULES)


def later(minutes: int, rows_otherwise: int = 1) -> Comparison:
    return replace(
        DECIDED,
        promotion_id=f"p{minutes}",
        decided_at=NOON + timedelta(minutes=minutes),
        rows_otherwise=rows_otherwise,
    )


def keep_live(lake: Path, comparison: Comparison, suite_hash: str) -> None:
    content = {**asdict(comparison), "decided_at": comparison.decided_at.isoformat()}
    meta = {"suite": "silver_readings", "suite_hash": suite_hash, "comparison": content}
    folder = lake / "_validations" / "silver-candidate"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{comparison.promotion_id}.json").write_text(json.dumps({"meta": meta}))


@pytest.mark.parametrize(
    ("window", "minutes"),
    [
        (Window(), [0, 1, 2, 3]),
        (Window(limit=2), [2, 3]),
        (Window(limit=0), [0, 1, 2, 3]),
        (Window(since=NOON + timedelta(minutes=1)), [1, 2, 3]),
        (Window(until=NOON + timedelta(minutes=1)), [0, 1]),
        (Window(NOON + timedelta(minutes=1), NOON + timedelta(minutes=2), 1), [2]),
    ],
)
def test_a_window_takes_the_newest_between_both_ends_inclusive(window: Window, minutes: list[int]) -> None:
    rows = [{"decided_at": (NOON + timedelta(minutes=each)).replace(tzinfo=None), "at": each} for each in range(4)]

    assert [row["at"] for row in window.newest(rows)] == minutes


def test_what_ran_beside_the_gate_is_read_back_as_it_was_recorded(tmp_path: Path) -> None:
    for each in (later(1), later(0)):
        keep_live(tmp_path, each, "new")

    assert read_live(tmp_path, Window()) == Check("silver_readings", "new", (later(0), later(1)))


def test_results_of_another_candidate_and_damaged_ones_are_left_out_and_told(tmp_path: Path) -> None:
    for each, digest in ((later(0), "old"), (later(1), "new"), (later(2), "new")):
        keep_live(tmp_path, each, digest)
    (tmp_path / "_validations" / "silver-candidate" / "broken.json").write_text("{")

    notes = (
        "1 older results of other texts of a candidate are not shown",
        "1 files are no results and are not shown",
    )
    assert read_live(tmp_path, Window(limit=1)) == Check("silver_readings", "new", (later(2),), notes)


def test_without_a_candidate_there_is_nothing_to_read(tmp_path: Path) -> None:
    assert read_live(tmp_path, Window()) is None


def test_of_a_stored_result_facts_and_failed_rules_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "_validations" / "silver"
    folder.mkdir(parents=True)
    results = [
        {"success": success, "expectation_config": {"meta": {"rule_id": name}}}
        for name, success in (("kept", True), ("broken", False))
    ]
    (folder / "p0.json").write_text(json.dumps({"results": results, "meta": {"facts": {"rows_in": 5}}}))
    (folder / "p1.json").write_text("{}")

    assert read_stored(tmp_path, "p0") == Stored({"rows_in": 5}, frozenset({"broken"}))
    assert read_stored(tmp_path, "p1") == read_stored(tmp_path, "p2") == Stored({}, None)


def test_the_answer_for_programs_adds_up() -> None:
    found = Check("silver_readings", "new", (later(0, rows_otherwise=0), later(1, rows_otherwise=3)), ("a note",))

    content = found.as_json()
    assert {name: content[name] for name in content if name not in ("comparisons", "rules")} == {
        "suite": "silver_readings",
        "suite_hash": "new",
        "promotions": 2,
        "rows": 10,
        "promotions_otherwise": 1,
        "rows_otherwise": 3,
        "notes": ["a note"],
    }
    assert content["rules"] == [asdict(RuleChange("hot", "row", "critical", "critical", 0, 2, 2, 0))]

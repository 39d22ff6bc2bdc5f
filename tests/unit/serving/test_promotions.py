"""What the readers of the gates say of promotions, holds and breakers, against small lakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sluice.errors import PromotionUnknown
from sluice.serving.files import TableFiles
from sluice.serving.lake import open_lake
from sluice.serving.promotions import (
    Breaker,
    Hold,
    explain_promotion,
    open_holds,
    promotions_about,
    read_breaker,
    read_history,
)

from .lake_builder import ask, at, between, bronze, build_lake, config, held, minute, promotion, reading, suite_text

HOT = between("temperature_possible", "temperature_celsius", -50, 100)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """p2 of silver holds two rows of three, g1 of gold one minute; p9 holds a row and has no ledger row yet."""
    path = build_lake(
        tmp_path_factory.mktemp("promotions") / "lake",
        {
            "silver.held": [
                held(1, "p2"),
                held(2, "p2"),
                held(3, "p2", status="approved"),
                held(4, "p9"),
                held(5, "p7", status="rejected"),
            ],
            "gold.held": [
                minute(at("12:00:00"), promotion_id="g1", status="open"),
                minute(at("12:01:00"), promotion_id="g1", status="superseded"),
            ],
            "ops.silver_promotions": [
                promotion(
                    1,
                    rows_in=200,
                    rule_counts=[("temperature_possible", 3), ("NOT_JSON", 4), ("unknown_field:x", 1)],
                    suite_hash="s1",
                    decided_at=at("12:01:00"),
                    batch_id=0,
                ),
                promotion(2, verdict="HOLD", rows_held=3, why="too many", decided_at=at("12:30:00"), batch_id=1)
                | {"docs_page": "_docs/p2.html"},
                promotion(3, kind="approve", parent_promotion_id="p2", decided_at=at("12:45:00")),
                promotion(4, kind="replay", parent_promotion_id="p2", decided_at=at("12:46:00")),
            ],
            "ops.gold_promotions": [
                promotion(0, promotion_id="g1", layer="gold", verdict="HOLD", decided_at=at("12:10:00"))
            ],
            "ops.configs": [config("suite", "s1", suite_text(HOT))],
        },
    )
    store_result(path, "silver", "p2")
    return path


def store_result(path: Path, layer: str, promotion_id: str) -> None:
    rule = {**HOT, "meta": {"rule_id": "share_quarantined_bounded", "dimension": "validity"}}
    failed = {
        "success": False,
        "expectation_config": rule,
        "result": {
            "element_count": 3,
            "unexpected_count": 2,
            "unexpected_percent": 66.667,
            "partial_unexpected_list": [500.0],
        },
        "exception_info": {"raised_exception": False, "exception_message": None},
    }
    broken = {
        "success": False,
        "expectation_config": HOT,
        "result": {},
        "exception_info": {"('m', 'c')": {"raised_exception": True, "exception_message": "no such column"}},
    }
    content = {
        "success": False,
        "results": [{"success": True, "expectation_config": HOT, "result": {}}, failed, broken],
        "meta": {"promotion_id": promotion_id, "facts": {"share_quarantined": 0.9}},
    }
    folder = path / "_validations" / layer
    folder.mkdir(parents=True)
    (folder / f"{promotion_id}.json").write_text(json.dumps(content))


def test_open_holds_are_those_with_open_rows_the_oldest_first(lake: Path) -> None:
    assert open_holds(open_lake(lake)) == [
        Hold("gold", "g1", 1, at("12:10:00"), "batch", "HOLD", None),
        Hold("silver", "p2", 2, at("12:30:00"), "batch", "HOLD", "too many"),
        Hold("silver", "p9", 1, None, None, None, None),
    ]


def test_the_ready_made_query_gives_the_same_holds(lake: Path) -> None:
    names = ("layer", "promotion_id", "rows_open", "held_since", "kind", "verdict", "why")

    assert [Hold(*(row[name] for name in names)) for row in ask(lake, "open_holds")] == open_holds(open_lake(lake))


def test_a_lake_without_held_tables_holds_nothing(tmp_path: Path) -> None:
    lake = build_lake(tmp_path, {"bronze.events": [bronze(1)]})

    assert open_holds(open_lake(lake)) == []
    assert read_history(open_lake(lake)) == []
    assert ask(lake, "open_holds") == []


def test_history_is_the_newest_first_of_one_layer_or_both(lake: Path) -> None:
    def ids(layer: str | None, limit: int) -> list[str]:
        return [row["promotion_id"] for row in read_history(open_lake(lake), layer, limit)]

    assert ids(None, 0) == ["p4", "p3", "p2", "g1", "p1"]
    assert ids(None, 2) == ["p4", "p3"]
    assert ids("gold", 20) == ["g1"]


def test_promotions_about_a_row_are_its_own_and_the_decisions_about_them(lake: Path) -> None:
    def ids(about: set[str], minutes: set[str]) -> list[str]:
        found = promotions_about(TableFiles(open_lake(lake)), about, {at(moment) for moment in minutes})
        return [row["promotion_id"] for row in found]

    assert ids({"p2"}, set()) == ["p2", "p3"]
    assert ids({"p1"}, {"12:10:00", "12:30:00"}) == ["p1", "g1"]
    assert ids(set(), {"12:10:00"}) == ["g1"]
    assert ids(set(), set()) == []


def test_a_promotion_with_a_stored_result_shows_what_it_measured(lake: Path) -> None:
    found = explain_promotion(open_lake(lake), "p2")

    first, second = found.rules
    assert first == {
        "rule_id": "share_quarantined_bounded",
        "dimension": "validity",
        "type": HOT["type"],
        "kwargs": HOT["kwargs"],
        "severity": "critical",
        "description": HOT["description"],
        "count": 2,
        "share_percent": 66.667,
        "examples": [500.0],
        "observed": None,
        "error": None,
    }
    assert (second["rule_id"], second["count"], second["error"]) == ("temperature_possible", None, "no such column")
    assert (found.facts, found.open_rows, found.has_result) == ({"share_quarantined": 0.9}, 2, True)


def test_a_promotion_without_a_stored_result_shows_what_the_ledger_counted(lake: Path) -> None:
    found = explain_promotion(open_lake(lake), "p1")

    assert [(rule["rule_id"], rule["severity"], rule["count"], rule["share_percent"]) for rule in found.rules] == [
        ("NOT_JSON", None, 4, 2.0),
        ("temperature_possible", "critical", 3, 1.5),
        ("unknown_field:x", None, 1, 0.5),
    ]
    assert (found.facts, found.open_rows, found.has_result, found.page) == ({}, 0, False, None)


def test_a_page_is_absolute_once_it_is_built(lake: Path) -> None:
    before = explain_promotion(open_lake(lake), "p2").page
    page = lake / "_docs" / "p2.html"
    page.parent.mkdir()
    page.touch()

    assert (before, explain_promotion(open_lake(lake), "p2").page) == ("_docs/p2.html", str(page))


def test_a_hold_whose_ledger_row_is_missing_is_shown_all_the_same(lake: Path) -> None:
    found = explain_promotion(open_lake(lake), "p9")

    assert (found.promotion["promotion_id"], found.promotion["layer"], found.open_rows) == ("p9", "silver", 1)
    assert found.promotion["verdict"] is None


@pytest.mark.parametrize("promotion_id", ["p99", "", "../silver/p2", "p2' OR 'x'='x"])
def test_an_unknown_promotion_is_an_error(lake: Path, promotion_id: str) -> None:
    with pytest.raises(PromotionUnknown, match="no ledger has a promotion"):
        explain_promotion(open_lake(lake), promotion_id)


@pytest.mark.parametrize("text", ["{", "[]", '{"results": 1}', '{"results": [1]}', '{"results": [{"success": false}]}'])
def test_a_damaged_result_does_not_hide_the_promotion(tmp_path: Path, text: str) -> None:
    lake = build_lake(
        tmp_path, {"ops.silver_promotions": [promotion(1)], "silver.readings": [reading(1, at("12:00:00"))]}
    )
    folder = lake / "_validations" / "silver"
    folder.mkdir(parents=True)
    (folder / "p1.json").write_text(text)

    assert explain_promotion(open_lake(lake), "p1").promotion["verdict"] == "PROMOTE"


def test_a_breaker_is_closed_until_its_file_says_otherwise(tmp_path: Path) -> None:
    file = tmp_path / "_checkpoints" / "silver" / "breaker.json"
    file.parent.mkdir(parents=True)
    absent = read_breaker(tmp_path, "silver")
    file.write_text('{"state": "open", "holds_in_row": 3, "opened_at": "2026-03-01T12:00:00Z", "last_batch_id": 7}')
    opened = read_breaker(tmp_path, "silver")
    damaged = []
    for text in ("", "[]", "{}", '{"state": "open", "holds_in_row": "many"}'):
        file.write_text(text)
        damaged.append(read_breaker(tmp_path, "silver").state)

    assert absent == Breaker("silver", "closed")
    assert opened == Breaker("silver", "open", 3, "2026-03-01T12:00:00Z", 7)
    assert damaged == ["unreadable"] * 4

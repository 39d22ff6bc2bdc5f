from __future__ import annotations

import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from sluice.errors import CheckpointLost
from sluice.tables.decisions import Decision, Decisions


def decision(batch_id: int = 7, *, table_version: int = 3, **odd: Any) -> Decision:
    promotion = {
        "promotion_id": f"silver-g-{batch_id}",
        "kind": "batch",
        "batch_id": batch_id,
        "verdict": "PROMOTE",
        "suite_hash": "s",
        "decided_at": datetime(2024, 1, 1, 12, tzinfo=timezone.utc),
        **odd,
    }
    return Decision(table_version, promotion, {"rows_in": 5}, {"state": "closed"})


def test_a_decision_that_was_kept_is_found_and_no_other(tmp_path: Path) -> None:
    decisions = Decisions(tmp_path)
    assert decisions.find("silver-g-7") is None
    decisions.keep(decision(7))
    assert Decisions(tmp_path).find("silver-g-7") == decision(7)
    assert decisions.find("silver-g-8") is None


def test_a_decision_may_be_kept_again(tmp_path: Path) -> None:
    decisions = Decisions(tmp_path)
    decisions.keep(decision(7))
    decisions.keep(decision(7, table_version=4))
    assert decisions.find("silver-g-7") == decision(7, table_version=4)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"table_version": 7}', "\x00\x00"])
def test_a_damaged_decision_is_an_error_and_never_a_new_decision(tmp_path: Path, text: str) -> None:
    decisions = Decisions(tmp_path)
    decisions.keep(decision(7))
    (tmp_path / "decisions" / "silver-g-7.json").write_text(text)
    with pytest.raises(CheckpointLost, match=r"decisions/silver-g-7.json is damaged") as lost:
        decisions.find("silver-g-7")
    assert lost.value.hint


def test_the_last_decisions_are_kept_and_old_ones_go(tmp_path: Path) -> None:
    decisions = Decisions(tmp_path)
    for batch_id in range(70):
        decisions.keep(decision(batch_id))
        # Each a second after the one before it, also on a disk that counts in seconds.
        os.utime(tmp_path / "decisions" / f"silver-g-{batch_id}.json", (batch_id, batch_id))
    assert [batch_id for batch_id in range(70) if decisions.find(f"silver-g-{batch_id}")] == list(range(10, 70))


def test_a_text_is_kept_under_its_hash_and_never_overwritten(tmp_path: Path) -> None:
    decisions = Decisions(tmp_path)
    decisions.keep_text("suite", "abc", "first, ü")
    decisions.keep_text("suite", "abc", "second")
    decisions.keep_text("contract", "abc", "third")
    assert decisions.find_text("suite", "abc") == "first, ü"
    assert decisions.find_text("contract", "abc") == "third"


def test_a_text_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointLost, match="suite-abc, under which a batch was decided, is gone"):
        Decisions(tmp_path).find_text("suite", "abc")


def test_the_latest_decisions_are_those_about_earlier_batches_of_their_kind(tmp_path: Path) -> None:
    decisions = Decisions(tmp_path)
    for batch_id in (11, 9, 10, 12):
        decisions.keep(decision(batch_id))
    decisions.keep(decision(8, kind="approve"))
    assert [each.promotion["batch_id"] for each in decisions.latest("batch", 12, 2)] == [10, 11]


def test_the_kept_texts_are_listed_with_the_moment_they_were_kept(tmp_path: Path) -> None:
    decisions = Decisions(tmp_path)
    decisions.keep_text("suite", "ab-c", "text")
    os.utime(tmp_path / "configs" / "suite-ab-c", (1_700_000_000, 1_700_000_000))
    assert decisions.texts() == {("suite", "ab-c"): datetime(2023, 11, 14, 22, 13, 20, tzinfo=timezone.utc)}

"""What a day's counts become, and which rows of the table say something new."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from sluice.pipelines.rulebook import load_rulebook
from sluice.pipelines.scores import DailyScores
from sluice.schemas import GOLD_QUALITY_SCORES
from sluice.serving.day_counts import DayCount
from sluice.serving.lake import OpenLake
from sluice.settings import Settings, load_settings
from sluice.tables.delta import current_version
from sluice.tables.lake import Lake
from sluice.tables.rows import create_table, replace_days
from sluice.testing import day, utc

FIRST, SECOND = day(2024, 1, 1), day(2024, 1, 2)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(options={"lake.path": str(tmp_path / "lake")}, environment={})


@pytest.fixture
def scores(settings: Settings) -> DailyScores:
    create_table(Lake(settings.lake.path), GOLD_QUALITY_SCORES)
    made = DailyScores(settings, load_rulebook(settings, "silver"))
    made._devices = {"a": ("acme", 50.0)}
    return made


def row(scores: DailyScores, counted: DayCount, covered: datetime | None) -> dict[str, Any]:
    return scores._scored(counted, covered)


def test_scores_stand_with_what_they_are_made_of(scores: DailyScores) -> None:
    covered = utc(2024, 1, 2, 12)
    # Half of the second day is covered, of the third nothing.
    odd = {"quarantined": 96, "out_of_range": 96, "duplicates": 40, "inconsistent": 96}
    whole = DayCount(FIRST, "a", readings=864, judged=960, **odd)
    assert row(scores, whole, covered) == {
        **{"day": FIRST, "customer": "acme", "device_id": "a", "completeness": 0.5},
        **{"validity": pytest.approx(0.808), "uniqueness": 0.96, "timeliness": 1.0, "consistency": 0.9},
        **{"score": pytest.approx(83.36), "band": "warning", "received": 1000, "readings": 864, "expected": 1728.0},
        **{"quarantined": 96, "out_of_range": 96, "duplicates": 40, "judged": 960, "late": 0, "inconsistent": 96},
    }
    half = row(scores, DayCount(SECOND, "a", readings=864, late=432, judged=864), covered)
    assert (half["expected"], half["completeness"], half["timeliness"], half["score"]) == (864.0, 1.0, 0.5, 90.0)
    ahead = row(scores, DayCount(day(2024, 1, 3), "a", readings=1, judged=1), covered)
    assert (ahead["expected"], ahead["completeness"], ahead["score"], ahead["band"]) == (0.0, None, 100.0, "good")
    stranger = row(scores, DayCount(FIRST, "stranger", readings=1, judged=1), covered)
    assert (stranger["customer"], stranger["expected"], stranger["completeness"]) == (None, None, None)
    nobody = row(scores, DayCount(FIRST, "(unreadable)", quarantined=2), covered)
    assert {name: nobody[name] for name in ("validity", "uniqueness", "timeliness", "consistency", "score")} == {
        **{"validity": 0.0, "uniqueness": 1.0, "timeliness": None, "consistency": None, "score": 50.0}
    }


def test_nothing_is_expected_where_no_kafka_timestamp_is_known(scores: DailyScores) -> None:
    found = row(scores, DayCount(FIRST, "a", duplicates=1), None)
    assert (found["completeness"], found["expected"], found["score"]) == (None, None, 50.0)


def test_without_a_rule_of_consistency_none_is_counted(scores: DailyScores) -> None:
    scores._consistency = []
    found = row(scores, DayCount(FIRST, "a", readings=1, judged=1), None)
    assert (found["consistency"], found["inconsistent"]) == (None, None)


def test_a_row_that_says_what_it_said_keeps_its_time(settings: Settings, scores: DailyScores) -> None:
    lake, old, third = Lake(settings.lake.path), utc(2024, 1, 1, 1), day(2024, 1, 3)
    same, other = DayCount(FIRST, "a", readings=1, judged=1), DayCount(FIRST, "b", readings=2, judged=2)
    quiet, gone = DayCount(SECOND, "a", duplicates=1), DayCount(third, "a", duplicates=3)
    known = [
        {**row(scores, same, None), "updated_at": old},
        {**row(scores, other, None), "score": 90.0, "updated_at": old},
        {**row(scores, quiet, None), "updated_at": old},
        {**row(scores, gone, None), "updated_at": old},
    ]
    replace_days(known, lake, GOLD_QUALITY_SCORES, [FIRST, SECOND, third])
    days = [FIRST, SECOND, third]
    assert scores._write(OpenLake(lake), days, [same, other, quiet], None) == [FIRST, third]
    found = {(each["day"], each["device_id"]): each for each in OpenLake(lake).arrow("gold.quality_scores").to_pylist()}
    assert set(found) == {(FIRST, "a"), (FIRST, "b"), (SECOND, "a")}
    assert {key for key, each in found.items() if each["updated_at"] == old} == {(FIRST, "a"), (SECOND, "a")}
    assert found[FIRST, "b"]["score"] == row(scores, other, None)["score"]
    before = current_version(lake, GOLD_QUALITY_SCORES)
    assert scores._write(OpenLake(lake), days, [same, other, quiet], None) == []
    assert current_version(lake, GOLD_QUALITY_SCORES) == before


def test_the_counts_are_columns_of_the_table() -> None:
    assert set(DayCount._fields) <= set(GOLD_QUALITY_SCORES.column_names)

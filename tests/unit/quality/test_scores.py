"""The arithmetic of scores, and the worked example of docs/scores.md."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sluice.quality.scores import Counts, band_of, score_of
from sluice.settings import home


def counts(**odd: Any) -> Counts:
    """100 readings of a device that nothing was expected of, all of them good."""
    fine = {"received": 100, "readings": 100, "expected": None, "quarantined": 0, "out_of_range": 0, "duplicates": 0}
    return Counts(**{**fine, "timed": 100, "late": 0, "judged": 100, "inconsistent": None, **odd})


def tables() -> list[list[list[str]]]:
    """The worked example's tables as rows of cells, without heads."""
    text = (home() / "docs" / "scores.md").read_text("utf-8").split("## A worked example")[1].split("\n## ")[0]
    found = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    return [[[cell.strip() for cell in line.strip("|").split("|")] for line in each.splitlines()[2:]] for each in found]


def test_the_worked_example_of_the_docs_comes_out_as_it_says() -> None:
    given, results = tables()
    values = {name: int(value.replace(",", "")) for name, value in given}
    expected = {name: value for name, _, value in results}
    score = score_of(Counts(**values, timed=values["readings"]))
    assert values["received"] == values["readings"] + values["quarantined"] + values["duplicates"]
    assert {name: value if name == "band" else float(value) for name, value in expected.items()} == {
        name: value if name == "band" else pytest.approx(value, abs=1e-12)
        for name in expected
        for value in [getattr(score, name)]
    }
    for name, how, value in results[:-1]:
        left = eval(how.replace(",", ""), {"__builtins__": {}})  # noqa: S307 (arithmetic of our own docs)
        assert left == pytest.approx(float(value), abs=1e-12), name


def test_a_dimension_nothing_is_known_of_takes_no_part() -> None:
    score = score_of(counts(duplicates=10))
    assert (score.completeness, score.consistency, score.uniqueness) == (None, None, 0.9)
    assert score.score == pytest.approx(100 * (1 + 0.9 + 1) / 3)
    empty = score_of(counts(received=0, readings=0, timed=0, judged=0))
    assert (empty.score, empty.band) == (None, None)


def test_more_than_expected_is_complete_and_no_share_is_below_zero() -> None:
    score = score_of(counts(expected=50.0, quarantined=80, out_of_range=80))
    assert (score.completeness, score.validity) == (1.0, 0.0)
    assert score_of(counts(expected=0.0)).completeness is None


@pytest.mark.parametrize(
    ("score", "band"),
    [
        (100.0, "good"),
        (95.0001, "good"),
        (95.0, "warning"),
        (80.0, "warning"),
        (79.9999, "critical"),
        (0.0, "critical"),
    ],
)
def test_bands_end_where_the_docs_say(score: float, band: str) -> None:
    assert band_of(score) == band

"""Robust scores of hand-made series."""

from __future__ import annotations

import numpy as np
import pytest

from sluice.alerting.watching.robust import robust_scores


def last_score(*values: float) -> float:
    minutes = np.arange(len(values), dtype=np.int64)
    return float(robust_scores(minutes, np.array(values), len(values) - 1, len(values), 3)[0])


def test_a_score_is_the_distance_from_the_median_in_robust_deviations() -> None:
    assert last_score(1.0, 2.0, 3.0, 4.0, 5.0, 9.0) == pytest.approx(6 / 1.4826)


def test_against_equal_values_another_one_is_infinitely_far_and_the_same_is_not() -> None:
    assert last_score(20.0, 20.0, 20.0, 21.0) == np.inf
    assert last_score(20.0, 20.0, 20.0, 20.0) == 0
    assert last_score(0.0, 0.0, 0.0, 1e-12) == np.inf


def test_the_last_digits_of_means_are_no_difference() -> None:
    apart = float(np.nextafter(20.1, 21))
    assert last_score(20.1, 20.1, 20.1, apart) == 0
    assert last_score(20.1, apart, 20.1, apart, 20.1 + 4 * (apart - 20.1)) == 0
    assert last_score(20.1, apart, 20.1, apart, 21.0) == np.inf


def test_too_few_values_have_no_score() -> None:
    assert np.isnan(last_score(1.0, 2.0, 9.0))

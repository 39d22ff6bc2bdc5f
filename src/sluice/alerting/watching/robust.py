"""Robust z-scores of a series: how far a value lies from the median of those before it.

The scale is 1.4826 times the median absolute deviation, which is the standard deviation where values are normally
distributed (Rousseeuw and Croux 1993, Alternatives to the Median Absolute Deviation, section 1).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAD_TO_STANDARD_DEVIATION = 1.4826
# Of the median: closer values are the same, since means of equal readings differ in their last digits.
ROUNDING = 1e-9

Times = NDArray[np.int64]
Values = NDArray[np.float64]


def robust_scores(minutes: Times, values: Values, first: int, window_minutes: int, min_minutes: int) -> Values:
    """|value - median| in robust standard deviations, of each value from the place `first` on.

    Args:
        minutes: when each value was, in whole minutes, rising.
        window_minutes: the values of so many minutes before one, without itself, are what it is compared with.
        min_minutes: with fewer of them there is no score.

    Returns:
        One score for each value from `first` on; NaN where there are too few values, infinity where all values
        before are the same and this one is another, 0 where this one is the same. Values that differ by less than
        ROUNDING of the median are the same.
    """
    begins = np.searchsorted(minutes, minutes - window_minutes)
    scores = np.full(len(values) - first, np.nan)
    for place in range(first, len(values)):
        before = values[begins[place] : place]
        if len(before) < min_minutes:
            continue
        median = np.median(before)
        scale = MAD_TO_STANDARD_DEVIATION * np.median(np.abs(before - median))
        distance, nothing = abs(values[place] - median), ROUNDING * abs(median)
        scores[place - first] = distance / scale if scale > nothing else (np.inf if distance > nothing else 0.0)
    return scores


def long_enough(minutes: Times, beyond: NDArray[np.bool_], for_minutes: int) -> NDArray[np.bool_]:
    """Where a run of true values has lasted for so many minutes, counting the first and the last."""
    lasting = np.zeros(len(beyond), dtype=bool)
    began: int | None = None
    for place, is_beyond in enumerate(beyond):
        if not is_beyond:
            began = None
            continue
        if began is None:
            began = int(minutes[place])
        lasting[place] = minutes[place] - began >= for_minutes - 1
    return lasting

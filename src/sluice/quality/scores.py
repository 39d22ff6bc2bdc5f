"""Quality as numbers: five dimensions from counts, their mean as a score, its band.

Pure arithmetic on counts (docs/scores.md has a worked example); a dimension nothing is known of is None and
does not take part in the score.
"""

from __future__ import annotations

from dataclasses import dataclass

from sluice.schemas import CRITICAL, GOOD, GOOD_ABOVE, WARNING, WARNING_FROM


@dataclass(frozen=True)
class Counts:
    """What a score is made of, for one promotion, or one device's day.

    Attributes:
        received: records, unreadable ones and duplicates too.
        readings: events promoted.
        expected: readings that registered devices should have sent; None where unknown.
        quarantined: records refused.
        out_of_range: promoted readings outside a registered range.
        duplicates: dropped copies.
        timed: events whose delay is known.
        late: of these, how many reached Kafka later than silver.late_after_seconds after they were measured.
        judged: events that the rules have seen.
        inconsistent: of these, how many break a rule of the dimension consistency; None if there is no such rule.
    """

    received: int
    readings: int
    expected: float | None
    quarantined: int
    out_of_range: int
    duplicates: int
    timed: int
    late: int
    judged: int
    inconsistent: int | None


@dataclass(frozen=True)
class Score:
    """The five dimensions, each a share from 0 to 1 or None, and their mean as 0–100."""

    completeness: float | None
    validity: float | None
    uniqueness: float | None
    timeliness: float | None
    consistency: float | None

    @property
    def score(self) -> float | None:
        """The mean of those dimensions that are known, 0–100; None where none is."""
        dimensions = (self.completeness, self.validity, self.uniqueness, self.timeliness, self.consistency)
        known = [value for value in dimensions if value is not None]
        return 100.0 * sum(known) / len(known) if known else None

    @property
    def band(self) -> str | None:
        """good above 95, warning from 80, critical below; None without a score."""
        return None if self.score is None else band_of(self.score)


def band_of(score: float) -> str:
    """The band of a score."""
    if score > GOOD_ABOVE:
        return GOOD
    return WARNING if score >= WARNING_FROM else CRITICAL


def score_of(counts: Counts) -> Score:
    """completeness = readings / expected (at most 1); validity = 1 - (quarantined + out_of_range) / received;
    uniqueness = 1 - duplicates / received; timeliness = 1 - late / timed; consistency = 1 - inconsistent / judged.
    """
    return Score(
        completeness=min(1.0, counts.readings / counts.expected) if counts.expected else None,
        validity=_without(counts.quarantined + counts.out_of_range, counts.received),
        uniqueness=_without(counts.duplicates, counts.received),
        timeliness=_without(counts.late, counts.timed),
        consistency=_without(counts.inconsistent, counts.judged),
    )


def _without(part: int | None, whole: int) -> float | None:
    return max(0.0, 1.0 - part / whole) if whole and part is not None else None

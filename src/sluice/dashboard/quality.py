"""The quality score of the newest day, over the chosen devices."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from sluice.dashboard.rows import select
from sluice.schemas import CRITICAL, DIMENSIONS, GOLD_QUALITY_SCORES, GOOD, GOOD_ABOVE, WARNING, WARNING_FROM
from sluice.serving.lake import OpenLake


@dataclass(frozen=True)
class Quality:
    """One day's score over several devices.

    Attributes:
        score: 0–100: the devices' scores, each weighted by the records received of it; None where no device has one.
        dimensions: share 0–1 of each, weighted likewise; None where it is not known of any device.
        devices: how many devices have a score.
    """

    day: date
    score: float | None
    dimensions: dict[str, float | None]
    devices: int

    @property
    def band(self) -> str | None:
        """good, warning or critical, by the limits of the devices' own bands."""
        if self.score is None:
            return None
        return GOOD if self.score > GOOD_ABOVE else WARNING if self.score >= WARNING_FROM else CRITICAL


def read_quality(lake: OpenLake, devices: tuple[str, ...] | None, until: datetime) -> Quality | None:
    """The newest day with scores, not after the one of `until`; None where none has any."""
    if GOLD_QUALITY_SCORES.full_name not in lake.tables():
        return None
    averages = ", ".join(
        f"sum({name} * received) / nullif(sum(received) FILTER ({name} IS NOT NULL), 0) AS {name}"
        for name in ("score", *DIMENSIONS)
    )
    chosen = "" if devices is None else "AND device_id IN (SELECT unnest($devices))"
    sql = f"""SELECT day, count(score) AS devices, {averages} FROM gold.quality_scores
        WHERE day <= $until {chosen} GROUP BY day ORDER BY day DESC LIMIT 1"""  # noqa: S608 (our own names)
    found = select(lake, sql, {"until": until.date()}, devices)
    if not found:
        return None
    day = found[0]
    return Quality(day["day"], day["score"], {name: day[name] for name in DIMENSIONS}, day["devices"])

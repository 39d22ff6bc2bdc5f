"""The quality report of one day as values: totals, score, devices, reasons, broken rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from sluice.quality.scores import Score


@dataclass(frozen=True)
class Totals:
    """Records and readings of the day.

    Attributes:
        received: promoted + quarantined + duplicates.
        out_of_range, late: of the promoted ones.
        held: records of refused batches that wait for a person; None for one customer, for they have not been read.
        held_minutes: gold's minutes that wait.
    """

    received: int
    promoted: int
    quarantined: int
    duplicates: int
    out_of_range: int
    late: int
    held: int | None
    held_minutes: int


@dataclass(frozen=True)
class DeviceDay:
    """What one device sent, and how good that was; without a score where gold has not counted it yet."""

    device_id: str
    customer: str | None
    received: int
    promoted: int
    quarantined: int
    duplicates: int
    out_of_range: int
    late: int
    score: float | None
    band: str | None


@dataclass(frozen=True)
class BrokenRule:
    """A row rule, and how often it was broken.

    Attributes:
        promoted: readings that were promoted nevertheless.
        quarantined: records refused for it, or for another with it.
    """

    rule_id: str
    promoted: int
    quarantined: int
    devices: int


@dataclass(frozen=True)
class Report:
    """The quality of one day, of all customers or of one.

    Attributes:
        made_at: UTC.
        score: from the sums of gold/quality_scores; None where they have nothing of the day yet.
        score_is_current: whether those scores were made of what is counted here.
        scored_at: when the newest of them was written; UTC.
        device_count: devices with a name, which is more than `devices` lists.
        devices: the worst first.
        quarantined_by_code, rules: the most frequent first.
    """

    day: date
    customer: str | None
    made_at: datetime
    totals: Totals
    score: Score | None
    score_is_current: bool
    scored_at: datetime | None
    device_count: int
    devices: tuple[DeviceDay, ...]
    quarantined_by_code: Mapping[str, int]
    rules: tuple[BrokenRule, ...]


def notes(report: Report) -> list[str]:
    """What a reader must know of the score, a line each."""
    if report.score is None:
        return ["gold has not scored this day yet: its job does so every gold.scores_every_seconds"]
    if not report.score_is_current:
        return ["the scores are older than the counts: gold's job brings them up to date"]
    return []


def devices_line(report: Report) -> str:
    """How many devices there are, and how many rows are listed."""
    listed = len(report.devices)
    devices = f"{report.device_count:,} device{'' if report.device_count == 1 else 's'}"
    return f"{devices}; {listed:,} row{'' if listed == 1 else 's'} listed"

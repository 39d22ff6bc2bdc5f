"""gold/quality_scores, kept beside the micro-batches of gold: days in which silver changed are counted anew, whole.

Which days those are is told by the logs of silver's tables since the versions counted last, which a file in gold's
checkpoint folder names. It is written after the table: a death between the two repeats work that changes nothing. Days
of which retention has taken rows keep the scores they had.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from sluice.pipelines.rulebook import Rulebook, load_rulebook
from sluice.pipelines.schedule import Schedule
from sluice.quality.scores import Counts, score_of
from sluice.schemas import DIMENSIONS, GOLD_QUALITY_SCORES
from sluice.serving.day_counts import DAY_COLUMNS, DayCount, DayCounts, Days, days_with_scores, scores_of
from sluice.serving.lake import OpenLake
from sluice.settings import Settings
from sluice.tables.changes import changed_days
from sluice.tables.delta import current_version
from sluice.tables.floors import first_whole_day
from sluice.tables.lake import Lake, write_atomically
from sluice.tables.rows import replace_days

logger = logging.getLogger("sluice")
_ALL = (*DAY_COLUMNS, GOLD_QUALITY_SCORES)


@dataclass(frozen=True)
class Counted:
    """What the scores were made of last.

    Attributes:
        versions: by table's full name; of silver's tables as they were read, of the scores as they were left.
        covered_until: the newest Kafka timestamp known (UTC), never later than the clock was; None before the first.
    """

    versions: Mapping[str, int]
    covered_until: datetime | None


def open_scores(settings: Settings) -> DailyScores:
    """What keeps gold/quality_scores under the registry and suite as they are now.

    Raises:
        ContractInvalid, RegistryInvalid, SuiteInvalid: the rulebook cannot be applied whole.
    """
    return DailyScores(settings, load_rulebook(settings, "silver"))


class DailyScores:
    """Keeps gold/quality_scores; owned by gold's job.

    Args:
        rulebook: of silver; a change of it counts for days that are touched afterwards.
        clock: seconds that only rise.
    """

    def __init__(self, settings: Settings, rulebook: Rulebook, clock: Callable[[], float] = time.monotonic) -> None:
        self._lake = Lake(settings.lake.path)
        self._late_after_seconds = settings.silver.late_after_seconds
        self._devices = {
            device.device_id: (device.customer, device.expected_interval_seconds)
            for device in rulebook.registry.devices
        }
        rules = rulebook.suite.row_rules
        self._consistency = [rule.rule_id for rule in rules if rule.dimension == "consistency"]
        self._schedule = Schedule(settings.gold.scores_every_seconds, clock)

    def is_due(self, has_ended: bool) -> bool:
        """Whether it is time again; at the end of a drain it always is."""
        return self._schedule.is_due(has_ended)

    def bring_up_to_date(self) -> list[date]:
        """Counts and scores what silver's tables changed since the last time; the days whose rows were written."""
        self._schedule.begin()
        written = self._update()
        took = self._schedule.end()
        if written:
            logger.info("gold   quality scores of %s up to date (%.1f s)", _named(written), took)
        return written

    def _update(self) -> list[date]:
        if not all(self._lake.has_table(table) for table in DAY_COLUMNS):
            return []
        seen = self._recall()
        versions = {table.full_name: current_version(self._lake, table) for table in DAY_COLUMNS}
        before = current_version(self._lake, GOLD_QUALITY_SCORES)
        if seen and seen.versions == {**versions, GOLD_QUALITY_SCORES.full_name: before}:
            return []
        touched = self._touched(seen, versions, before) if seen else None
        days = Days(touched, self._first_whole_day())
        opened = OpenLake(self._lake)
        counts = DayCounts(opened, versions, days, self._consistency, self._late_after_seconds)
        covered = self._covered_until(seen, counts.newest_kafka_micros())
        written = []
        for portion in counts.portions(days_with_scores(opened, days)):
            written += self._write(opened, portion, counts.of(portion), covered)
        versions[GOLD_QUALITY_SCORES.full_name] = current_version(self._lake, GOLD_QUALITY_SCORES)
        self._remember(Counted(versions, covered))
        return written

    def _touched(self, seen: Counted, versions: Mapping[str, int], before: int) -> set[date] | None:
        """The days to count anew; None for all of them, where the logs no longer say."""
        if before < seen.versions[GOLD_QUALITY_SCORES.full_name]:
            return None
        days: set[date] = set()
        for table, column in DAY_COLUMNS.items():
            name = table.full_name
            found = changed_days(self._lake, table, column, seen.versions[name], versions[name])
            if found is None:
                return None
            days |= found
        if seen.covered_until:
            # More may be expected of that day by now, and of the next, which clocks that run ahead have reached.
            today = seen.covered_until.date()
            days |= {today, today + timedelta(days=1)}
        return days

    def _first_whole_day(self) -> date | None:
        found = [first_whole_day(self._lake, table, column) for table, column in DAY_COLUMNS.items()]
        return max(filter(None, found), default=None)

    def _covered_until(self, seen: Counted | None, newest: int | None) -> datetime | None:
        known = [seen.covered_until] if seen and seen.covered_until else []
        if newest is not None:
            # A producer may stamp its records as it likes; nothing is expected of the future.
            seconds = max(0.0, min(newest / 1e6, time.time()))
            known.append(datetime.fromtimestamp(seconds, timezone.utc))
        return max(known, default=None)

    def _write(self, lake: OpenLake, days: list[date], counts: list[DayCount], covered: datetime | None) -> list[date]:
        """Writes the scores of those days whose rows say something new; a row that says what it said stays as it is."""
        now, known = datetime.now(timezone.utc), scores_of(lake, days)
        rows = {(count.day, count.device_id): self._scored(count, covered) for count in counts}
        fresh = {key: {**row, "updated_at": now} for key, row in rows.items()}
        same = {key for key, row in fresh.items() if key in known and {**known[key], "updated_at": now} == row}
        changed = {day for day, _ in (fresh.keys() | known.keys()) - same}
        if changed:
            kept = {**fresh, **{key: known[key] for key in same}}
            rows_of_days = [row for (day, _), row in kept.items() if day in changed]
            replace_days(rows_of_days, self._lake, GOLD_QUALITY_SCORES, changed)
        return sorted(changed)

    def _scored(self, count: DayCount, covered: datetime | None) -> dict[str, Any]:
        """A row of gold/quality_scores, without `updated_at`."""
        customer, interval = self._devices.get(count.device_id, (None, None))
        counts = Counts(
            received=count.readings + count.quarantined + count.duplicates,
            readings=count.readings,
            expected=_seconds_covered(count.day, covered) / interval if covered and interval else None,
            quarantined=count.quarantined,
            out_of_range=count.out_of_range,
            duplicates=count.duplicates,
            timed=count.readings,
            late=count.late,
            judged=count.judged,
            inconsistent=count.inconsistent if self._consistency else None,
        )
        score = score_of(counts)
        return {
            **count._asdict(),
            "customer": customer,
            **{name: getattr(score, name) for name in (*DIMENSIONS, "score", "band")},
            "received": counts.received,
            "expected": counts.expected,
            "inconsistent": counts.inconsistent,
        }

    def _recall(self) -> Counted | None:
        """What was counted last; None, and so everything anew, where that is not known."""
        try:
            content = json.loads(self._path.read_text("utf-8"))
            covered = content["covered_until"]
            moment = datetime.fromisoformat(covered) if covered else None
            versions = {table.full_name: int(content["versions"][table.full_name]) for table in _ALL}
            return Counted(versions, moment)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _remember(self, counted: Counted) -> None:
        covered = counted.covered_until.isoformat() if counted.covered_until else None
        content = {"versions": dict(counted.versions), "covered_until": covered}
        write_atomically(self._path, json.dumps(content, indent=1) + "\n")

    @property
    def _path(self) -> Path:
        return self._lake.checkpoint_path("gold") / "scores.json"


def _seconds_covered(day: date, until: datetime) -> float:
    """How much of a UTC day has passed at a moment."""
    passed = until - datetime(day.year, day.month, day.day, tzinfo=timezone.utc)
    return min(max(passed, timedelta(0)), timedelta(days=1)) / timedelta(seconds=1)


def _named(days: list[date]) -> str:
    return f"{days[0]}" if len(days) == 1 else f"{len(days):,} days"

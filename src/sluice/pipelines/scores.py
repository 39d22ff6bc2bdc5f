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

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from sluice.pipelines.kept import Keeper, kept_in_memory
from sluice.pipelines.rulebook import Rulebook, load_rulebook, registry_frame
from sluice.schemas import GOLD_QUALITY_SCORES, SILVER_DUPLICATES, SILVER_QUARANTINE, SILVER_READINGS
from sluice.settings import Settings
from sluice.tables.changes import changed_days
from sluice.tables.delta import current_version, read_table, replace_days
from sluice.tables.floors import first_whole_day
from sluice.tables.lake import Lake, write_atomically
from sluice.transforms.scores import carry_over, count_days, on_days, score_days

logger = logging.getLogger("sluice")
# The column that says which day a row belongs to.
_DAY_COLUMNS = {SILVER_READINGS: "event_date", SILVER_QUARANTINE: "kafka_timestamp", SILVER_DUPLICATES: "event_time"}
_ALL = (*_DAY_COLUMNS, GOLD_QUALITY_SCORES)
# Counting may take at most this part of the time.
_GREATEST_SHARE = 0.1


@dataclass(frozen=True)
class Counted:
    """What the scores were made of last.

    Attributes:
        versions: by table's full name; of silver's tables as they were read, of the scores as they were left.
        covered_until: the newest Kafka timestamp known (UTC), never later than the clock was; None before the first.
    """

    versions: Mapping[str, int]
    covered_until: datetime | None


@dataclass(frozen=True)
class Days:
    """The days that are counted anew.

    Attributes:
        some: None for all of them.
        since: none before that one; None for no such limit.
    """

    some: set[date] | None
    since: date | None

    def hold(self, column: str, *, is_date: bool) -> Column:
        """Whether a column, a date or a timestamp, lies in one of them."""
        if self.some is None:
            return F.lit(True) if self.since is None else F.col(column) >= F.lit(self.since)
        wanted = {day for day in self.some if self.since is None or day >= self.since}
        return F.col(column).isin(sorted(wanted)) if is_date else on_days(column, wanted)


def open_scores(spark: SparkSession, settings: Settings) -> DailyScores:
    """What keeps gold/quality_scores under the registry and suite as they are now.

    Raises:
        ContractInvalid, RegistryInvalid, SuiteInvalid: the rulebook cannot be applied whole.
    """
    return DailyScores(spark, settings, load_rulebook(settings, "silver"))


class DailyScores:
    """Keeps gold/quality_scores; owned by gold's job.

    Args:
        rulebook: of silver; a change of it counts for days that are touched afterwards.
        clock: seconds that only rise.
    """

    def __init__(
        self, spark: SparkSession, settings: Settings, rulebook: Rulebook, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._spark = spark
        self._lake = Lake(settings.lake.path)
        self._late_after_seconds = settings.silver.late_after_seconds
        self._every_seconds = settings.gold.scores_every_seconds
        self._registry = registry_frame(spark, rulebook.registry)
        rules = rulebook.suite.row_rules
        self._consistency = [rule.rule_id for rule in rules if rule.dimension == "consistency"]
        self._clock = clock
        self._due_at = clock() + self._every_seconds

    def is_due(self, has_ended: bool) -> bool:
        """Whether it is time again; at the end of a drain it always is."""
        return has_ended or self._clock() >= self._due_at

    def bring_up_to_date(self) -> list[date]:
        """Counts and scores what silver's tables changed since the last time; the days whose rows were written."""
        began = self._clock()
        written = self._update()
        took = self._clock() - began
        self._due_at = self._clock() + max(self._every_seconds, took / _GREATEST_SHARE)
        if written:
            logger.info("gold   quality scores of %s up to date (%.1f s)", _named(written), took)
        return written

    def _update(self) -> list[date]:
        if not all(self._lake.has_table(table) for table in _DAY_COLUMNS):
            return []
        seen = self._recall()
        versions = {table.full_name: current_version(self._lake, table) for table in _DAY_COLUMNS}
        before = current_version(self._lake, GOLD_QUALITY_SCORES)
        if seen and seen.versions == {**versions, GOLD_QUALITY_SCORES.full_name: before}:
            return []
        touched = self._touched(seen, versions, before) if seen else None
        days = Days(touched, self._first_whole_day())
        with kept_in_memory() as keeper:
            counts = keeper.settle(self._count(versions, days))
            covered = self._covered_until(seen, counts)
            written = self._write(counts, covered, days, keeper)
        versions[GOLD_QUALITY_SCORES.full_name] = current_version(self._lake, GOLD_QUALITY_SCORES)
        self._remember(Counted(versions, covered))
        return written

    def _touched(self, seen: Counted, versions: Mapping[str, int], before: int) -> set[date] | None:
        """The days to count anew; None for all of them, where the logs no longer say."""
        if before < seen.versions[GOLD_QUALITY_SCORES.full_name]:
            return None
        days: set[date] = set()
        for table, column in _DAY_COLUMNS.items():
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
        found = [first_whole_day(self._lake, table, column) for table, column in _DAY_COLUMNS.items()]
        return max(filter(None, found), default=None)

    def _count(self, versions: Mapping[str, int], days: Days) -> DataFrame:
        frames = []
        for table, column in _DAY_COLUMNS.items():
            frame = read_table(self._spark, self._lake, table, versions[table.full_name])
            frames.append(frame.where(days.hold(column, is_date=column == table.partition_by)))
        readings, quarantine, duplicates = frames
        return count_days(readings, quarantine, duplicates, self._consistency, self._late_after_seconds)

    def _covered_until(self, seen: Counted | None, counts: DataFrame) -> datetime | None:
        newest = counts.agg(F.max("newest_kafka_micros")).collect()[0][0]
        known = [seen.covered_until] if seen and seen.covered_until else []
        if newest is not None:
            # A producer may stamp its records as it likes; nothing is expected of the future.
            seconds = max(0.0, min(newest / 1e6, time.time()))
            known.append(datetime.fromtimestamp(seconds, timezone.utc))
        return max(known, default=None)

    def _write(self, counts: DataFrame, covered: datetime | None, days: Days, keeper: Keeper) -> list[date]:
        now = datetime.now(timezone.utc)
        fresh = score_days(counts, self._registry, covered, now, has_consistency=bool(self._consistency))
        known = read_table(self._spark, self._lake, GOLD_QUALITY_SCORES).where(days.hold("day", is_date=True))
        rows = keeper.settle(carry_over(fresh, known))
        changed = sorted(row["day"] for row in rows.where("is_changed").select("day").distinct().collect())
        if changed:
            there = rows.where(F.col("received").isNotNull() & F.col("day").isin(changed))
            replace_days(there.drop("is_changed"), self._lake, GOLD_QUALITY_SCORES, changed)
        return changed

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


def _named(days: list[date]) -> str:
    return f"{days[0]}" if len(days) == 1 else f"{len(days):,} days"

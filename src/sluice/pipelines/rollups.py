"""gold/readings_1hour and gold/readings_1day, kept beside the micro-batches of gold: changed days are rolled up anew.

Which days those are is told by the logs of gold/readings_1min and gold/alerts since the versions covered last, which a
file in gold's checkpoint folder names. Days that come out otherwise are replaced, hours in one commit and days in
another; a death on the way repeats work that changes nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from datetime import date, datetime, timezone

from sluice.pipelines.schedule import Schedule
from sluice.schemas import GOLD_ALERTS, GOLD_READINGS_1MIN, ROLLUP_MINUTES, SILVER_READINGS, Table
from sluice.serving.lake import OpenLake
from sluice.serving.rollups import MOST_ROWS, RollUps, portions, rows_by_day
from sluice.settings import Settings
from sluice.tables.changes import changed_days
from sluice.tables.coverage import ABSENT, ROLLUPS, Coverage, read_coverage, write_coverage
from sluice.tables.delta import current_version
from sluice.tables.lake import Lake
from sluice.tables.rows import replace_days

logger = logging.getLogger("sluice")
# What tells that a day changed, by the column that dates it. Readings do not: one that matters changes a minute.
_SOURCES = {GOLD_READINGS_1MIN: "bucket_date", GOLD_ALERTS: "first_event_time"}


def open_rollups(settings: Settings) -> HoursAndDays:
    """What keeps the hours and days of gold."""
    return HoursAndDays(Lake(settings.lake.path), settings.gold.scores_every_seconds)


class HoursAndDays:
    """Keeps gold/readings_1hour and gold/readings_1day; owned by gold's job.

    Args:
        clock: seconds that only rise.
    """

    def __init__(self, lake: Lake, every_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._lake = lake
        self._schedule = Schedule(every_seconds, clock)

    def is_due(self, has_ended: bool) -> bool:
        """Whether it is time again; at the end of a drain it always is."""
        return self._schedule.is_due(has_ended)

    def bring_up_to_date(self) -> list[date]:
        """Rolls up what changed since the last time; the days of which rows were written."""
        self._schedule.begin()
        written = sorted(self._update())
        took = self._schedule.end()
        if written:
            named = f"{written[0]}" if len(written) == 1 else f"{len(written):,} days"
            logger.info("gold   hours and days of %s up to date (%.1f s)", named, took)
        return written

    def _update(self) -> set[date]:
        if not all(self._lake.has_table(table) for table in (*ROLLUP_MINUTES, GOLD_READINGS_1MIN, SILVER_READINGS)):
            return set()
        covered = read_coverage(self._lake, ROLLUPS)
        # Before a reading is looked at: what comes into silver meanwhile changes minutes later.
        sources = {table.full_name: self._version(table) for table in _SOURCES}
        before = self._own_versions()
        if covered and covered.versions == {**sources, **before}:
            return set()
        lake = OpenLake(self._lake)
        touched = self._touched(covered, sources, before) if covered else None
        rows = rows_by_day(lake, GOLD_READINGS_1MIN, sources[GOLD_READINGS_1MIN.full_name])
        readings = rows_by_day(lake, SILVER_READINGS)
        sizes = {day: max(rows.get(day, 0), readings.get(day, 0)) for day in {*rows, *readings}}
        if touched is None:
            touched = set(rows).union(*(rows_by_day(lake, table) for table in ROLLUP_MINUTES))
        written: set[date] = set()
        for portion in portions(touched, sizes):
            written |= self._write(lake, sources, portion, sum(sizes.get(day, 0) for day in portion))
        write_coverage(self._lake, ROLLUPS, Coverage({**sources, **self._own_versions()}))
        return written

    def _touched(self, covered: Coverage, sources: Mapping[str, int], before: Mapping[str, int]) -> set[date] | None:
        """The days to roll up anew; None for all of them, where the logs no longer say."""
        days: set[date] = set()
        # Its own tables too: what a death left half done, or was restored by hand, is made right.
        for table, column in (*_SOURCES.items(), *((each, each.partition_by) for each in ROLLUP_MINUTES)):
            after, upto = covered.versions.get(table.full_name, ABSENT), {**sources, **before}[table.full_name]
            found = changed_days(self._lake, table, column, after, upto)
            if found is None:
                return None
            days |= found
        return days

    def _write(self, lake: OpenLake, sources: Mapping[str, int], days: list[date], rows: int) -> set[date]:
        """Writes of some days what is new; the days that this were.

        Args:
            rows: how many there are to work on.
        """
        rolled_up = RollUps(lake, sources, days, max(1, -(-rows // MOST_ROWS)))
        now, written = datetime.now(timezone.utc), set[date]()
        for table in ROLLUP_MINUTES:
            changed, fresh = rolled_up.changes(table, now)
            if changed:
                replace_days(fresh, self._lake, table, changed)
                written |= set(changed)
        return written

    def _own_versions(self) -> dict[str, int]:
        return {table.full_name: current_version(self._lake, table) for table in ROLLUP_MINUTES}

    def _version(self, table: Table) -> int:
        return current_version(self._lake, table) if self._lake.has_table(table) else ABSENT

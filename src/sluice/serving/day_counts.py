"""The tables of silver counted per day and device, which is what daily quality scores are made of."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset

from sluice.schemas import (
    GOLD_QUALITY_SCORES,
    OUT_OF_RANGE,
    QUARANTINE_COUNTED,
    SILVER_DUPLICATES,
    SILVER_QUARANTINE,
    SILVER_READINGS,
    STAGES,
    UNREADABLE_DEVICE,
    Table,
)
from sluice.serving.lake import OpenLake
from sluice.tables.reading import connect

# The column that says which day a row belongs to.
DAY_COLUMNS = {SILVER_READINGS: "event_date", SILVER_QUARANTINE: "kafka_timestamp", SILVER_DUPLICATES: "event_time"}
_READ: Mapping[Table, tuple[str, ...]] = {
    SILVER_READINGS: ("event_date", "device_id", "quality_flag", "failed_rules", "event_time", "kafka_timestamp"),
    SILVER_QUARANTINE: ("device_id", "status", "stage", "failed_rules", "kafka_timestamp"),
    SILVER_DUPLICATES: ("device_id", "event_time"),
}
_RULES = STAGES[1]
_EPOCH = date(1970, 1, 1)
_LAST_DAY = (date.max - _EPOCH).days
_DAY_MICROS = 86_400_000_000
# Rows of scores that are handled together, at least a day.
_PORTION = 200_000

_COUNT = f"""
CREATE TEMP TABLE counts AS
WITH counted AS (
    SELECT event_date AS day, device_id, true AS readings, false AS quarantined,
           quality_flag = $out_of_range AS out_of_range, false AS duplicates, true AS judged,
           event_time < kafka_timestamp::HUGEINT - $late_after_micros AS late,
           list_has_any(failed_rules, $rules) AS inconsistent, kafka_timestamp AS kafka
    FROM readings
    UNION ALL
    SELECT {{day_of_kafka_timestamp}}, device_id, false, true, false, false, stage = $judging,
           false, list_has_any(failed_rules, $rules), kafka_timestamp
    FROM quarantine WHERE list_contains($statuses, status)
    UNION ALL
    SELECT {{day_of_event_time}}, device_id, false, false, false, true, false, false, false, NULL
    FROM duplicates
)
SELECT day, coalesce(device_id, '{UNREADABLE_DEVICE}') AS device_id, {{counts}}, max(kafka) AS kafka
FROM counted WHERE $every_day OR list_contains($days, day) GROUP BY ALL
"""  # noqa: S608 (our own names)


class DayCount(NamedTuple):
    """What one device's day holds, as the columns of gold/quality_scores are named."""

    day: date
    device_id: str
    readings: int = 0
    quarantined: int = 0
    out_of_range: int = 0
    duplicates: int = 0
    judged: int = 0
    late: int = 0
    inconsistent: int = 0


@dataclass(frozen=True)
class Days:
    """The days that are counted anew.

    Attributes:
        some: None for all of them.
        since: none before that one; None for no such limit.
    """

    some: Collection[date] | None = None
    since: date | None = None

    @property
    def wanted(self) -> list[date] | None:
        """The days, rising; None where only `since` limits them."""
        return (
            None if self.some is None else sorted(day for day in self.some if self.since is None or day >= self.since)
        )

    def chosen(self, column: str, *, is_date: bool) -> pc.Expression | None:
        """What every row of these days fulfils, told so that files are left out; None where that is nothing."""
        wanted, field = self.wanted, pc.field(column)
        if wanted is None:
            return None if self.since is None else self._from(field, self.since, is_date=is_date)
        if is_date:
            return field.isin(pa.array(wanted, pa.date32()))
        if not wanted:
            return pc.scalar(False)
        # `_day_of` moves what lies outside of its range, and null, to the first and the last day.
        if wanted[0] == _EPOCH:
            return None
        after = self._from(field, wanted[0], is_date=False)
        return after if wanted[-1] == date.max else after & (field < _midnight(wanted[-1] + timedelta(days=1)))

    @staticmethod
    def _from(field: pc.Expression, first: date, *, is_date: bool) -> pc.Expression:
        return field >= (first if is_date else _midnight(first))


def _midnight(day: date) -> pa.Scalar:
    return pa.scalar(datetime(day.year, day.month, day.day, tzinfo=timezone.utc), pa.timestamp("us", "UTC"))


def _day_of(micros: str) -> str:
    """SQL for the UTC date of a time, from 1970-01-01, which null has too, to 9999-12-31."""
    number = f"least(greatest(coalesce({micros} // {_DAY_MICROS}, 0), 0), {_LAST_DAY})"
    return f"DATE '{_EPOCH}' + {number}::INTEGER"


class DayCounts:
    """Whole days of silver's tables, counted per device when it is made.

    A quarantined record has no event time: its day is that of its Kafka timestamp. One that was replayed since is left
    out, being counted where it went.

    Args:
        versions: by full name, of silver's three tables.
        consistency_rules: ids of the suite's row rules of that dimension.
    """

    def __init__(
        self,
        lake: OpenLake,
        versions: Mapping[str, int],
        days: Days,
        consistency_rules: Iterable[str],
        late_after_seconds: float,
    ) -> None:
        self._connection = connect()
        for table in DAY_COLUMNS:
            scanner = _scan(lake, table, versions[table.full_name], days)
            self._connection.register(table.name, scanner)
        wanted = days.wanted
        columns = {f"day_of_{name}": _day_of(name) for name in ("kafka_timestamp", "event_time")}
        counts = ", ".join(f"count(*) FILTER ({name}) AS {name}" for name in DayCount._fields[2:])
        self._connection.execute(
            _COUNT.format(**columns, counts=counts),
            {
                "out_of_range": OUT_OF_RANGE,
                "late_after_micros": round(late_after_seconds * 1e6),
                "rules": list(consistency_rules),
                "judging": _RULES,
                "statuses": list(QUARANTINE_COUNTED),
                "every_day": wanted is None,
                "days": wanted or [],
            },
        )
        for table in DAY_COLUMNS:
            self._connection.unregister(table.name)
        if days.since is not None:
            self._connection.execute("DELETE FROM counts WHERE day < $1", [days.since])

    def newest_kafka_micros(self) -> int | None:
        """The newest Kafka timestamp of readings and refused records; None where there are none."""
        newest: int | None = self._all("SELECT max(kafka) FROM counts")[0][0]
        return newest

    def portions(self, also: Iterable[date] = ()) -> list[list[date]]:
        """The days that were counted, rising, in portions that fit into memory.

        Args:
            also: days that belong to it though nothing was counted there.
        """
        sizes = dict.fromkeys(also, 0) | dict(self._all("SELECT day, count(*) FROM counts GROUP BY day"))
        portions: list[list[date]] = []
        rows = _PORTION
        for day in sorted(sizes):
            if rows + sizes[day] > _PORTION:
                portions.append([])
                rows = 0
            portions[-1].append(day)
            rows += sizes[day]
        return portions

    def of(self, days: Iterable[date]) -> list[DayCount]:
        """What was counted on some days."""
        listed = ", ".join(DayCount._fields)
        sql = f"SELECT {listed} FROM counts WHERE list_contains($1, day) ORDER BY day, device_id"  # noqa: S608 (our own names)
        return [DayCount(*row) for row in self._all(sql, [list(days)])]

    def _all(self, sql: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, parameters or []).fetchall()


def _scan(lake: OpenLake, table: Table, version: int, days: Days) -> pyarrow.dataset.Scanner:
    day = DAY_COLUMNS[table]
    # As numbers: DuckDB takes the last moment that 64 bits hold for infinity.
    columns = {name: _as_number(table, name) for name in _READ[table]}
    chosen = days.chosen(day, is_date=day == table.partition_by)
    return lake.dataset(table.full_name, version).scanner(columns=columns, filter=chosen)


def _as_number(table: Table, name: str) -> pc.Expression:
    field = pc.field(name)
    return field.cast(pa.int64()) if dict(table.columns)[name] == "timestamp" else field


def scores_of(lake: OpenLake, days: Collection[date]) -> dict[tuple[date, str], dict[str, Any]]:
    """The rows of gold/quality_scores on some days, by day and device."""
    chosen = Days(days).chosen("day", is_date=True)
    rows = lake.dataset(GOLD_QUALITY_SCORES.full_name).to_table(filter=chosen).to_pylist()
    return {(row["day"], row["device_id"]): row for row in rows}


def days_with_scores(lake: OpenLake, days: Days) -> set[date]:
    """The days on which gold/quality_scores has rows, among the given ones."""
    chosen = days.chosen("day", is_date=True)
    found = lake.dataset(GOLD_QUALITY_SCORES.full_name).to_table(columns=["day"], filter=chosen)
    return set(found["day"].unique().to_pylist())

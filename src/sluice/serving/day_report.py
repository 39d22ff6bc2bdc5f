"""Makes the quality report of one day: what came in, where it went, its score, and what was wrong.

Counts come from silver's tables as they are, scores from gold/quality_scores, which follow a little later. A
quarantined record has no event time: as for the scores, its day is that of its Kafka timestamp.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timezone
from typing import Any

import duckdb

from sluice.errors import NothingToReport
from sluice.quality.scores import Counts, Score, score_of
from sluice.schemas import GOLD_QUALITY_SCORES, HELD_OPEN, HELD_TABLES, QUARANTINE_COUNTED, STAGES, UNREADABLE_DEVICE
from sluice.serving.day_counts import DAY_COLUMNS, DayCount, DayCounts, Days, scores_of
from sluice.serving.empty_tables import empty_view
from sluice.serving.lake import OpenLake
from sluice.serving.report import BrokenRule, DeviceDay, Report, Totals
from sluice.tables.reading import connect

_RULES = STAGES[1]
_OF_DAY = "kafka_timestamp >= $day::DATE AND kafka_timestamp < $day::DATE + 1"
_OF_DEVICES = "($devices IS NULL OR device_id IN (SELECT unnest($devices)))"
_REFUSED = f"silver.quarantine WHERE list_contains($counted, status) AND {_OF_DAY} AND {_OF_DEVICES}"
_BY_CODE = f"SELECT error_code, count(*) FROM {_REFUSED} GROUP BY ALL ORDER BY 2 DESC, 1"  # noqa: S608 (our own names)
_WORST_RULES = f"""
WITH broken AS (
    SELECT unnest(failed_rules) AS rule_id, device_id, true AS promoted
    FROM silver.readings WHERE event_date = $day::DATE AND len(failed_rules) > 0 AND {_OF_DEVICES}
    UNION ALL
    SELECT unnest(failed_rules), device_id, false FROM {_REFUSED} AND stage = $judging
)
SELECT rule_id, count(*) FILTER (promoted), count(*) FILTER (NOT promoted), count(DISTINCT device_id)
FROM broken GROUP BY rule_id ORDER BY count(*) DESC, rule_id LIMIT $most
"""  # noqa: S608 (our own names)
_CUSTOMERS = "SELECT device_id, max(customer) FROM silver.readings WHERE event_date = $day::DATE GROUP BY device_id"
_HELD = f"SELECT count(*) FROM silver.held WHERE status = $open AND {_OF_DAY}"  # noqa: S608 (our own names)
_HELD_MINUTES = (
    "SELECT count(*) FROM gold.held WHERE status = $open AND bucket >= $day::DATE AND bucket < $day::DATE + 1 "  # noqa: S608
    f"AND {_OF_DEVICES}"
)
_NEWEST = ("SELECT max(event_date) FROM silver.readings", "SELECT max(kafka_timestamp)::DATE FROM silver.quarantine")


def make_report(
    lake: OpenLake,
    late_after_seconds: float,
    day: date | None = None,
    customer: str | None = None,
    most_devices: int = 20,
    most_rules: int = 20,
) -> Report:
    """The report of a day.

    Args:
        late_after_seconds: a reading that reached Kafka later than this after its event time is late.
        day: UTC; None for the newest with readings.
        customer: only devices of this customer; None for all.
        most_devices, most_rules: so many are listed; 0 for all.

    Raises:
        LakeMissing: silver has not run yet.
        NothingToReport: there is nothing of that day or customer.
    """
    source = _Source(lake)
    day = day or source.newest_day()
    counts = DayCounts(lake, source.versions, Days([day]), [], late_after_seconds).of([day])
    scores = {device: row for (_, device), row in source.scores(day).items()}
    customers = {**source.customers(day), **{device: row["customer"] for device, row in scores.items()}}
    chosen = [count for count in counts if customer in (None, customers.get(count.device_id))]
    if not chosen:
        raise _nothing(day, customer, filter(None, customers.values()), source)
    own = {count.device_id: scores.get(count.device_id) for count in chosen}
    scored = [row for device, row in scores.items() if customer in (None, customers[device])]
    only = None if customer is None else sorted(own)
    devices = sorted((_device(count, customers.get(count.device_id), own) for count in chosen), key=_worst_first)
    return Report(
        day=day,
        customer=customer,
        made_at=datetime.now(timezone.utc),
        totals=_totals(chosen, *source.held(day, only)),
        score=_score(scored) if scored else None,
        score_is_current=len(scored) == len(chosen) and all(_agrees(count, own[count.device_id]) for count in chosen),
        scored_at=max((row["updated_at"] for row in scored), default=None),
        device_count=sum(device != UNREADABLE_DEVICE for device in own),
        devices=tuple(devices[: most_devices or None]),
        quarantined_by_code=source.by_code(day, only),
        rules=source.worst_rules(day, only, most_rules),
    )


class _Source:
    """The tables a report is made of, each at one version."""

    def __init__(self, lake: OpenLake) -> None:
        self.versions = {table.full_name: lake.delta(table.full_name).version() for table in DAY_COLUMNS}
        self._lake = lake
        self._connection = connect()
        lake.register(self._connection, self.versions)
        held = [table.full_name for table in HELD_TABLES.values()]
        lake.register(self._connection, [name for name in held if name in lake.tables()])
        for name in set(held) - set(lake.tables()):
            self._connection.execute(empty_view(name))

    def newest_day(self) -> date:
        for sql in _NEWEST:
            found = self._rows(sql)[0][0]
            if found is not None:
                return date(found.year, found.month, found.day)
        raise NothingToReport("silver has read nothing yet", "start the jobs with `sluice run`")

    def scores(self, day: date) -> dict[tuple[date, str], dict[str, Any]]:
        return scores_of(self._lake, [day]) if GOLD_QUALITY_SCORES.full_name in self._lake.tables() else {}

    def customers(self, day: date) -> dict[str, str | None]:
        return dict(self._rows(_CUSTOMERS, day=day))

    def by_code(self, day: date, devices: list[str] | None) -> dict[str, int]:
        return dict(self._rows(_BY_CODE, day=day, devices=devices, counted=list(QUARANTINE_COUNTED)))

    def worst_rules(self, day: date, devices: list[str] | None, most: int) -> tuple[BrokenRule, ...]:
        values = {"day": day, "devices": devices, "counted": list(QUARANTINE_COUNTED), "judging": _RULES}
        return tuple(BrokenRule(*row) for row in self._rows(_WORST_RULES, **values, most=most or 2**31))

    def held(self, day: date, devices: list[str] | None) -> tuple[int | None, int]:
        """Records and minutes that wait."""
        records = self._rows(_HELD, day=day, open=HELD_OPEN)[0][0] if devices is None else None
        return records, self._rows(_HELD_MINUTES, day=day, open=HELD_OPEN, devices=devices)[0][0]

    def _rows(self, sql: str, **values: object) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(sql, values or None).fetchall()
        except duckdb.Error as error:
            from sluice.serving.readonly import explain

            raise explain(error, "", ()) from None


def _nothing(day: date, customer: str | None, customers: Iterable[str], source: _Source) -> NothingToReport:
    known = sorted(set(customers))
    if customer is None or not known:
        return NothingToReport(f"there is nothing of {day}", f"the newest day with readings is {source.newest_day()}")
    return NothingToReport(f"customer {customer!r} has nothing on {day}", f"these have: {', '.join(known)}")


def _device(count: DayCount, customer: str | None, scores: Mapping[str, Mapping[str, Any] | None]) -> DeviceDay:
    score = scores[count.device_id] or {}
    return DeviceDay(
        count.device_id,
        customer,
        count.readings + count.quarantined + count.duplicates,
        count.readings,
        count.quarantined,
        count.duplicates,
        count.out_of_range,
        count.late,
        score.get("score"),
        score.get("band"),
    )


def _worst_first(device: DeviceDay) -> tuple[bool, float, str]:
    return device.score is None, device.score or 0.0, device.device_id


def _totals(counts: Iterable[DayCount], held: int | None, held_minutes: int) -> Totals:
    columns = list(zip(*(count[2:] for count in counts), strict=True))
    total = dict(zip(DayCount._fields[2:], map(sum, columns), strict=True))
    return Totals(
        received=total["readings"] + total["quarantined"] + total["duplicates"],
        promoted=total["readings"],
        quarantined=total["quarantined"],
        duplicates=total["duplicates"],
        out_of_range=total["out_of_range"],
        late=total["late"],
        held=held,
        held_minutes=held_minutes,
    )


def _score(rows: Iterable[Mapping[str, Any]]) -> Score:
    """The dimensions of several devices together, from their sums; what one sent too much makes up for no other."""
    rows = list(rows)
    total = {name: sum(row[name] or 0 for row in rows) for name in ("received", "quarantined", "out_of_range")}
    expecting = [row for row in rows if row["expected"]]
    consistent = [row for row in rows if row["inconsistent"] is not None]
    return score_of(
        Counts(
            received=total["received"],
            readings=sum(min(row["readings"], row["expected"]) for row in expecting),
            expected=sum(row["expected"] for row in expecting) or None,
            quarantined=total["quarantined"],
            out_of_range=total["out_of_range"],
            duplicates=sum(row["duplicates"] for row in rows),
            timed=sum(row["readings"] for row in rows),
            late=sum(row["late"] for row in rows),
            judged=sum(row["judged"] for row in consistent),
            inconsistent=sum(row["inconsistent"] for row in consistent) if consistent else None,
        )
    )


def _agrees(count: DayCount, score: Mapping[str, Any] | None) -> bool:
    names = ("readings", "quarantined", "duplicates", "out_of_range", "late")
    return score is not None and all(score[name] == getattr(count, name) for name in names)

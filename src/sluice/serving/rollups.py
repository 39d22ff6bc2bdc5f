"""What gold/readings_1hour and gold/readings_1day have to say of some days, and where they say something else.

Made whole, without Spark, of the minutes of these days, the readings behind them and the alerts that began in them; so
late events, replays and approvals need no care of their own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date, datetime

import pyarrow as pa
import pyarrow.compute as pc

from sluice.schemas import GOLD_ALERTS, GOLD_READINGS_1MIN, ROLLUP_MINUTES, SILVER_READINGS, Table
from sluice.serving.day_counts import Days
from sluice.serving.empty_tables import duckdb_type
from sluice.serving.lake import OpenLake
from sluice.serving.merged_minutes import ON_KEY, merge_minutes, start_of
from sluice.serving.percentiles import READ_COLUMNS, find_percentiles
from sluice.tables.coverage import ABSENT
from sluice.tables.reading import add_actions, connect
from sluice.tables.rows import arrow_schema

# Readings, or minutes, that are worked on together.
MOST_ROWS = 2_000_000

_KEY = ("bucket", "device_id", "metric")
_ALERTS = """
CREATE OR REPLACE TEMP TABLE counted_alerts AS
SELECT {start} AS start, device_id, metric, count(*) AS alert_count FROM alerts GROUP BY ALL
"""
# Not least or greatest alone, which pass over null: of an unknown device nothing is expected.
_ROLLED_UP = f"""
INSERT INTO {{fresh}} BY NAME
SELECT a.* EXCLUDE (start, ranked, alert_count), start AS bucket, ranked[1] AS value_p50, ranked[2] AS value_p95,
    coalesce(alert_count, 0) AS alert_count,
    CASE WHEN expected_count IS NOT NULL
        THEN least(100.0, reading_count * 100.0 / expected_count) END AS completeness_percent,
    CASE WHEN expected_count IS NOT NULL THEN
        greatest(0, floor(least({{minutes}}.0, expected_count))::BIGINT - minutes_with_readings) END AS missing_minutes
FROM (
    SELECT a.*, alert_count FROM (
        SELECT a.*, ranked FROM merged AS a LEFT JOIN percentiles AS b
        ON {ON_KEY} AND a.reading_count = b.reading_count
    ) AS a LEFT JOIN counted_alerts AS b ON {ON_KEY}
) AS a
"""  # noqa: S608 (our own names)

_MET = " AND ".join(f"a.{name} IS NOT DISTINCT FROM b.{name}" for name in _KEY)
_CHANGED = f"""
SELECT DISTINCT coalesce(a.bucket_date, b.bucket_date) AS day FROM {{fresh}} AS a FULL JOIN known AS b ON {_MET}
WHERE a.bucket IS NULL OR b.bucket IS NULL OR NOT {{same}} ORDER BY day
"""  # noqa: S608 (our own names)
_KEPT = f"""
SELECT a.* REPLACE (coalesce(b.updated_at, $now) AS updated_at) FROM {{fresh}} AS a
LEFT JOIN known AS b ON {_MET} AND {{same}} WHERE list_contains($days, a.bucket_date)
ORDER BY a.bucket, a.device_id, a.metric
"""  # noqa: S608 (our own names)


def rows_by_day(lake: OpenLake, table: Table, version: int | None = None) -> dict[date, int]:
    """How many rows each day has of a table that is partitioned by day, as its log tells; at least 1 per file."""
    found: dict[date, int] = {}
    actions = add_actions(lake.delta(table.full_name, version))
    if len(actions):
        days, rows = (actions[name].to_pylist() for name in (f"partition.{table.partition_by}", "num_records"))
        for day, count in zip(days, rows, strict=True):
            found[day] = found.get(day, 0) + (count or 1)
    return found


def portions(days: Collection[date], rows: Mapping[date, int], most: int = MOST_ROWS) -> list[list[date]]:
    """Days, rising, in portions of at most so many rows, at least a day each."""
    found: list[list[date]] = []
    size = 0
    for day in sorted(days):
        if not found or size + rows.get(day, 0) > most:
            found.append([])
            size = 0
        found[-1].append(day)
        size += rows.get(day, 0)
    return found


class RollUps:
    """Hours and days of some UTC dates, rolled up when it is made.

    Args:
        versions: by full name, of gold/readings_1min and gold/alerts; ABSENT where that does not exist.
        shares: of the devices, taken one after the other, which needs less memory.
    """

    def __init__(self, lake: OpenLake, versions: Mapping[str, int], days: Collection[date], shares: int = 1) -> None:
        self._lake = lake
        self._versions = versions
        self._days = Days(days)
        self._connection = connect()
        for table in ROLLUP_MINUTES:
            self._connection.execute(f"CREATE TEMP TABLE {_fresh(table)} ({_columns(table, table.column_names)})")
        for share in range(shares):
            self._roll_up(f"hash(device_id) % {shares} = {share}")

    def changes(self, table: Table, now: datetime) -> tuple[list[date], pa.Table]:
        """The days, rising, of which a roll-up says something else, and all rows that these days should have.

        A row that says what it said keeps its `updated_at`.
        """
        self._read("known", table, table.column_names, table.partition_by)
        days = [day for (day,) in self._connection.execute(_CHANGED.format(**_names(table))).fetchall()]
        moment = pc.cast(pa.scalar(now, pa.timestamp("us", "UTC")), pa.int64()).as_py()
        found = self._connection.sql(_KEPT.format(**_names(table)), params={"now": moment, "days": days})
        return days, found.to_arrow_table().cast(arrow_schema(table))

    def _roll_up(self, share: str) -> None:
        """Rolls up a share of the devices, told as a condition."""
        self._read("minutes", GOLD_READINGS_1MIN, GOLD_READINGS_1MIN.column_names, "bucket_date", share)
        self._read("readings", SILVER_READINGS, READ_COLUMNS, "event_date", share)
        columns = ("device_id", "metric", "first_event_time")
        if self._versions[GOLD_ALERTS.full_name] == ABSENT:
            self._connection.execute(f"CREATE OR REPLACE TEMP TABLE alerts ({_columns(GOLD_ALERTS, columns)})")
        else:
            self._read("alerts", GOLD_ALERTS, columns, "first_event_time", share)
        for table, minutes in ROLLUP_MINUTES.items():
            merge_minutes(self._connection, minutes)
            find_percentiles(self._connection, minutes)
            self._connection.execute(_ALERTS.format(start=start_of("first_event_time", minutes)))
            self._connection.execute(_ROLLED_UP.format(fresh=_fresh(table), minutes=minutes))

    def _read(self, name: str, table: Table, columns: Collection[str], day: str, share: str = "true") -> None:
        """Makes a table of columns of a table's rows on these days; times are microseconds."""
        picked = {column: _as_number(table, column) for column in columns}
        chosen = self._days.chosen(day, is_date=day == table.partition_by)
        dataset = self._lake.dataset(table.full_name, self._versions.get(table.full_name))
        self._connection.register("scanned", dataset.scanner(columns=picked, filter=chosen))
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * FROM scanned WHERE {share}")  # noqa: S608
        self._connection.unregister("scanned")


def _names(table: Table) -> dict[str, str]:
    told = [name for name in table.column_names if name not in (*_KEY, "updated_at")]
    same = " IS NOT DISTINCT FROM ".join(f"({', '.join(f'{side}.{name}' for name in told)})" for side in "ab")
    return {"fresh": _fresh(table), "same": f"({same})"}


def _fresh(table: Table) -> str:
    return f"fresh_{table.name}"


def _columns(table: Table, names: Collection[str]) -> str:
    kinds = dict(table.columns)
    return ", ".join(f"{name} {'BIGINT' if kinds[name] == 'timestamp' else duckdb_type(kinds[name])}" for name in names)


def _as_number(table: Table, name: str) -> pc.Expression:
    field = pc.field(name)
    return field.cast(pa.int64()) if dict(table.columns)[name] == "timestamp" else field

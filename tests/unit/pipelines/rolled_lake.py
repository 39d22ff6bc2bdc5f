"""A lake of readings with their minutes, and hours and days made of the readings by plain Python."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

from deltalake import DeltaTable
from tests.unit.serving.lake_builder import append, build_lake

from sluice.pipelines.rollups import HoursAndDays
from sluice.schemas import ROLLUP_MINUTES, Table
from sluice.serving.lake import OpenLake
from sluice.tables.lake import Lake
from sluice.tables.rows import create_tables

Key = tuple[datetime, str, str]
Rows = dict[Key, dict[str, Any]]

T, H = "temperature_celsius", "humidity_percent"
# What registered devices send in a minute; others are unknown.
EXPECTED = {"a": 12.0, "slow": 0.2}


def reading(when: datetime, celsius: float | None = None, device: str = "a", **odd: Any) -> dict[str, Any]:
    """A row of silver.readings: a temperature."""
    row = {"device_id": device, "event_time": when, "event_date": when.date(), T: celsius, "quality_flag": "valid"}
    return {**row, "failed_rules": [], **odd}


def minutes_of(readings: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows of gold.readings_1min."""
    grouped = values_by(readings, 1)
    return [_minute(key, values) for key, values in grouped.items()]


def values_by(readings: Iterable[Mapping[str, Any]], minutes: int) -> dict[Key, list[float]]:
    """All values, by the bucket of so many minutes, device and metric."""
    grouped: dict[Key, list[float]] = {}
    for row in readings:
        when = row["event_time"]
        start = when - timedelta(minutes=(when.hour * 60 + when.minute) % minutes, seconds=when.second)
        for name in (T, H, "value"):
            if row.get(name) is not None:
                metric = row["metric"] if name == "value" else name
                grouped.setdefault((start, row["device_id"], metric), []).append(row[name])
    return grouped


def _minute(key: Key, values: Sequence[float]) -> dict[str, Any]:
    start, device, metric = key
    expected = EXPECTED.get(device)
    return {
        **{"bucket": start, "device_id": device, "metric": metric, "unit": "u", "reading_count": len(values)},
        **{"value_mean": exact_mean(values), "value_min": min(values), "value_max": max(values)},
        **{"value_stddev": exact_stddev(values), "out_of_range_count": sum(value > 45 for value in values)},
        **{"expected_count": expected, "completeness_percent": None, "updated_at": start, "bucket_date": start.date()},
    }


def exact_mean(values: Sequence[float]) -> float:
    return float(sum(map(Fraction, values)) / len(values))


def exact_stddev(values: Sequence[float]) -> float | None:
    if len(values) == 1:
        return None
    mean = sum(map(Fraction, values)) / len(values)
    variance = sum((Fraction(value) - mean) ** 2 for value in values) / (len(values) - 1)
    # Large integers have exact roots where floats overflow.
    scale = 10**40
    root = Fraction(math.isqrt(int(variance * scale)), math.isqrt(scale))
    return float(root)


def recomputed(readings: Sequence[Mapping[str, Any]], minutes: int, alerts: Mapping[Key, int] | None = None) -> Rows:
    """The roll-up by a definition of the tests' own, without `updated_at`."""
    counted: dict[Key, set[datetime]] = {}
    for start, device, metric in values_by(readings, 1):
        whole = start - timedelta(minutes=(start.hour * 60 + start.minute) % minutes)
        counted.setdefault((whole, device, metric), set()).add(start)
    found = {}
    for key, values in values_by(readings, minutes).items():
        expected = minutes * EXPECTED[key[1]] if key[1] in EXPECTED else None
        there, ranked = len(counted[key]), sorted(values)
        found[key] = {
            **{"unit": "u", "reading_count": len(values), "value_mean": exact_mean(values)},
            **{"value_min": ranked[0], "value_max": ranked[-1], "value_stddev": exact_stddev(values)},
            **{"out_of_range_count": sum(value > 45 for value in values), "expected_count": expected},
            "completeness_percent": min(100.0, len(values) * 100.0 / expected) if expected else None,
            **{f"value_p{p}": ranked[math.ceil(Fraction(p, 100) * len(values)) - 1] for p in (50, 95)},
            "minutes_with_readings": there,
            "missing_minutes": max(0, min(minutes, int(expected)) - there) if expected else None,
            **{"alert_count": (alerts or {}).get(key, 0), "bucket_date": key[0].date()},
        }
    return found


class RolledLake:
    """A lake whose hours and days are kept as gold's job keeps them."""

    def __init__(self, path: Path) -> None:
        self.lake = Lake(build_lake(path, {}))
        for layer in ("silver", "gold"):
            create_tables(self.lake, layer)

    def add(self, readings: Sequence[dict[str, Any]], minutes: Sequence[dict[str, Any]] | None = None) -> None:
        """Readings and the minutes that gold made of them."""
        append(self.lake.path, "silver.readings", readings)
        append(self.lake.path, "gold.readings_1min", minutes_of(readings) if minutes is None else minutes)

    def correct(self, readings: Sequence[dict[str, Any]], late: Sequence[dict[str, Any]]) -> None:
        """More readings, which gold merges into minutes it may know."""
        append(self.lake.path, "silver.readings", late)
        touched = {(row["bucket"], row["device_id"]) for row in minutes_of(late)}
        for bucket, device in touched:
            where = f"bucket = '{bucket:%Y-%m-%dT%H:%M:%SZ}' AND device_id = '{device}'"
            DeltaTable(str(self.lake.path / "gold/readings_1min")).delete(where)
        made = [row for row in minutes_of([*readings, *late]) if (row["bucket"], row["device_id"]) in touched]
        append(self.lake.path, "gold.readings_1min", made)

    def update(self) -> list[Any]:
        return HoursAndDays(self.lake, 300.0).bring_up_to_date()

    def read(self, table: Table) -> Rows:
        """All rows, by key; fails where a key stands there twice."""
        rows = OpenLake(self.lake).arrow(table.full_name).to_pylist()
        found = {(row.pop("bucket"), row.pop("device_id"), row.pop("metric")): row for row in rows}
        assert len(found) == len(rows)
        return found

    def times(self, table: Table) -> dict[Key, datetime]:
        return {key: row["updated_at"] for key, row in self.read(table).items()}

    def versions(self) -> list[int]:
        return [DeltaTable(self.lake.table_path(table)).version() for table in ROLLUP_MINUTES]

    def assert_is(
        self, readings: Sequence[Mapping[str, Any]], alerts: Mapping[Table, Mapping[Key, int]] | None = None
    ) -> None:
        """Both roll-ups are what the readings give: means to 1e-12 and deviations to 1e-9, all else exactly."""
        for table, minutes in ROLLUP_MINUTES.items():
            found = self.read(table)
            expected = recomputed(readings, minutes, (alerts or {}).get(table))
            assert found.keys() == expected.keys()
            for key, row in found.items():
                row.pop("updated_at")
                for name, tolerance in (("value_mean", 1e-12), ("value_stddev", 1e-9)):
                    value, wanted = row.pop(name), expected[key].pop(name)
                    size = max(abs(row["value_min"]), abs(row["value_max"]))
                    assert (value is None) == (wanted is None), (key, name, value, wanted)
                    assert value is None or abs(value - wanted) <= tolerance * max(abs(wanted), size * 1e-3), (
                        key,
                        name,
                    )
                assert row == expected[key], key

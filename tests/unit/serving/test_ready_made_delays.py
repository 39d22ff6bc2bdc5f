"""The shipped queries about time on the way, versions and ranges, each against plain Python over the rows."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from sluice.schemas import SILVER_READINGS
from sluice.tables.rows import arrow_schema

from .lake_builder import Row, ask, at, build_lake, reading

CLASSES = (
    ("ahead of Kafka", float("-inf"), 0),
    ("under 10 s", 0, 10),
    ("10 s to 1 min", 10, 60),
    ("1 to 5 min", 60, 300),
    ("5 min to 1 h", 300, 3600),
    ("1 to 24 h", 3600, 86400),
    ("a day and more", 86400, float("inf")),
)
# Each class by its first and last moment.
DELAYS = (-299.5, -0.000001, 0.0, 9.999999, 10.0, 59.999, 60.0, 299.0, 300.0, 3599.0, 3600.0, 86399.0, 86400.0, 9e6)


def travelled(offset: int, event_time: datetime, *seconds: float | None, **odd: object) -> Row:
    """A reading that reached Kafka, bronze and silver so many seconds after the station before."""
    moments, moment = [], event_time
    for each in seconds:
        moment = moment + timedelta(seconds=each or 0)
        moments.append(None if each is None else moment)
    names = ("kafka_timestamp", "ingested_at", "promoted_at")
    return reading(offset, event_time, **dict(zip(names, moments, strict=False)), **odd)


def test_late_arrivals_are_counted_in_classes_that_leave_no_gap(tmp_path: Path) -> None:
    rows = [travelled(offset, at("10:00:00"), delay, device_id=f"d{offset % 3}") for offset, delay in enumerate(DELAYS)]
    rows.append(travelled(99, at("10:00:00"), None))
    lake = build_lake(tmp_path, {"silver.readings": rows})
    expected = []
    for name, least, below in CLASSES:
        found = [(offset % 3, delay) for offset, delay in enumerate(DELAYS) if least <= delay < below]
        share = round(100 * len(found) / len(DELAYS), 3)
        greatest = max((delay for _, delay in found), default=None)
        expected.append((name, len(found), share, len({device for device, _ in found}), greatest))

    assert [tuple(row.values()) for row in ask(lake, "late_arrivals")] == expected
    assert sum(row["readings"] for row in ask(lake, "late_arrivals", device_id="d1")) == 5


def test_of_no_readings_no_class_has_a_share(tmp_path: Path) -> None:
    answer = ask(build_lake(tmp_path, {"silver.readings": []}), "late_arrivals")

    assert [tuple(row.values())[1:] for row in answer] == [(0, None, 0, None)] * 7


@pytest.mark.parametrize("extreme", [2**63 - 1, 2**63 - 2, -(2**63)])
def test_kafka_times_at_the_end_of_all_time_stop_no_query(tmp_path: Path, extreme: int) -> None:
    build_lake(tmp_path, {"silver.readings": [travelled(1, at("10:00:00"), 5.0, 1.0, 1.0)]})
    frame = pa.Table.from_pylist([dict(reading(2, at("10:00:00")))], arrow_schema(SILVER_READINGS))
    place = frame.schema.get_field_index("kafka_timestamp")
    times = pa.array([extreme], pa.int64()).cast(frame.schema.field(place).type)
    write_deltalake(str(tmp_path / "silver/readings"), frame.set_column(place, "kafka_timestamp", times), mode="append")

    assert 1 in [row["readings"] for row in ask(tmp_path, "late_arrivals")]
    assert [row["readings"] for row in ask(tmp_path, "ingest_lag")][1:] == [1, 1, 1]


def percentile(values: list[float], share: float) -> float:
    """Linear between the two nearest, as most tools do it."""
    values = sorted(values)
    place = share * (len(values) - 1)
    low = int(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (place - low)


def test_ingest_lag_is_told_per_station_over_the_last_hours_of_data(tmp_path: Path) -> None:
    dice = random.Random(5)
    lags = [[dice.uniform(0, 60), dice.uniform(0, 5), dice.uniform(0, 2)] for _ in range(40)]
    rows = [travelled(number, at("10:00:00") + timedelta(seconds=number), *each) for number, each in enumerate(lags)]
    # A day and an hour earlier, and one that has not been promoted with a time.
    rows.append(travelled(98, at("09:00:00") - timedelta(days=1), 9999.0, 9999.0, 9999.0))
    rows.append(travelled(99, at("10:00:05"), 3.0, 1.0))
    lake = build_lake(tmp_path, {"silver.readings": rows})
    to_kafka, to_bronze, to_silver = (list(each) for each in zip(*lags, strict=True))
    stages = {
        "device to Kafka": [*to_kafka, 3.0],
        "Kafka to bronze": [*to_bronze, 1.0],
        "bronze to silver": to_silver,
        "device to silver": [sum(each) for each in lags],
    }

    assert [tuple(row.values()) for row in ask(lake, "ingest_lag")] == [
        (stage, len(found), *(pytest.approx(percentile(found, share), abs=1e-5) for share in (0.5, 0.95, 0.99, 1)))
        for stage, found in stages.items()
    ]
    assert ask(lake, "ingest_lag", hours="48")[0]["max_seconds"] == 9999
    assert ask(lake, "ingest_lag", hours="48", until="2026-03-01T10:00:00Z")[0]["readings"] == 1
    assert ask(lake, "ingest_lag", until="2026-01-01T10:00:00Z")[0] == {
        "stage": "device to Kafka",
        "readings": 0,
        **dict.fromkeys(("p50_seconds", "p95_seconds", "p99_seconds", "max_seconds")),
    }


def test_ingest_lag_of_an_empty_table_is_unknown(tmp_path: Path) -> None:
    answer = ask(build_lake(tmp_path, {"silver.readings": []}), "ingest_lag")

    assert [(row["readings"], row["max_seconds"]) for row in answer] == [(0, None)] * 4


@pytest.mark.parametrize("every", ["hour", "DAY"])
def test_version_mix_over_time_has_shares_of_each_bucket(tmp_path: Path, every: str) -> None:
    dice = random.Random(11)
    rows = [
        reading(
            number,
            at("20:00:00") + timedelta(minutes=dice.randrange(480)),
            schema_version=dice.choice([0, 1, 2, 2]),
            device_id=f"d{dice.randrange(4)}",
        )
        for number in range(80)
    ]
    found: dict[Any, dict[Any, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        moment = row["event_time"]
        assert isinstance(moment, datetime)
        bucket = moment.replace(minute=0, **({} if every == "hour" else {"hour": 0}))
        found[bucket][row["schema_version"]].append(row["device_id"])
    lake = build_lake(tmp_path, {"silver.readings": rows})

    assert [tuple(row.values()) for row in ask(lake, "version_mix_over_time", every=every)] == [
        (bucket, version, len(own), round(100 * len(own) / sum(map(len, mix.values())), 3), len(set(own)))
        for bucket, mix in sorted(found.items())
        for version, own in sorted(mix.items())
    ]


def test_values_out_of_range_are_listed_each_with_the_end_it_is_beyond(tmp_path: Path) -> None:
    low, high = "at_least_registered_min", "at_most_registered_max"
    hostile = "\x1b[31m' OR 1=1 --"
    rows = [
        reading(
            1,
            at("10:00:00"),
            quality_flag="out_of_range",
            temperature_celsius=-30.0,
            humidity_percent=99.0,
            pressure_hpa=1000.0,
            failed_rules=[f"temperature_celsius_{low}", f"humidity_percent_{high}", "another_rule"],
            customer="acme",
            site="oslo",
        ),
        # A reading event: its value is of the metric it names.
        reading(
            2,
            at("11:00:00"),
            device_id=hostile,
            quality_flag="out_of_range",
            temperature_celsius=None,
            metric="power_watt",
            value=9000.0,
            failed_rules=[f"value_{high}"],
        ),
        reading(3, at("12:00:00"), quality_flag="suspect", failed_rules=["another_rule"]),
        reading(4, at("12:00:00")),
    ]
    lake = build_lake(tmp_path, {"silver.readings": rows})

    answer = [tuple(row.values()) for row in ask(lake, "out_of_range")]

    first = (at("10:00:00"), "sensor-0001")
    assert answer == [
        (at("11:00:00"), hostile, "power_watt", 9000.0, "above maximum", None, None, "e2"),
        (*first, "humidity_percent", 99.0, "above maximum", "acme", "oslo", "e1"),
        (*first, "temperature_celsius", -30.0, "below minimum", "acme", "oslo", "e1"),
    ]
    assert [row["value"] for row in ask(lake, "out_of_range", device_id=hostile)] == [9000.0]
    assert [row["value"] for row in ask(lake, "out_of_range", metric="humidity_percent")] == [99.0]
    assert [row["value"] for row in ask(lake, "out_of_range", since="2026-03-01T11:00:00Z")] == [9000.0]
    assert ask(build_lake(tmp_path / "empty", {"silver.readings": []}), "out_of_range") == []

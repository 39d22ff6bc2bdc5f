"""Tables that a lake may have or not: the registry, hours, days; and limits that no server is needed for."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from tests.unit.serving.lake_builder import at, build_lake, minute, reading

from sluice.api.aggregates import list_aggregates
from sluice.api.asking import Asked, Question, Service
from sluice.api.devices import TABLE, list_devices
from sluice.api.limits import Deadline, RateLimit
from sluice.api.parameters import AggregatesOf, DevicesOf
from sluice.api.problems import Problem
from sluice.api.snapshot import LakeWatch
from sluice.api.sorted_files import SortedFiles
from sluice.settings import load_settings
from sluice.tables.reading import connect

NOW = datetime(2026, 3, 2, tzinfo=timezone.utc)
TIMES = pa.timestamp("us", "UTC")
TEXTS = ("device_id", "metric", "customer", "site")
NUMBERS = ("latitude", "longitude", "expected_interval_seconds")
ENDLESS = "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range * b.range % 7 = 3"


def question(lake: Path, customers: frozenset[str] | None) -> Question:
    watch = LakeWatch(lake, 1.0)
    watch.refresh()
    service = Service(load_settings().serve, watch, SortedFiles(10))
    return Question(Asked(service, watch.snapshot(), customers, NOW, None, TABLE), Deadline(60))


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A device that was the other's up to 12:30, and is acme's from 14:30 on."""
    moved = [reading(1, at("12:30:00"), customer="other"), reading(2, at("14:30:00"), customer="acme")]
    return build_lake(tmp_path / "lake", {"silver.readings": moved, "gold.readings_1min": [minute(at("12:30:00"))]})


def test_hours_are_those_of_the_table_where_there_is_one(lake: Path) -> None:
    schema = pa.schema([("bucket", TIMES), *((name, pa.string()) for name in TEXTS[:2]), ("reading_count", pa.int64())])
    key = {"device_id": "sensor-0001", "metric": "temperature_celsius"}
    hours = [{**key, "bucket": at(f"{hour}:00:00"), "reading_count": hour} for hour in (12, 13, 14)]
    rows = pa.Table.from_pylist(hours, schema).append_column("alert_count", pa.array([0, 1, 2], pa.int64()))
    rows = rows.append_column("bucket_date", pa.array([at("00:00:00").date()] * 3, pa.date32()))
    write_deltalake(str(lake / "gold" / "readings_1hour"), rows, partition_by=["bucket_date"])
    given = AggregatesOf(interval="hour", since="2026-03-01T00:00:00Z", until="2026-03-02T00:00:00Z")

    def counts(customers: frozenset[str] | None) -> list[tuple[int, int]]:
        items = json.loads(list_aggregates(question(lake, customers), given).items)
        return [(row["reading_count"], row["alert_count"]) for row in items]

    assert counts(None) == [(12, 0), (13, 1), (14, 2)]
    assert counts(frozenset({"acme"})) == [(13, 1), (14, 2)]
    assert counts(frozenset({"other"})) == [(12, 0), (13, 1)]


def entry(device_id: str, metric: str, **odd: Any) -> dict[str, Any]:
    row = {"device_id": device_id, "metric": metric, "customer": "acme", "site": "north", "latitude": 52.5}
    row |= {"longitude": 13.4, "expected_interval_seconds": 5.0, "valid_from": at("00:00:00"), "valid_to": None}
    return {**row, **odd}


def test_devices_are_as_registered_now_where_the_lake_knows(lake: Path) -> None:
    kinds = [*((name, pa.string()) for name in TEXTS), *((name, pa.float64()) for name in NUMBERS)]
    entries = [
        entry("sensor-0001", "temperature_celsius", customer="other", valid_to=at("13:00:00")),
        entry("sensor-0001", "temperature_celsius", valid_from=at("13:00:00")),
        entry("sensor-0001", "humidity_percent", valid_from=at("13:00:00")),
        entry("silent", "temperature_celsius", latitude=None),
        entry("gone", "temperature_celsius", valid_to=at("13:00:00")),
    ]
    schema = pa.schema([*kinds, ("valid_from", TIMES), ("valid_to", TIMES)])
    write_deltalake(str(lake / "gold" / "devices"), pa.Table.from_pylist(entries, schema))

    def found(customer: str) -> Any:
        return json.loads(list_devices(question(lake, frozenset({customer})), DevicesOf()).items)

    known = {"customer": "acme", "site": "north", "is_registered": True, "longitude": 13.4}
    known |= {"expected_interval_seconds": 5.0, "metrics": [], "last_event_time": None, "is_online": None}
    moved, silent = {"device_id": "sensor-0001", "latitude": 52.5}, {"device_id": "silent", "latitude": None}
    assert found("acme") == [{**known, **moved}, {**known, **silent}]
    assert found("other") == []


def test_a_bucket_of_tokens_fills_with_time() -> None:
    now = 0.0
    limit = RateLimit(2.0, 3, clock=lambda: now)
    for _ in range(3):
        limit.take("a")
    with pytest.raises(Problem) as refusal:
        limit.take("a")
    assert (refusal.value.status, refusal.value.headers) == (429, {"Retry-After": "1"})
    limit.take("b")

    now = 0.5
    limit.take("a")
    with pytest.raises(Problem):
        limit.take("a")


def test_a_query_that_takes_too_long_is_stopped() -> None:
    connection = connect()
    with pytest.raises(Problem) as refusal, Deadline(0.05).interrupting(connection):
        connection.execute(ENDLESS).fetchall()
    assert refusal.value.status == 503
    assert refusal.value.detail.startswith("the answer took longer than 0.05 s")
    with pytest.raises(Problem):
        Deadline(0.0).check()

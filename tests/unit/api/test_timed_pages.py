"""Pages out of sorted files are what DuckDB gives of the same table, whatever the filter, page size and ties."""

from __future__ import annotations

import json
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.unit.serving.lake_builder import append, at, build_lake, minute, reading

from sluice.api.json_rows import json_rows
from sluice.api.limits import Deadline
from sluice.api.moments import microseconds
from sluice.api.snapshot import LakeWatch
from sluice.api.sorted_files import SortedFiles
from sluice.api.timed_pages import Position, Wanted, read_page
from sluice.serving.lake import open_lake
from sluice.serving.values import plain

COLUMNS = pa.schema([("event_id", pa.string()), ("device_id", pa.string()), ("event_time", pa.timestamp("us", "UTC"))])
CUSTOMERS = ("acme", "other", None)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three files of two days, many events at one time, devices that are anybody's."""
    chance = random.Random(5)
    path = build_lake(tmp_path_factory.mktemp("pages") / "lake", {})
    for number in range(3):
        rows = [
            reading(
                offset,
                at("23:59:50") + timedelta(seconds=chance.randrange(20)),
                event_id=f"e{chance.randrange(10**6):06d}-{offset}",
                device_id=f"sensor-{chance.randrange(4)}",
                customer=chance.choice(CUSTOMERS),
            )
            for offset in range(number * 100, number * 100 + 100)
        ]
        append(path, "silver.readings", rows)
    return path


@pytest.mark.parametrize("device_id", [None, "sensor-2", "unheard"])
@pytest.mark.parametrize("customers", [None, frozenset({"acme"}), frozenset({"acme", "other"}), frozenset({"nobody"})])
@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_pages_are_the_rows_in_order(
    lake: Path, device_id: str | None, customers: frozenset[str] | None, limit: int
) -> None:
    since, until = at("23:59:52"), at("23:59:52") + timedelta(seconds=14)
    watch = LakeWatch(lake, 1.0)
    watch.refresh()
    snapshot, files = watch.snapshot(), SortedFiles(1)
    found: list[str] = []
    after: Position | None = None
    while True:
        wanted = Wanted(
            *("event_time", "event_id", COLUMNS, microseconds(since), microseconds(until), limit),
            device_id=device_id,
            customers=customers,
            after=after,
        )
        rows, after = read_page(files, snapshot.tables["silver.readings"], snapshot.owners, wanted, Deadline(60))
        found += rows["event_id"].to_pylist()
        if after is None:
            break
        assert rows.num_rows == limit

    named = None if customers is None else sorted(customers)
    expected = open_lake(lake).sql(
        "SELECT event_id FROM silver.readings WHERE event_time >= $since AND event_time < $until"
        " AND ($device IS NULL OR device_id = $device) AND ($named IS NULL OR list_contains($named, customer))"
        " ORDER BY event_time, device_id, event_id",
        {"since": since, "until": until, "device": device_id, "named": named},
    )
    assert found == [row[0] for row in expected.fetchall()]


def test_a_minute_of_two_customers_is_nobodys(tmp_path: Path) -> None:
    moved = [reading(1, at("12:00:30"), customer="other"), reading(2, at("12:01:30"), customer="other")]
    moved.append(reading(3, at("12:01:45"), customer="acme"))
    minutes = [minute(at(f"12:0{number}:00")) for number in range(4)]
    lake = build_lake(tmp_path / "lake", {"silver.readings": moved, "gold.readings_1min": minutes})
    watch = LakeWatch(lake, 1.0)
    watch.refresh()
    snapshot = watch.snapshot()

    def buckets(customer: str) -> list[str]:
        schema = pa.schema([("bucket", pa.timestamp("us", "UTC"))])
        wanted = Wanted(
            *("bucket", "metric", schema, microseconds(at("00:00:00")), microseconds(at("23:00:00")), 10),
            customers=frozenset({customer}),
            width=60_000_000,
        )
        page = read_page(SortedFiles(1), snapshot.tables["gold.readings_1min"], snapshot.owners, wanted, Deadline(60))
        return [f"{each:%H:%M}" for each in page.rows["bucket"].to_pylist()]

    assert (buckets("other"), buckets("acme")) == (["12:00"], ["12:02", "12:03"])


HOSTILE = ['"', "\\", "\x00\x1b[31m", "\u202e", "é°C", "</script>", "", None, "\U0001f600", "\n"]


@pytest.mark.parametrize(
    "values",
    [
        pa.array(HOSTILE),
        pa.array(HOSTILE).dictionary_encode(),
        pa.array([1.5, 20.0, 1e300, -0.0, float("nan"), float("inf"), None, 0.1]),
        pa.array([1, -(2**62), None], pa.int64()),
        pa.array([True, None, False]),
        pa.array([None, None], pa.float64()),
        pa.nulls(3),
        pa.array([0, 1_500_000, 1_234_567, None, 253_402_300_799_999_999], pa.timestamp("us", "UTC")),
        pa.array([0, 1_500_000], pa.timestamp("us", "UTC")),
        pa.array([0, 86_400_000_000], pa.timestamp("us", "UTC")),
        pa.array([0, 20_000], pa.date32()),
        pa.array([["a", '"'], [], None]),
    ],
    ids=lambda values: str(values.type),
)
def test_rows_as_json_are_what_they_are_one_by_one(values: pa.Array) -> None:
    rows = pa.table({"a": values, 'b"': values})

    expected: list[Any] = [{"a": plain(value), 'b"': plain(value)} for value in values.to_pylist()]
    assert json.loads(json_rows(rows)) == expected
    assert json_rows(rows.slice(0, 0)) == b"[]"
    assert json.loads(json_rows(rows.slice(1))) == expected[1:]


def test_memory_for_files_is_bounded(lake: Path) -> None:
    watch = LakeWatch(lake, 1.0)
    watch.refresh()
    table = watch.snapshot().tables["silver.readings"]
    files = SortedFiles(0)

    for file in table.files:
        files.get(file.path, "event_time", ["event_id"])
        assert files.size_bytes == files.get(file.path, "event_time", ["event_id"]).size_bytes

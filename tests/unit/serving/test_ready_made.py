"""The shipped queries, each against a plain Python computation over the rows that were written."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sluice.errors import LakeMissing
from sluice.schemas import TABLES
from sluice.serving.queries import load_queries
from sluice.settings import home

from .lake_builder import append, ask, at, bronze, build_lake, copy_of, minute, promotion, reading, refused

FLAGS = ("valid", "out_of_range", "unknown_device")
DEVICES = ("sensor-0001", "sensor-0002", "stranger")


def make_rows() -> dict[str, list[dict[str, Any]]]:
    dice = random.Random(20260301)
    readings = [
        reading(
            offset,
            at("10:00:00") + timedelta(seconds=dice.randrange(3 * 3600)),
            device_id=(device := dice.choice(DEVICES)),
            quality_flag="unknown_device" if device == "stranger" else dice.choice(FLAGS[:2]),
            schema_version=dice.choice([1, 2, 2]),
            humidity_percent=dice.choice([None, 40.0]),
        )
        for offset in range(60)
    ]
    codes = ("NOT_JSON", "NOT_JSON", "BAD_TIME", "RULE_FAILED")
    quarantine = [
        refused(
            60 + number,
            dice.choice(codes),
            status=dice.choice(["open", "discarded", "replayed"]),
            first_seen_at=at("12:00:00") + timedelta(seconds=number),
            last_seen_at=at("13:00:00") + timedelta(seconds=dice.randrange(20)),
        )
        for number in range(20)
    ]
    duplicates = [
        copy_of(80 + number, at("11:00:00") + timedelta(minutes=dice.randrange(4)), device_id=dice.choice(DEVICES))
        for number in range(15)
    ]
    return {
        "silver.readings": [dict(row) for row in readings],
        "silver.quarantine": [dict(row) for row in quarantine],
        "silver.duplicates": [dict(row) for row in duplicates],
    }


ROWS = make_rows()


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_lake(tmp_path_factory.mktemp("lake"), ROWS)


@pytest.mark.parametrize("device", [*DEVICES, "nobody"])
def test_device_last_hour_is_the_hour_up_to_the_newest_reading(lake: Path, device: str) -> None:
    own = [row for row in ROWS["silver.readings"] if row["device_id"] == device]
    newest = max((row["event_time"] for row in own), default=None)
    last = [row for row in own if newest and row["event_time"] > newest - timedelta(hours=1)]

    answer = ask(lake, "device_last_hour", device_id=device)

    assert [(row["event_time"], row["event_id"], row["humidity_percent"]) for row in answer] == sorted(
        (row["event_time"], row["event_id"], row["humidity_percent"]) for row in last
    )


def test_quality_shares_show_every_flag_and_sum_to_all(lake: Path) -> None:
    counts = Counter(row["quality_flag"] for row in ROWS["silver.readings"])
    every = {flag: counts.get(flag, 0) for flag in (*FLAGS, "suspect")}

    assert ask(lake, "quality_shares") == [
        {"quality_flag": flag, "readings": count, "share_percent": round(100 * count / 60, 3)}
        for flag, count in sorted(every.items(), key=lambda item: (-item[1], item[0]))
    ]


def test_quality_shares_of_no_readings_are_null(tmp_path: Path) -> None:
    answer = ask(build_lake(tmp_path, {"silver.readings": []}), "quality_shares")

    assert [(row["readings"], row["share_percent"]) for row in answer] == [(0, None)] * 4


def test_quarantine_by_code_counts_each_status_and_shows_the_newest_detail(lake: Path) -> None:
    by_code = defaultdict(list)
    for row in ROWS["silver.quarantine"]:
        by_code[row["error_code"]].append(row)

    assert ask(lake, "quarantine_by_code") == [
        {
            "error_code": code,
            "records": len(rows),
            **{status: sum(row["status"] == status for row in rows) for status in ("open", "replayed", "discarded")},
            "first_seen_at": min(row["first_seen_at"] for row in rows),
            "last_seen_at": max(row["last_seen_at"] for row in rows),
            "newest_detail": max(rows, key=lambda row: (row["last_seen_at"], row["offset"]))["error_detail"],
        }
        for code, rows in sorted(by_code.items(), key=lambda item: (-len(item[1]), item[0]))
    ]


def test_duplicates_by_device_count_copies_and_the_events_behind_them(lake: Path) -> None:
    times: dict[str, list[datetime]] = defaultdict(list)
    for row in ROWS["silver.duplicates"]:
        times[row["device_id"]].append(row["event_time"])

    assert ask(lake, "duplicates_by_device") == [
        {
            "device_id": device,
            "copies": len(found),
            "events": len(set(found)),
            "first_event_time": min(found),
            "last_event_time": max(found),
        }
        for device, found in sorted(times.items(), key=lambda item: (-len(item[1]), item[0]))
    ]


def test_version_mix_counts_events_and_devices(lake: Path) -> None:
    by_version = defaultdict(list)
    for row in ROWS["silver.readings"]:
        by_version[row["schema_version"]].append(row)

    assert ask(lake, "version_mix") == [
        {
            "schema_version": version,
            "events": len(rows),
            "share_percent": round(100 * len(rows) / 60, 3),
            "devices": len({row["device_id"] for row in rows}),
            "first_event_time": min(row["event_time"] for row in rows),
            "last_event_time": max(row["event_time"] for row in rows),
        }
        for version, rows in sorted(by_version.items())
    ]


def test_unknown_devices_are_those_flagged(lake: Path) -> None:
    own = [row["event_time"] for row in ROWS["silver.readings"] if row["device_id"] == "stranger"]

    assert ask(lake, "unknown_devices") == [
        {
            "device_id": "stranger",
            "readings": len(own),
            "first_event_time": min(own),
            "last_event_time": max(own),
        }
    ]


def test_latest_readings_have_an_age_and_can_be_narrowed(tmp_path: Path) -> None:
    entry: Mapping[str, object] = {"value": 21.5, "quality_flag": "valid", "expected_interval_seconds": 5.0}
    rows = [
        {**entry, "device_id": device, "metric": metric, "event_time": at("12:00:00")}
        for device in ("b", "a")
        for metric in ("temperature_celsius", "humidity_percent")
    ]
    lake = build_lake(tmp_path, {"gold.latest_readings": rows})
    moment = "2026-03-01T12:00:30.500Z"

    answer = ask(lake, "latest_readings", at=moment, metric="humidity_percent")

    assert answer == [
        {
            "device_id": device,
            "metric": "humidity_percent",
            "value": 21.5,
            "event_time": at("12:00:00"),
            "quality_flag": "valid",
            "seconds_since": 30.5,
            "expected_interval_seconds": 5.0,
        }
        for device in ("a", "b")
    ]
    assert [row["device_id"] for row in ask(lake, "latest_readings", at=moment, device_id="b")] == ["b", "b"]
    assert ask(lake, "latest_readings")[0]["seconds_since"] > 0


def test_quality_scores_come_worst_first_day_by_day_and_can_be_narrowed(tmp_path: Path) -> None:
    rows = [
        {
            "day": at("00:00:00").date() + timedelta(days=later),
            "customer": None if device == "(unreadable)" else "acme",
            "device_id": device,
            "validity": 0.123456,
            "score": score + 0.001,
            "band": "warning",
            **dict.fromkeys(("received", "readings", "quarantined", "out_of_range", "duplicates", "late"), later),
            "updated_at": at("12:00:00"),
        }
        for later in range(3)
        for device, score in (("b", 90.0), ("a", 95.0), ("(unreadable)", 50.0))
    ]
    lake = build_lake(tmp_path, {"gold.quality_scores": rows})
    order = ("(unreadable)", "b", "a")

    answer = ask(lake, "quality_scores")

    assert [(row["day"].day, row["device_id"]) for row in answer] == [
        (day, name) for day in (3, 2, 1) for name in order
    ]
    assert {name: answer[0][name] for name in ("customer", "score", "validity", "completeness", "late")} == {
        "customer": None,
        "score": 50.0,
        "validity": 0.1235,
        "completeness": None,
        "late": 2,
    }
    narrowed = ask(lake, "quality_scores", customer="acme", since="2026-03-02T00:00:00Z", until="2026-03-02T23:59:59Z")
    assert [(row["day"].day, row["device_id"]) for row in narrowed] == [(2, "b"), (2, "a")]
    assert [row["day"].day for row in ask(lake, "quality_scores", device_id="a")] == [3, 2, 1]


def test_minutes_are_of_one_device_and_metric_in_order_and_range(tmp_path: Path) -> None:
    rows = [
        minute(at(f"12:{number:02}:00"), value_mean=float(number), device_id=device, metric=metric)
        for number in (3, 1, 2)
        for device in ("sensor-0001", "sensor-0002")
        for metric in ("temperature_celsius", "humidity_percent")
    ]
    lake = build_lake(tmp_path, {"gold.readings_1min": rows})

    assert [(row["bucket"], row["value_mean"]) for row in ask(lake, "minutes")] == [
        (at(f"12:0{number}:00"), float(number)) for number in (1, 2, 3)
    ]
    bounded = ask(lake, "minutes", since="2026-03-01T12:02:00Z", until="2026-03-01T12:03:00Z", device_id="sensor-0002")
    assert bounded == [
        {
            "bucket": at("12:02:00"),
            "unit": "°C",
            "reading_count": 12,
            "value_mean": 2.0,
            "value_min": 20.0,
            "value_max": 21.0,
            "value_stddev": None,
            "out_of_range_count": 0,
            "completeness_percent": None,
        }
    ]


def test_promotions_by_verdict_add_up_both_ledgers(tmp_path: Path) -> None:
    silver = [
        promotion(1, rows_in=10, rows_promoted=8, rows_quarantined=1, rows_duplicate=1),
        promotion(2, rows_in=5, rows_promoted=5, decided_at=at("12:05:00")),
        promotion(3, rows_in=4, rows_held=4, verdict="HOLD"),
    ]
    lake = build_lake(tmp_path, {"ops.silver_promotions": silver})
    only_silver = ask(lake, "promotions_by_verdict")
    append(lake, "ops.gold_promotions", [promotion(4, layer="gold", rows_in=13, rows_promoted=13)])

    columns = ("layer", "kind", "verdict", "promotions", "rows_in", "rows_promoted", "rows_quarantined")
    columns = (*columns, "rows_duplicate", "rows_held", "last_decided_at")
    expected = [
        ("silver", "batch", "HOLD", 1, 4, 0, 0, 0, 4, at("12:00:00")),
        ("silver", "batch", "PROMOTE", 2, 15, 13, 1, 1, 0, at("12:05:00")),
        ("gold", "batch", "PROMOTE", 1, 13, 13, 0, 0, 0, at("12:00:00")),
    ]
    assert only_silver == [dict(zip(columns, row, strict=True)) for row in expected[:2]]
    assert ask(lake, "promotions_by_verdict") == [dict(zip(columns, row, strict=True)) for row in expected]


def test_of_a_lake_without_rows_every_query_has_an_answer(tmp_path: Path) -> None:
    lake = build_lake(tmp_path, {table.full_name: [] for table in TABLES})
    fixed = {"books": 2, "quality_shares": 4, "late_arrivals": 7, "ingest_lag": 4}
    names = load_queries(home() / "conf" / "queries")

    assert {name: len(ask(lake, name)) for name in names} == {**dict.fromkeys(names, 0), **fixed}


@pytest.mark.parametrize("name", ["latest_readings", "minutes", "quarantine_by_code", "unknown_devices"])
def test_a_query_whose_table_no_job_has_made_says_which_job(tmp_path: Path, name: str) -> None:
    with pytest.raises(LakeMissing, match=r"has no table .* yet"):
        ask(build_lake(tmp_path, {"bronze.events": [bronze(1)]}), name)

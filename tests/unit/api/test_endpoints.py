"""Each endpoint of the real server: its whole answer, to a key of all customers and to one of acme."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest
from tests.unit.serving.lake_builder import append, at, build_lake, minute, promotion, reading, refused

from sluice.schemas import GOLD_QUALITY_SCORES

from .served import Served, serving

DAY = "since=2026-03-01T00:00:00Z&until=2026-03-02T00:00:00Z"
ACME = {"customer": "acme", "site": "north"}
OTHER = {"customer": "other", "site": "south", "device_id": "sensor-0002"}
FOUR = {"reading_count": 4, "value_mean": 24.5, "value_min": 19.0, "value_max": 29.0, "value_stddev": 2.0}
STRANGER = {"device_id": "stranger", "quality_flag": "unknown_device"}


def latest(device_id: str, clock: str, interval: float | None = 5.0) -> dict[str, Any]:
    row = {"device_id": device_id, "metric": "temperature_celsius", "value": 20.5, "quality_flag": "valid"}
    return {**row, "event_time": at(clock), "expected_interval_seconds": interval}


def score(device_id: str, customer: str | None, value: float) -> dict[str, Any]:
    row = {"day": date(2026, 3, 1), "customer": customer, "device_id": device_id, "score": value, "band": "good"}
    return {**row, "received": 10, "readings": 10, "updated_at": at("13:00:00")}


def alert(alert_id: str, customer: str | None, clock: str) -> dict[str, Any]:
    row = {"alert_id": alert_id, "rule_id": "too_hot", "customer": customer, "status": "firing", "severity": "critical"}
    return {**row, "opened_at": at(clock), "signal_count": 3, "alert_date": date(2026, 3, 1)}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("api")
    soon = datetime.now(timezone.utc) + timedelta(hours=1)
    lake = build_lake(
        folder / "lake",
        {
            "silver.readings": [
                reading(1, at("12:00:00"), **ACME),
                reading(2, at("12:00:05.25"), **ACME, quality_flag="out_of_range", temperature_celsius=55.5),
                reading(3, at("12:00:01"), **OTHER),
                reading(4, at("12:00:02"), **STRANGER),
            ],
            "gold.readings_1min": [
                minute(at("12:00:00"), updated_at=at("12:01:30"), value_stddev=0.5),
                minute(
                    at("12:01:00"), reading_count=4, value_mean=24.5, value_min=19.0, value_max=29.0, value_stddev=2.0
                ),
                minute(at("12:00:00"), device_id="sensor-0002"),
                minute(at("12:00:00"), device_id="stranger"),
            ],
            "gold.latest_readings": [
                latest("sensor-0001", "12:00:05.25"),
                {**latest("sensor-0001", "12:00:00"), "metric": "humidity_percent", "event_time": soon},
                latest("sensor-0002", "12:00:01"),
                latest("stranger", "12:00:02", None),
            ],
            "gold.quality_scores": [
                score("sensor-0001", "acme", 97.5),
                score("sensor-0002", "other", 80.0),
                score("(unreadable)", None, 0.0),
            ],
            "silver.quarantine": [
                refused(10, "RULE_FAILED", device_id="sensor-0001", stage="rules"),
                refused(11, "RULE_FAILED", device_id="sensor-0002", stage="rules"),
                refused(12, "NOT_JSON", stage="parse"),
            ],
            "ops.silver_promotions": [
                promotion(1, rows_in=7, rule_counts=[("too_hot", 1)], decided_at=at("12:00:00")),
                promotion(2, verdict="HOLD", decided_at=at("12:05:00")),
            ],
            "ops.gold_promotions": [promotion(3, layer="gold", decided_at=at("12:03:00"))],
        },
    )
    opened = (("a1", "acme", "12:00:00"), ("a2", "other", "12:00:01"), ("a3", None, "12:00:02"))
    append(lake, "gold.alerts", [alert(*each) for each in opened])
    with serving(lake, folder) as server:
        yield server


def of_reading(device_id: str, time: str, customer: str | None, site: str | None, **odd: object) -> dict[str, object]:
    row = {"device_id": device_id, "event_time": time, "temperature_celsius": 20, "humidity_percent": None}
    row |= {"pressure_hpa": None, "battery_percent": None, "metric": None, "value": None, "quality_flag": "valid"}
    return {**row, "customer": customer, "site": site, **odd}


def test_readings_come_in_order_of_time(served: Served) -> None:
    first = of_reading("sensor-0001", "2026-03-01T12:00:00Z", "acme", "north")
    last = of_reading(
        *("sensor-0001", "2026-03-01T12:00:05.250Z", "acme", "north"),
        quality_flag="out_of_range",
        temperature_celsius=55.5,
    )
    other = of_reading("sensor-0002", "2026-03-01T12:00:01Z", "other", "south")
    stranger = of_reading("stranger", "2026-03-01T12:00:02Z", None, None, quality_flag="unknown_device")

    everything, acme = served.json(f"/v1/readings?{DAY}"), served.json(f"/v1/readings?{DAY}", "acme")

    assert everything == {"items": [first, other, stranger, last], "next_cursor": None}
    assert acme == {"items": [first, last], "next_cursor": None}


def test_readings_of_a_device_a_time_and_columns(served: Served) -> None:
    path = "/v1/readings?device_id=sensor-0001&columns=event_id,event_time,offset,failed_rules"

    found = served.json(f"{path}&since=2026-03-01T12:00:00.000001Z&until=2026-03-01T13:00:06%2B01:00")

    row = {"event_id": "e2", "event_time": "2026-03-01T12:00:05.250Z", "offset": 2, "failed_rules": []}
    assert found["items"] == [row]


def of_minute(bucket: str, **odd: object) -> dict[str, object]:
    row: dict[str, object] = {"bucket": bucket, "device_id": "sensor-0001", "metric": "temperature_celsius"}
    row |= {"unit": "°C", "reading_count": 12, "value_mean": 20.5, "value_min": 20, "value_max": 21}
    row |= {"value_stddev": None, "out_of_range_count": 0, "expected_count": None, "completeness_percent": None}
    return {**row, "updated_at": None, **odd}


def test_minutes(served: Served) -> None:
    first = of_minute("2026-03-01T12:00:00Z", value_stddev=0.5, updated_at="2026-03-01T12:01:30Z")
    second = of_minute(
        "2026-03-01T12:01:00Z", reading_count=4, value_mean=24.5, value_min=19, value_max=29, value_stddev=2
    )
    other = of_minute("2026-03-01T12:00:00Z", device_id="sensor-0002")
    stranger = of_minute("2026-03-01T12:00:00Z", device_id="stranger")

    assert served.json(f"/v1/aggregates?{DAY}")["items"] == [first, other, stranger, second]
    assert served.json(f"/v1/aggregates?{DAY}", "acme")["items"] == [first, second]
    assert served.json(f"/v1/aggregates?{DAY}&metric=humidity_percent")["items"] == []


@pytest.mark.parametrize(("interval", "bucket"), [("hour", "2026-03-01T12:00:00Z"), ("day", "2026-03-01T00:00:00Z")])
def test_hours_and_days_are_put_together_from_minutes(served: Served, interval: str, bucket: str) -> None:
    (found,) = served.json(f"/v1/aggregates?interval={interval}&device_id=sensor-0001&{DAY}", "acme")["items"]

    # 12 of mean 20.5 and deviation 0.5, 4 of mean 24.5 and deviation 2: squares 11*0.25 + 12*1 and 3*4 + 4*9.
    assert found.pop("value_stddev") == pytest.approx((62.75 / 15) ** 0.5, rel=1e-12)
    whole = of_minute(bucket, reading_count=16, value_mean=21.5, value_min=19, value_max=29)
    whole |= dict.fromkeys(("value_p50", "value_p95", "missing_minutes", "alert_count"))
    del whole["value_stddev"]
    assert found == {**whole, "updated_at": "2026-03-01T12:01:30Z", "minutes_with_readings": 2}


def of_latest(device_id: str, time: str, customer: str | None, site: str | None, **odd: object) -> dict[str, object]:
    row = {"device_id": device_id, "metric": "temperature_celsius", "value": 20.5, "event_time": time}
    row |= {"quality_flag": "valid", "expected_interval_seconds": 5, "customer": customer, "site": site, "unit": "°C"}
    return {**row, "is_online": False, **odd}


def test_latest_readings_tell_age_and_whether_the_device_is_online(served: Served) -> None:
    before = datetime.now(timezone.utc)
    found = served.json("/v1/latest")["items"]

    for row in found:
        age = (before - datetime.fromisoformat(row["event_time"].replace("Z", "+00:00"))).total_seconds()
        assert row.pop("seconds_since") == pytest.approx(age, abs=30)
    first = of_latest("sensor-0001", "2026-03-01T12:00:05.250Z", "acme", "north")
    fresh = {
        **first,
        "metric": "humidity_percent",
        "unit": "%",
        "event_time": found[0]["event_time"],
        "is_online": True,
    }
    other = of_latest("sensor-0002", "2026-03-01T12:00:01Z", "other", "south")
    stranger = of_latest("stranger", "2026-03-01T12:00:02Z", None, None, expected_interval_seconds=None, is_online=None)
    assert found == [fresh, first, other, stranger]
    assert [row["metric"] for row in served.json("/v1/latest", "acme")["items"]] == [row["metric"] for row in found[:2]]
    assert served.json("/v1/latest?device_id=sensor-0002&metric=temperature_celsius")["items"][0]["customer"] == "other"
    assert served.json("/v1/latest?device_id=sensor-0002", "acme")["items"] == []


def of_device(device_id: str, customer: str | None, site: str | None, **odd: object) -> dict[str, object]:
    row: dict[str, object] = {"device_id": device_id, "customer": customer, "site": site, "is_registered": True}
    row |= {"latitude": None, "longitude": None, "expected_interval_seconds": 5.0, "metrics": ["temperature_celsius"]}
    return {**row, "last_event_time": "2026-03-01T12:00:01Z", "is_online": False, **odd}


def test_devices(served: Served) -> None:
    found = served.json("/v1/devices")["items"]

    fresh = {"metrics": ["humidity_percent", "temperature_celsius"], "is_online": True}
    first = of_device("sensor-0001", "acme", "north", **fresh, last_event_time=found[0]["last_event_time"])
    unknown = {"is_registered": False, "expected_interval_seconds": None, "is_online": None}
    stranger = of_device("stranger", None, None, **unknown, last_event_time="2026-03-01T12:00:02Z")
    assert found == [first, of_device("sensor-0002", "other", "south"), stranger]
    assert served.json("/v1/devices", "acme")["items"] == [first]
    assert served.json("/v1/devices?site=south")["items"] == [found[1]]
    assert served.json("/v1/devices/sensor-0001", "acme") == first
    hidden, unheard = (served.get(f"/v1/devices/{name}", "acme") for name in ("sensor-0002", "nobody"))
    assert (hidden.status_code, hidden.text) == (unheard.status_code, unheard.text)
    assert hidden.status_code == 404


def test_quality_scores(served: Served) -> None:
    path = "/v1/quality?since=2026-03-01&until=2026-03-01"
    found = served.json(path)["items"]

    known = {"day": "2026-03-01", "customer": "acme", "device_id": "sensor-0001", "score": 97.5, "band": "good"}
    known |= {"received": 10, "readings": 10, "updated_at": "2026-03-01T13:00:00Z"}
    assert {name: value for name, value in found[1].items() if value is not None} == known
    assert set(found[1]) == set(GOLD_QUALITY_SCORES.column_names)
    assert [row["device_id"] for row in found] == ["(unreadable)", "sensor-0001", "sensor-0002"]
    assert served.json(path, "acme")["items"] == [found[1]]
    assert served.json(f"{path}&customer=other", "acme")["items"] == []


def test_promotions_are_for_keys_of_all_customers(served: Served) -> None:
    found = served.json("/v1/promotions")["items"]

    assert [row["promotion_id"] for row in found] == ["p2", "p3", "p1"]
    known = {"promotion_id": "p1", "layer": "silver", "kind": "batch", "verdict": "PROMOTE", "rows_in": 7}
    known |= {"rule_counts": {"too_hot": 1}, "decided_at": "2026-03-01T12:00:00Z"}
    zero = dict.fromkeys(("rows_promoted", "rows_quarantined", "rows_duplicate", "rows_held"), 0)
    assert {name: value for name, value in found[2].items() if value is not None} == {**known, **zero}
    assert [row["promotion_id"] for row in served.json("/v1/promotions?verdict=HOLD&layer=silver")["items"]] == ["p2"]
    refusal = served.get("/v1/promotions", "acme")
    assert (refusal.status_code, refusal.json()["type"]) == (403, "urn:sluice:problem:not-allowed")


def test_refused_records_are_counted(served: Served) -> None:
    times = {"first_seen_at": "2026-03-01T12:00:00Z", "last_seen_at": "2026-03-01T12:00:00Z"}
    rules = {"error_code": "RULE_FAILED", "stage": "rules", "status": "open", "records": 2, "devices": 2, **times}
    unread = {"error_code": "NOT_JSON", "stage": "parse", "status": "open", "records": 1, "devices": 0, **times}

    assert served.json("/v1/quarantine/counts") == {"items": [rules, unread], "next_cursor": None}
    assert served.json("/v1/quarantine/counts", "acme")["items"] == [{**rules, "records": 1, "devices": 1}]
    assert served.json("/v1/quarantine/counts?status=discarded")["items"] == []


def test_alerts(served: Served) -> None:
    found = served.json("/v1/alerts")["items"]

    known = {"alert_id": "a1", "rule_id": "too_hot", "severity": "critical", "customer": "acme", "status": "firing"}
    known |= {"signal_count": 3, "opened_at": "2026-03-01T12:00:00Z"}
    assert {name: value for name, value in found[2].items() if value is not None} == known
    assert [row["alert_id"] for row in found] == ["a3", "a2", "a1"]
    assert served.json("/v1/alerts", "acme")["items"] == [found[2]]
    assert served.json("/v1/alerts?status=resolved")["items"] == []


@pytest.mark.parametrize(
    ("path", "rows"),
    [
        (f"/v1/readings?{DAY}", 4),
        (f"/v1/aggregates?{DAY}", 4),
        (f"/v1/aggregates?interval=hour&{DAY}", 3),
        ("/v1/latest?", 4),
        ("/v1/devices?", 3),
        ("/v1/quality?since=2026-03-01&until=2026-03-01", 3),
        ("/v1/promotions?", 3),
        ("/v1/alerts?", 3),
    ],
)
def test_pages_of_one_row_hold_all_rows_once(served: Served, path: str, rows: int) -> None:
    whole = served.json(path)["items"]

    pages = served.pages(f"{path}&limit=1")

    for row in (*whole, *(row for page in pages for row in page)):
        row.pop("seconds_since", None)
    assert [len(page) for page in pages] == [1] * rows
    assert [row for page in pages for row in page] == whole


def test_the_description_needs_no_key_no_network_and_no_script(served: Served) -> None:
    page = served.get("/", None)
    schema = served.json("/v1/openapi.json")

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert not re.search(r"<script|https?://|src=", page.text)
    assert all(f"GET {path}<" in page.text for path in schema["paths"])
    names = ("devices", "latest", "readings", "aggregates", "quality", "promotions", "quarantine/counts", "alerts")
    assert set(schema["paths"]) == {f"/v1/{name}" for name in names} | {"/v1/devices/{device_id}", "/health", "/ready"}
    given = {each["name"] for each in schema["paths"]["/v1/readings"]["get"]["parameters"]}
    assert given == {"as_of", "limit", "cursor", "device_id", "since", "until", "columns"}

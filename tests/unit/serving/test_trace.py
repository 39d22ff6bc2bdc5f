"""What a trace says of every kind of record, against a small lake that holds one of each."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sluice.errors import EventUnknown
from sluice.serving.lake import open_lake
from sluice.serving.story import minute_text, rule_text, story, values_text
from sluice.serving.trace import Trace, as_json, trace
from sluice.serving.values import plain

from .lake_builder import (
    append,
    at,
    between,
    bronze,
    build_lake,
    config,
    copy_of,
    held,
    minute,
    promotion,
    reading,
    refused,
    suite_text,
)

HOT = between("temperature_possible", "temperature_celsius", -50, 100)
WARM = {
    "type": "expect_column_pair_values_a_to_be_greater_than_b",
    "kwargs": {"column_A": "temperature_celsius_registered_max", "column_B": "temperature_celsius", "or_equal": True},
    "severity": "warning",
    "meta": {"rule_id": "temperature_registered", "dimension": "validity"},
}
CONTRACT = "versions:\n- version: 2\n  fields:\n    temperature: {column: temperature_celsius, unit: °F}\n"
REGISTRY = "devices:\n- device_id: sensor-{0001..0250}\n  metrics:\n    temperature_celsius: {min: -10, max: 45}\n"
SEEN = {"suite": "silver_readings", "suite_hash": "s1", "contract_hash": "c1", "registry_hash": "r1"}


def message(event_id: str, temperature: float, moment: str = "2026-03-01T13:00:09+01:00") -> bytes:
    event = {"event_id": event_id, "device_id": "sensor-0001", "timestamp": moment, "temperature": temperature}
    return json.dumps(event).encode()


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """By offset: 1 kept, 2 copy, 3 conflicting, 4 refused, 5 held, 6 warned, 7 approved, 8 missing, 9, 10 pending."""
    records = [bronze(offset, message(f"e{offset}", 20.0)) for offset in (1, 2, 3, 5, 6, 7, 8)]
    records += [bronze(4, message("hot", 500.0)), bronze(9, message("late", 1.0)), bronze(10, b"\xff")]
    return build_lake(
        tmp_path_factory.mktemp("trace") / "lake",
        {
            "bronze.events": records,
            "silver.readings": [
                reading(1, at("12:00:09"), promotion_id="p1", promoted_at=at("12:01:00")),
                reading(
                    6,
                    at("12:05:00"),
                    promotion_id="p1",
                    promoted_at=at("12:01:00"),
                    failed_rules=["temperature_registered"],
                    temperature_celsius=46.5,
                    value=7.0,
                    metric="power_watt",
                ),
                reading(7, at("12:06:00"), promotion_id="p3", promoted_at=at("12:30:00")),
            ],
            "silver.duplicates": [
                copy_of(2, at("12:00:09"), promotion_id="p1", kept_topic="iot.raw", kept_topic_generation=1)
                | {"kept_partition": 0, "kept_offset": 1}
            ],
            "silver.quarantine": [
                refused(3, "DUPLICATE_CONFLICT", promotion_id="p1", device_id="sensor-0001", value=message("e1", 21.0))
                | {"error_detail": "other values than the event at iot.raw:1:0:1", "first_seen_at": at("12:01:00")},
                refused(4, "RULE_FAILED", promotion_id="p1", device_id="sensor-0001", value=message("hot", 500.0))
                | {"failed_rules": ["temperature_possible"], "error_detail": "broke temperature_possible"},
            ],
            "silver.held": [
                held(5, "p2", value=message("e5", 20.0)),
                held(7, "p2", value=message("e7", 20.0), status="approved"),
            ],
            "gold.readings_1min": [minute(at("12:00:00"), updated_at=at("12:02:00")), minute(at("12:01:00"))],
            "gold.held": [
                minute(at("12:05:00"), metric="power_watt", promotion_id="g2", status="open", failed_rules=["r"])
                | {"unit": "W"}
            ],
            "ops.silver_promotions": [
                promotion(1, **SEEN, decided_at=at("12:01:00"), offsets=[("iot.raw:1:0", 4)]),
                promotion(2, verdict="HOLD", why="share_quarantined", decided_at=at("12:10:00"))
                | {"offsets": [("iot.raw:1:0", 8)]},
                promotion(3, kind="approve", parent_promotion_id="p2", decided_by="ann", why="ok")
                | {"decided_at": at("12:30:00")},
            ],
            "ops.gold_promotions": [
                promotion(8, promotion_id="g1", layer="gold", decided_at=at("12:02:00")),
                promotion(9, promotion_id="g2", layer="gold", decided_at=at("12:06:00"), verdict="HOLD"),
            ],
            "ops.configs": [
                config("suite", "s1", suite_text(HOT, WARM)),
                config("suite", "s2", suite_text(between("temperature_possible", "temperature_celsius", 0, 1))),
                config("contract", "c1", CONTRACT),
                config("registry", "r1", REGISTRY),
            ],
        },
    )


def ask(lake: Path, text: str, kind: str | None = None, limit: int = 20) -> Trace:
    return trace(open_lake(lake), text, kind, limit)


def states(answer: Trace) -> list[list[tuple[int, str]]]:
    return [[(record.coordinates.offset, record.state) for record in event.records] for event in answer.events]


@pytest.mark.parametrize(
    "text", ["e1", "sensor-0001@2026-03-01T13:00:09+01:00", "iot.raw:0:1", "iot.raw:1:0:2", "iot.raw:0:3"]
)
def test_an_event_is_found_with_its_copies_however_it_is_asked_for(lake: Path, text: str) -> None:
    answer = ask(lake, text)

    assert states(answer)[0] == [(1, "promoted"), (2, "duplicate"), (3, "quarantined")]
    assert answer.events[0].key == {"device_id": "sensor-0001", "event_time": at("12:00:09"), "event_id": "e1"}


def test_the_story_of_an_event_is_told_in_the_order_of_time(lake: Path) -> None:
    (event,) = ask(lake, "iot.raw:0:1").events

    told = [(step.at, step.what) for step in story(event)]
    landed = "landed in bronze.events (109 bytes, Kafka time 2026-03-01T12:00:00Z)"
    assert told == [
        (at("12:00:00"), f"iot.raw:1:0:1 {landed}"),
        (at("12:00:00"), f"iot.raw:1:0:2 {landed}"),
        (at("12:00:00"), f"iot.raw:1:0:3 {landed}"),
        (
            at("12:01:00"),
            "p1 (PROMOTE) promoted iot.raw:1:0:1 to silver.readings (quality valid, schema version 2)",
        ),
        (at("12:01:00"), "p1 (PROMOTE) dropped iot.raw:1:0:2 as a copy; iot.raw:1:0:1 is kept"),
        (
            at("12:01:00"),
            "p1 (PROMOTE) quarantined conflicting copy iot.raw:1:0:3: DUPLICATE_CONFLICT, "
            "other values than the event at iot.raw:1:0:1",
        ),
        (at("12:02:00"), "g1 (PROMOTE) wrote its minutes"),
    ]


def test_only_the_minutes_of_the_event_are_shown(lake: Path) -> None:
    (event,) = ask(lake, "iot.raw:0:1").events

    assert [(row["bucket"], row["metric"]) for row in event.minutes] == [(at("12:00:00"), "temperature_celsius")]
    assert event.held_minutes == ()
    assert minute_text(event.minutes[0]) == (
        "2026-03-01T12:00:00Z temperature_celsius: 12 readings, mean 20.5 °C, min 20.0, max 21.0"
    )


def test_a_refused_record_shows_the_rule_of_that_hash_and_what_was_sent(lake: Path) -> None:
    answer = ask(lake, "hot")

    assert states(answer) == [[(4, "quarantined")]]
    (failed,) = answer.events[0].failed_rules
    assert failed == {
        "coordinates": "iot.raw:1:0:4",
        "rule_id": "temperature_possible",
        "table": "silver.quarantine",
        "promotion_id": "p1",
        "suite": "silver_readings",
        "suite_hash": "s1",
        "rule": HOT,
        "values": {"temperature_celsius": {"sent": 500.0, "field": "temperature", "unit": "°F"}},
    }
    assert values_text(failed) == "temperature_celsius = 500.0 °F (sent as temperature)"
    assert rule_text(failed) == (
        "expect_column_values_to_be_between(column=temperature_celsius, min_value=-50, max_value=100), critical"
    )


def test_a_warned_reading_shows_its_value_beside_the_registered_one(lake: Path) -> None:
    (event,) = ask(lake, "e6").events

    assert event.failed_rules[0]["values"] == {"temperature_celsius_registered_max": 45, "temperature_celsius": 46.5}
    assert [(row["promotion_id"], row["metric"], row["status"]) for row in event.held_minutes] == [
        ("g2", "power_watt", "open")
    ]
    assert [row["promotion_id"] for row in event.promotions] == ["p1", "g2"]


@pytest.mark.parametrize(
    ("text", "offset", "state", "last"),
    [
        ("e5", 5, "held", "iot.raw:1:0:5 waits in silver.held: sluice gate show p2"),
        ("late", 9, "pending", "iot.raw:1:0:9 pending: silver has not read it yet"),
        ("sensor-0001@2026-03-01T12:00:09Z", 9, "pending", "iot.raw:1:0:9 pending: silver has not read it yet"),
        ("iot.raw:0:10", 10, "pending", "iot.raw:1:0:10 pending: silver has not read it yet"),
        (
            "iot.raw:0:8",
            8,
            "missing",
            "iot.raw:1:0:8 in no table of silver, though silver has read past it: sluice audit tells more",
        ),
    ],
)
def test_a_record_without_an_event_says_where_it_stands(
    lake: Path, text: str, offset: int, state: str, last: str
) -> None:
    answer = ask(lake, text)

    (event,) = [event for event in answer.events if event.records[0].coordinates.offset == offset]
    assert [(record.coordinates.offset, record.state) for record in event.records] == [(offset, state)]
    assert story(event)[-1] == (None, last, True)


def test_a_held_record_that_was_approved_tells_who_and_why(lake: Path) -> None:
    (event,) = ask(lake, "e7").events

    assert event.state == "promoted"
    assert [step.what for step in story(event)][1:] == [
        "p2 (HOLD) held iot.raw:1:0:7 with its batch; that is approved now",
        "p3 (approve, PROMOTE) promoted iot.raw:1:0:7 to silver.readings (quality valid, schema version 2)",
        "p3: approve of p2 by ann: ok",
    ]


def test_json_names_what_is_kept_and_what_is_not(lake: Path) -> None:
    answer: Any = plain(as_json(ask(lake, "iot.raw:0:2")))

    (event,) = answer["events"]
    assert (event["kept"], event["duplicates"], event["conflicts"]) == (
        "iot.raw:1:0:1",
        ["iot.raw:1:0:2"],
        ["iot.raw:1:0:3"],
    )
    assert answer["target"] == {
        "as": "coordinates",
        "topic": "iot.raw",
        "generation": None,
        "partition": 0,
        "offset": 2,
    }
    assert [[place["table"] for place in record["places"]] for record in event["records"]] == [
        ["bronze.events", "silver.readings"],
        ["bronze.events", "silver.duplicates"],
        ["bronze.events", "silver.quarantine"],
    ]


def test_an_id_of_several_events_lists_them_all_up_to_the_limit(tmp_path: Path) -> None:
    rows = [reading(offset, at("12:00:00") + timedelta(days=offset), event_id="again") for offset in (3, 1, 2)]
    lake = build_lake(tmp_path, {"silver.readings": rows})

    assert states(ask(lake, "again")) == [[(1, "promoted")], [(2, "promoted")], [(3, "promoted")]]
    cut = ask(lake, "again", limit=2)
    assert len(cut.events) == 2
    assert cut.notes == ("only the first 2 records are followed; --limit N follows more",)


def test_coordinates_without_a_generation_are_those_of_all_the_newest_first(tmp_path: Path) -> None:
    rows = [bronze(1), bronze(1, topic_generation=2), bronze(1, topic="other")]
    lake = build_lake(tmp_path, {"bronze.events": rows})

    assert [str(event.records[0].coordinates) for event in ask(lake, "iot.raw:0:1").events] == [
        "iot.raw:2:0:1",
        "iot.raw:1:0:1",
    ]
    assert [str(event.records[0].coordinates) for event in ask(lake, "iot.raw:1:0:1").events] == ["iot.raw:1:0:1"]


def test_an_id_that_looks_like_coordinates_is_found_where_no_record_has_them(tmp_path: Path) -> None:
    rows = [reading(1, at("12:00:00"), event_id="iot.raw:0:7"), reading(7, at("13:00:00"))]
    lake = build_lake(tmp_path, {"silver.readings": rows[:1]})

    assert states(ask(lake, "iot.raw:0:7")) == [[(1, "promoted")]]
    append(lake, "silver.readings", rows[1:])
    assert states(ask(lake, "iot.raw:0:7")) == [[(7, "promoted")]]
    assert ask(lake, "iot.raw:0:7").notes == ("read as coordinates; --as id reads it otherwise",)
    assert states(ask(lake, "iot.raw:0:7", "id")) == [[(1, "promoted")]]


@pytest.mark.parametrize("text", ["E1", "iot.raw:0:99", "sensor-0001@2026-03-01T12:00:10Z", "x' OR '1'='1", "%"])
def test_what_no_table_knows_is_an_error(lake: Path, text: str) -> None:
    with pytest.raises(EventUnknown, match="no table of the lake knows"):
        ask(lake, text)


def test_a_lake_with_bronze_alone_has_pending_records(tmp_path: Path) -> None:
    lake = build_lake(tmp_path, {"bronze.events": [bronze(1, message("early", 1.0)), bronze(2, None)]})

    assert states(ask(lake, "early")) == [[(1, "pending")]]
    assert states(ask(lake, "iot.raw:0:2")) == [[(2, "pending")]]


def test_a_rule_whose_suite_was_not_kept_is_named_without_text(tmp_path: Path) -> None:
    row = reading(1, at("12:00:00"), failed_rules=["gone"], promotion_id="p9")
    (event,) = ask(build_lake(tmp_path, {"silver.readings": [row]}), "e1").events

    (failed,) = event.failed_rules
    assert (failed["rule_id"], failed["rule"], failed["values"], rule_text(failed)) == (
        "gone",
        None,
        {},
        "its text is not in ops.configs",
    )

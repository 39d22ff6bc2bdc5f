"""What leaves for Kafka of flagged events, and that it is what the readers of those topics expect."""

from __future__ import annotations

import json
from typing import Any

import pytest
from chispa import assert_df_equality
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from sluice.alerting.rule_types import device_expression
from sluice.alerting.signals import Signal, decode_signal, encode_signal, signal_id_of
from sluice.pipelines.dead_letters import outgoing, without_bytes
from sluice.pipelines.rulebook import compile_row_rules, load_layer_suite
from sluice.schemas import BRONZE_EVENTS
from sluice.settings import home
from sluice.testing import KAFKA_TIME, rows_of, utc
from sluice.transforms.contract import Contract
from sluice.transforms.judge import JUDGED_TYPES
from sluice.transforms.parse import Limits
from sluice.transforms.reading_rules import (
    ReadingRule,
    Scope,
    above,
    below,
    has_status,
    outside_range,
)
from sluice.transforms.records import as_records
from sluice.transforms.registry import REGISTRY_DDL, parse_registry, registry_rows
from sluice.transforms.signals import Destinations, cut_large, route_records, signal_id
from sluice.transforms.silver import (
    FLAGGED_COLUMNS,
    SUSPECT,
    Promotion,
    Reader,
    decide_doubtful,
    flag_at_once,
    flag_records,
    select_refused,
)

from .messages import MOMENT, cases, event, reading, v1, v2

REGISTRY = {
    "devices": [
        {
            "device_id": "sensor-0001",
            "customer": "acme",
            "site": "berlin",
            "expected_interval_seconds": 5,
            "metrics": {"temperature_celsius": {"min": -10, "max": 45}, "humidity_percent": {}},
        },
        {
            "device_id": "berlin-1",
            "expected_interval_seconds": 5,
            "metrics": {"temperature_celsius": {}},
            "assume_time_zone": "Europe/Berlin",
        },
        {"device_id": "meter-0001", "expected_interval_seconds": 5, "metrics": {"power_watt": {"max": 3500}}},
        {"device_id": "probe-1", "expected_interval_seconds": 5, "metrics": {"temperature_celsius": {"max": 30}}},
    ]
}
DESTINATIONS = Destinations("processed", "alerts", "dlq")


@pytest.fixture(scope="module")
def reader(spark: SparkSession, shipped_contract: Contract) -> Reader:
    registry = spark.createDataFrame(registry_rows(parse_registry(REGISTRY)), REGISTRY_DDL)
    suite = load_layer_suite(home() / "expectations", "silver", shipped_contract)
    return Reader(shipped_contract, registry, compile_row_rules(spark, suite, JUDGED_TYPES).rules, Limits())


SCOPES = {
    "all": Scope(),
    "some": Scope((device_expression("sensor-000?"), device_expression("*-1"))),
    "dot": Scope((device_expression("a.b"),)),
    "site": Scope(sites=("berlin",)),
    "customer": Scope(customers=("acme", "globex")),
    "all_three": Scope((device_expression("sensor-*"),), ("berlin",), ("globex",)),
}
SCOPED = ("sensor-0001", "sensor-00012", "berlin-1", "a.b", "axb", "stranger")
# A number, that of the message, makes out the rows that leave of it.
MESSAGES: dict[str, bytes | None] = {
    "doubtful": v1(temperature=46, colour="red"),
    "no JSON": b"no JSON",
    "too hot": v1(temperature=101),
    "long": "nö".encode() * 500,
    "null": None,
    "calm": v1(),
    **{f"of {name}": v1(device_id=name, humidity=77) for name in SCOPED},
    "at the limit": v1(temperature=40),
    "above it": v1(temperature=40.5),
    "at the end": v1(temperature=45),
    "beyond it": v1(temperature=45.5),
    "below both": v1(temperature=-10.5),
    "not below": v1(temperature=0),
    "unknown": v1(temperature=50, device_id="stranger"),
    "power": reading(id="meter-0001", value=3500),
    "much power": reading(id="meter-0001", value=3501),
    "only metric": reading(id="probe-1", value=31),
    "only metric, hot": reading(id="probe-1", value=41),
    "which metric?": reading(id="sensor-0001", value=99),
    "low battery": v2(event_id="b", battery_level=9.5),
    "refused": v2(event_id="c", battery_level=5, temperature=101),
    "fault": v1(status="fault"),
    "other case": v1(status="Fault"),
}
OWN_HEADERS = [("trace", bytearray(b"x")), ("empty", None)]


@pytest.fixture(scope="module")
def flagged(spark: SparkSession, reader: Reader) -> DataFrame:
    raw = [
        {"value": None if each is None else bytearray(each), "key": bytearray(b"k"), "headers": OWN_HEADERS}
        for each in MESSAGES.values()
    ]
    records = cut_large(as_records(rows_of(spark, BRONZE_EVENTS, raw)), reader.limits.message_bytes, 1000)
    return flag_at_once(records, reader).persist()


@pytest.fixture(scope="module")
def rules() -> list[ReadingRule]:
    return [
        ReadingRule("hot", "critical", above("temperature_celsius", 40.0)),
        ReadingRule("cold", "info", below("temperature_celsius", 0.0)),
        ReadingRule("range", "warning", outside_range("temperature_celsius")),
        ReadingRule("power", "warning", outside_range("power_watt")),
        ReadingRule("battery", "warning", below("battery_percent", 10.0)),
        ReadingRule("fault", "warning", has_status(["fault", "error"])),
        *[ReadingRule(f"of_{name}", "info", above("humidity_percent", 76.0), scope) for name, scope in SCOPES.items()],
    ]


@pytest.fixture(scope="module")
def leaving(flagged: DataFrame, reader: Reader, rules: list[ReadingRule]) -> dict[str, list[Row]]:
    """By message what leaves of it, in order."""
    rows = route_records(flagged, reader.registry, reader.rules, rules, DESTINATIONS).collect()
    names, found = list(MESSAGES), {name: [] for name in MESSAGES}  # type: dict[str, list[Row]]
    for row in rows:
        found[names[_offset_of(row)]].append(row)
    return found


def _offset_of(row: Row) -> int:
    if row["topic"] == "dlq":
        headers = {each["key"]: bytes(each["value"]) for each in row["headers"]}
        return int(headers["sluice-offset"])
    content = json.loads(row["value"])
    return int(content["offset"] if row["topic"] == "processed" else content["coordinates"].rpartition(":")[2])


def signals_of(rows: list[Row]) -> list[Signal]:
    return [decode_signal(bytes(row["value"])) for row in rows if row["topic"] == "alerts"]


def test_signals_alone_are_those_that_leave_beside_the_rest(
    flagged: DataFrame, reader: Reader, rules: list[ReadingRule], leaving: dict[str, list[Row]]
) -> None:
    alone = route_records(flagged, reader.registry, reader.rules, rules, DESTINATIONS, signals_only=True).collect()
    among = [row for rows in leaving.values() for row in rows if row["topic"] == "alerts"]
    assert len(among) > 5
    assert sorted(alone) == sorted(among)


def test_in_one_step_every_known_message_comes_out_as_in_silvers_two(spark: SparkSession, reader: Reader) -> None:
    raw = [{"value": None if case.message is None else bytearray(case.message)} for case in cases()]
    records = as_records(rows_of(spark, BRONZE_EVENTS, raw))
    two_steps = flag_records(records, reader).persist()
    expected = two_steps.where(F.col("state") != SUSPECT).unionAll(decide_doubtful(two_steps, reader))
    compared = [name for name in FLAGGED_COLUMNS if name not in ("event_time", "event_date", "raw", "marks")]
    # Times that Python does not have.
    times = (F.unix_micros("event_time").alias("event_time"), F.unix_date("event_date").alias("event_date"))
    columns = (*compared, *times, F.col("raw.value").alias("bytes"))
    assert_df_equality(
        flag_at_once(records, reader).select(*columns),
        expected.select(*columns),
        ignore_nullable=True,
        allow_nan_equality=True,
        ignore_row_order=True,
    )


def test_a_reading_leaves_after_its_signals(leaving: dict[str, list[Row]]) -> None:
    rows = leaving["doubtful"]
    event_id = event(temperature_celsius=46.0)["event_id"]
    common: dict[str, Any] = {
        "subject": "sensor-0001",
        "event_time": MOMENT,
        "device_id": "sensor-0001",
        "customer": "acme",
        "site": "berlin",
        "metric": "temperature_celsius",
        "value": 46.0,
        "event_id": event_id,
        "coordinates": "iot.raw:0:0",
    }
    found = (("hot", "critical", 40.0), ("range", "warning", 45.0))
    signals = [
        Signal(
            signal_id_of("raise", rule, "sensor-0001", MOMENT, event_id),
            "raise",
            rule,
            severity,
            threshold=limit,
            **common,
        )
        for rule, severity, limit in found
    ]
    assert [(row["topic"], bytes(row["key"]), row["headers"]) for row in rows] == [
        ("alerts", b"sensor-0001", None),
        ("alerts", b"sensor-0001", None),
        ("processed", b"sensor-0001", None),
    ]
    assert signals_of(rows) == signals
    assert [json.loads(row["value"]) for row in rows[:2]] == [json.loads(encode_signal(each)) for each in signals]
    assert json.loads(rows[2]["value"]) == {
        "event_id": event_id,
        "device_id": "sensor-0001",
        "event_time": "2024-01-01T11:59:58.000000Z",
        "schema_version": 1,
        "temperature_celsius": 46.0,
        "customer": "acme",
        "site": "berlin",
        "quality_flag": "out_of_range",
        "failed_rules": ["temperature_celsius_at_most_registered_max"],
        "topic": "iot.raw",
        "topic_generation": 1,
        "partition": 0,
        "offset": 0,
        "kafka_timestamp": "2024-01-01T12:00:00.000000Z",
    }


def test_a_dead_letter_is_what_silver_would_send_of_it_but_for_the_promotion(
    flagged: DataFrame, leaving: dict[str, list[Row]], reader: Reader
) -> None:
    rows = select_refused(flagged, reader.rules, Promotion("", KAFKA_TIME)).orderBy("offset").collect()
    names = list(MESSAGES)
    assert [names[row["offset"]] for row in rows] == ["no JSON", "too hot", "long", "null", "refused"]
    for row in rows:
        quarantined: Any = {**row.asDict(), "headers": [each.asDict() for each in row["headers"] or ()]}
        wanted = without_bytes(quarantined) if names[row["offset"]] == "long" else outgoing(quarantined)
        (letter,) = leaving[names[row["offset"]]]
        headers = [(each["key"], bytes(each["value"])) for each in letter["headers"]]
        assert letter["topic"] == "dlq"
        assert (letter["key"], letter["value"]) == (wanted.key, wanted.value)
        assert headers == [(key, bytes(value)) for key, value in wanted.headers]
    told = {each["key"]: bytes(each["value"]) for each in leaving["too hot"][0]["headers"]}
    assert told["sluice-stage"] == b"rules"
    assert told["sluice-error-detail"].startswith(b"broke ")


@pytest.mark.parametrize(
    "rule",
    [("hot", "a device", "e-1"), ("x", "ü \x1f €", ""), ("y", "", "é" * 200)],
    ids=["plain", "the separator itself", "no device, beyond ASCII"],
)
def test_spark_and_python_give_a_signal_the_same_id(spark: SparkSession, rule: tuple[str, str, str]) -> None:
    name, subject, event_id = rule
    moments = [utc(2000, 1, 1), utc(2024, 2, 29, 23, 59, 59, 999_999), utc(2024, 1, 1, 0, 0, 0, 100_000)]
    frame = spark.createDataFrame(
        [(subject, event_id, moment) for moment in moments], "s string, e string, t timestamp"
    )
    text = F.date_format("t", "yyyy-MM-dd'T'HH:mm:ss.SSSSSS'Z'")
    found = frame.select(signal_id("raise", F.lit(name), F.col("s"), text, F.col("e")).alias("id")).collect()
    assert [row["id"] for row in found] == [signal_id_of("raise", name, subject, at, event_id) for at in moments]


def test_limits_are_outside_ends_of_ranges_inside_and_a_single_metric_is_judged_under_its_name(
    leaving: dict[str, list[Row]],
) -> None:
    found = {
        name: [(each.rule_id, each.value, each.threshold) for each in signals_of(rows)]
        for name, rows in leaving.items()
        if not name.startswith("of ") and rows[0]["topic"] != "dlq"
    }
    assert found == {
        "doubtful": [("hot", 46.0, 40.0), ("range", 46.0, 45.0)],
        "calm": [],
        "at the limit": [],
        "above it": [("hot", 40.5, 40.0)],
        "at the end": [("hot", 45.0, 40.0)],
        "beyond it": [("hot", 45.5, 40.0), ("range", 45.5, 45.0)],
        "below both": [("cold", -10.5, 0.0), ("range", -10.5, -10.0)],
        "not below": [],
        "unknown": [("hot", 50.0, 40.0)],
        "power": [],
        "much power": [("power", 3501.0, 3500.0)],
        "only metric": [("range", 31.0, 30.0)],
        "only metric, hot": [("hot", 41.0, 40.0), ("range", 41.0, 30.0)],
        "which metric?": [],
        "low battery": [("battery", 9.5, 10.0)],
        "fault": [("fault", None, None)],
        "other case": [],
    }


def test_a_rule_watches_the_devices_sites_and_customers_it_names(leaving: dict[str, list[Row]]) -> None:
    watched: dict[str, list[str]] = {name: [] for name in SCOPES}
    for device in SCOPED:
        for each in signals_of(leaving[f"of {device}"]):
            watched[each.rule_id.removeprefix("of_")].append(device)
    assert watched == {
        "all": list(SCOPED),
        "some": ["sensor-0001", "berlin-1"],
        "dot": ["a.b"],
        "site": ["sensor-0001"],
        "customer": ["sensor-0001"],
        "all_three": [],
    }

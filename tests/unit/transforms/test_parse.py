from __future__ import annotations

from chispa import assert_df_equality
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from sluice.testing import bronze_rows
from sluice.transforms.contract import Contract
from sluice.transforms.parse import EVENT_COLUMNS, Limits, parse_events
from sluice.transforms.records import RECORD_COLUMNS, as_records

from .messages import event, micros, raw_v1, reading, utc, v1, v2

CERTAIN = (
    # What devices send: the fast half must be sure of it, or silver loses its speed.
    (v1(), event()),
    (v1(schema_version=1, humidity=-0.0, status="ok"), event(humidity_percent=0.0, status="ok")),
    (
        v2(
            schema_version=2,
            pressure=1013.25,
            battery_level=88,
            location={"latitude": 52.5, "longitude": -13.4},
            firmware="1.2.3",
            timestamp="2024-01-01T13:00:00.5+01:00",
        ),
        event(
            event_id="e-1",
            schema_version=2,
            event_time=micros(utc(2024, 1, 1, 12, 0, 0, 500_000)),
            pressure_hpa=1013.25,
            battery_percent=88.0,
            latitude=52.5,
            longitude=-13.4,
            firmware="1.2.3",
        ),
    ),
    (reading(), event(device_id="meter-0001", schema_version=0, temperature_celsius=None, value=7.5)),
    (v1().replace(b",", b", ").replace(b":", b": ").replace(b"T11: 59: 58", b"T11:59:58"), event()),
    (b" " + v1().replace(b"{", b"{\t").replace(b"}", b"\r\n}") + b" ", event()),
    (v1(status="},{[:]"), event(status="},{[:]")),
)
DOUBTFUL = (
    None,
    b"",
    b"{",
    v1() + b"x",
    v1().replace(b":", b" :", 1),
    v1().replace(b"}", b",}"),
    raw_v1('"temperature":01'),
    raw_v1('"temperature":1.'),
    raw_v1('"temperature":+1'),
    raw_v1('"temperature":[1]'),
    v1(colour="red"),
    v1(status=None),
    v1(status="é"),
    v1(status='a"b'),
    v1(status="\x7f"),
    v1(status="a" * 1024),
    v1(device_id=""),
    v1(device_id="s" * 257),
    v1(timestamp="2024-01-01T11:59:58"),
    v1(timestamp="2024-02-30T11:59:58Z"),
    v1(temperature="21.5"),
    v1(schema_version=7),
    reading(schema_version=7),
    raw_v1('"temperature":1e999'),
    raw_v1('"temperature":1,"temperature":2'),
    v1(id="m", dt="2024-01-01T11:59:58Z", value=1),
)


def test_the_fast_half_is_sure_of_what_devices_send_and_of_nothing_else(
    spark: SparkSession, shipped_contract: Contract
) -> None:
    records = as_records(bronze_rows(spark, [*(message for message, _ in CERTAIN), *DOUBTFUL]))
    parsed = parse_events(records, shipped_contract, Limits())
    assert parsed.columns == [*RECORD_COLUMNS, *EVENT_COLUMNS, "is_certain"]
    # Where it is not sure, what it read means nothing.
    sure = [F.when(F.col("is_certain"), F.col(name)).alias(name) for name in EVENT_COLUMNS if name != "event_time"]
    time = F.when(F.col("is_certain"), F.unix_micros("event_time")).alias("event_time")
    found = parsed.select("offset", "is_certain", *sure, time)
    names = found.columns[2:]
    expected = [
        *((offset, True, *[columns[name] for name in names]) for offset, (_, columns) in enumerate(CERTAIN)),
        *((len(CERTAIN) + index, False, *[None] * len(names)) for index in range(len(DOUBTFUL))),
    ]
    assert_df_equality(
        found, spark.createDataFrame(expected, found.schema), ignore_row_order=True, ignore_nullable=True
    )


def test_limits_are_those_given_and_the_plan_reads_json_once(spark: SparkSession, shipped_contract: Contract) -> None:
    records = as_records(
        bronze_rows(spark, [v1(device_id="abc"), v1(device_id="abcd"), v1(device_id="ab", status="s" * 40)])
    )
    limits = Limits(message_bytes=100, id_characters=3)
    parsed = parse_events(records, shipped_contract, limits)
    assert [row["is_certain"] for row in parsed.orderBy("offset").collect()] == [True, False, False]
    plan = parsed._jdf.queryExecution().optimizedPlan().toString()
    assert plan.count("from_json(") == 1

from __future__ import annotations

import random
from datetime import date
from typing import Any

from chispa import assert_df_equality
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from sluice.quality.scores import Counts, score_of
from sluice.schemas import (
    DIMENSIONS,
    GOLD_QUALITY_SCORES,
    SILVER_DUPLICATES,
    SILVER_QUARANTINE,
    SILVER_READINGS,
)
from sluice.testing import day, rows_of, utc
from sluice.transforms.scores import COUNTED, SCORE_KEY, carry_over, count_days, day_of, on_days, score_days

NOON, NEXT_NOON = utc(2024, 1, 1, 12), utc(2024, 1, 2, 12)
FIRST, SECOND = day(2024, 1, 1), day(2024, 1, 2)
COUNTED_DDL = f"day date, device_id string, {', '.join(f'{name} bigint' for name in COUNTED)}"
REGISTRY_DDL = "device_id string, customer string, expected_interval_seconds double"


def counted(**given: int) -> tuple[int, ...]:
    return tuple(given.get(name, 0) for name in COUNTED)


def scores(spark: SparkSession, rows: list[dict[str, Any]]) -> DataFrame:
    return rows_of(spark, GOLD_QUALITY_SCORES, rows)


def test_each_row_counts_for_its_day_and_device(spark: SparkSession) -> None:
    readings = [
        {"event_time": NOON, "quality_flag": "out_of_range"},
        # Late by one microsecond, and not at all.
        {"event_time": NOON, "kafka_timestamp": utc(2024, 1, 1, 12, 5, 0, 1)},
        {"event_time": NOON, "kafka_timestamp": utc(2024, 1, 1, 12, 5)},
        {
            "event_time": NEXT_NOON,
            "event_date": SECOND,
            "kafka_timestamp": NEXT_NOON,
            "failed_rules": ["odd", "status"],
        },
        {"event_time": NOON, "device_id": "other", "failed_rules": ["odd"]},
    ]
    refused = {"kafka_timestamp": NEXT_NOON, "status": "open", "stage": "parse"}
    quarantine = [
        {**refused},
        {**refused, "device_id": "other"},
        {**refused, "status": "discarded", "stage": "rules", "device_id": "sensor-0001", "failed_rules": ["status"]},
        {**refused, "status": "replayed", "device_id": "gone"},
    ]
    duplicates = [{"event_time": NOON, "device_id": "sensor-0001"}, {"event_time": NOON, "device_id": "silent"}]
    found = count_days(
        rows_of(spark, SILVER_READINGS, readings),
        rows_of(spark, SILVER_QUARANTINE, quarantine),
        rows_of(spark, SILVER_DUPLICATES, duplicates),
        ["status"],
        300.0,
    )
    rows = [
        (FIRST, "sensor-0001", *counted(readings=3, out_of_range=1, duplicates=1, judged=3, late=1)),
        (FIRST, "other", *counted(readings=1, judged=1)),
        (FIRST, "silent", *counted(duplicates=1)),
        (SECOND, "sensor-0001", *counted(readings=1, quarantined=1, judged=2, inconsistent=2)),
        (SECOND, "other", *counted(quarantined=1)),
        (SECOND, "(unreadable)", *counted(quarantined=1)),
    ]
    micros = F.col("newest_kafka_micros")
    newest = {
        (row["day"], row["device_id"]): row["at"]
        for row in found.select("*", F.timestamp_micros(micros).alias("at")).collect()
    }
    assert_df_equality(
        found.drop("newest_kafka_micros"),
        spark.createDataFrame(rows, COUNTED_DDL),
        ignore_row_order=True,
        ignore_nullable=True,
    )
    assert newest[FIRST, "sensor-0001"] == utc(2024, 1, 1, 12, 5, 0, 1).replace(tzinfo=None)
    assert (newest[FIRST, "silent"], newest[SECOND, "(unreadable)"]) == (None, NEXT_NOON.replace(tzinfo=None))


def test_scores_stand_with_what_they_are_made_of(spark: SparkSession) -> None:
    counts = [
        # Half of the second day is covered, of the third nothing.
        (
            FIRST,
            "a",
            *counted(readings=864, quarantined=96, out_of_range=96, duplicates=40, judged=960, inconsistent=96),
        ),
        (SECOND, "a", *counted(readings=864, late=432, judged=864)),
        (day(2024, 1, 3), "a", *counted(readings=1, judged=1)),
        (FIRST, "stranger", *counted(readings=1, judged=1)),
        (FIRST, "(unreadable)", *counted(quarantined=2)),
    ]
    registry = spark.createDataFrame([("a", "acme", 50.0), ("b", "acme", 5.0)], REGISTRY_DDL)
    at = utc(2024, 1, 2, 13)
    frame = spark.createDataFrame(counts, COUNTED_DDL)
    nothing = {"quarantined": 0, "out_of_range": 0, "duplicates": 0, "late": 0, "inconsistent": 0, "updated_at": at}
    fine = dict.fromkeys(("validity", "uniqueness", "timeliness", "consistency"), 1.0)
    one = {**nothing, **fine, "score": 100.0, "band": "good", "received": 1, "readings": 1, "judged": 1}
    expected = [
        {
            **{"day": FIRST, "customer": "acme", "device_id": "a", "completeness": 0.5, "validity": 0.808},
            **{"uniqueness": 0.96, "timeliness": 1.0, "consistency": 0.9, "score": 83.36, "band": "warning"},
            **{"received": 1000, "readings": 864, "expected": 1728.0, "quarantined": 96, "out_of_range": 96},
            **{"duplicates": 40, "judged": 960, "late": 0, "inconsistent": 96, "updated_at": at},
        },
        {
            **{**nothing, **fine, "day": SECOND, "customer": "acme", "device_id": "a", "completeness": 1.0},
            **{"timeliness": 0.5, "score": 90.0, "band": "warning", "received": 864, "readings": 864},
            **{"expected": 864.0, "judged": 864, "late": 432},
        },
        {**one, "day": day(2024, 1, 3), "customer": "acme", "device_id": "a", "expected": 0.0},
        {**one, "day": FIRST, "device_id": "stranger"},
        {
            **{**nothing, "day": FIRST, "device_id": "(unreadable)", "validity": 0.0, "uniqueness": 1.0},
            **{"score": 50.0, "band": "critical", "received": 2, "readings": 0, "quarantined": 2, "judged": 0},
        },
    ]
    found = score_days(frame, registry, utc(2024, 1, 2, 12), at, has_consistency=True)
    rounded = {name: F.round(name, 9) for name in (*DIMENSIONS, "score")}
    assert_df_equality(found.withColumns(rounded), scores(spark, expected), ignore_row_order=True, ignore_nullable=True)


def test_columns_and_arithmetic_agree_to_the_last_bit(spark: SparkSession) -> None:
    chance = random.Random(11)
    rows = {
        f"d{number}": tuple(chance.choice([0, 1, chance.randint(2, 90_000)]) for _ in COUNTED) for number in range(300)
    }
    frame = spark.createDataFrame([(FIRST, device, *row) for device, row in rows.items()], COUNTED_DDL)
    intervals = {device: chance.choice([None, 5.0, 0.3, 7e9]) for device in rows}
    registered = [(device, "acme", interval) for device, interval in intervals.items() if interval]
    registry = spark.createDataFrame(registered, REGISTRY_DDL)
    until, moment = utc(2024, 1, 1, 17, 3, 5), utc(2024, 1, 2)
    for has_consistency in (True, False):
        found = score_days(frame, registry, until, moment, has_consistency=has_consistency).collect()
        assert len(found) == 300
        for row in found:
            values = dict(zip(COUNTED, rows[row["device_id"]], strict=True))
            interval = intervals[row["device_id"]]
            if not has_consistency:
                values["inconsistent"] = None
            given = {**values, "received": sum(values[name] for name in ("readings", "quarantined", "duplicates"))}
            expected = (17 * 3600 + 3 * 60 + 5) / interval if interval else None
            score = score_of(Counts(**given, expected=expected, timed=values["readings"]))
            assert {name: row[name] for name in (*DIMENSIONS, "score", "band", "expected", *given)} == {
                **{name: getattr(score, name) for name in (*DIMENSIONS, "score", "band")},
                **given,
                "expected": expected,
            }


def test_nothing_is_expected_where_no_kafka_timestamp_is_known(spark: SparkSession) -> None:
    frame = spark.createDataFrame([(FIRST, "a", *counted(duplicates=1))], COUNTED_DDL)
    registry = spark.createDataFrame([("a", "acme", 5.0)], REGISTRY_DDL)
    found = score_days(frame, registry, None, NOON, has_consistency=True).select("completeness", "expected", "score")
    assert [tuple(row) for row in found.collect()] == [(None, None, 50.0)]


def test_a_row_that_says_what_it_said_keeps_its_time(spark: SparkSession) -> None:
    old, new = utc(2024, 1, 2), utc(2024, 1, 3)
    same, other = {"day": FIRST, "device_id": "same", "readings": 1}, {"day": FIRST, "device_id": "other"}
    known = [
        {**same, "updated_at": old},
        {**other, "readings": 1, "score": 90.0, "updated_at": old},
        {"day": SECOND, "device_id": "gone", "updated_at": old},
    ]
    fresh = [
        {**same, "updated_at": new},
        {**other, "readings": 1, "score": None, "updated_at": new},
        {"day": SECOND, "device_id": "new", "updated_at": new},
    ]
    kept = [{**same, "updated_at": old}, *fresh[1:], {"day": SECOND, "device_id": "gone"}]
    changed = F.col("device_id") != "same"
    assert_df_equality(
        carry_over(scores(spark, fresh), scores(spark, known)),
        scores(spark, kept).withColumn("is_changed", changed),
        ignore_row_order=True,
        ignore_nullable=True,
    )


def test_any_time_has_a_day_of_four_digits(spark: SparkSession) -> None:
    sql = """
        SELECT timestamp_micros(micros) AS at
        FROM VALUES (0L), (-1L), (-9223372036854775808L), (9223372036854775807L), (1704110400000000L), (NULL)
        AS times(micros)
    """
    times = spark.sql(sql).withColumn("day", day_of("at"))
    epoch = date(1970, 1, 1)
    found = [epoch, epoch, epoch, date.max, FIRST, epoch]
    assert [row["day"] for row in times.select("day").collect()] == found
    for days in ([], [FIRST], [epoch], [epoch, FIRST], [date.max], [FIRST, date.max], [SECOND]):
        picked = times.where(on_days("at", days)).select("day").collect()
        assert [row["day"] for row in picked] == [each for each in found if each in days]


def test_the_key_is_part_of_the_table() -> None:
    assert set(SCORE_KEY) | set(COUNTED) <= set(GOLD_QUALITY_SCORES.column_names)

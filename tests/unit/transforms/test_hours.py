from __future__ import annotations

from datetime import datetime, timedelta, timezone

from chispa import assert_df_equality
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from sluice.schemas import SILVER_READINGS
from sluice.testing import day, rows_of, utc
from sluice.transforms.hours import (
    FIRST_HOUR,
    LAST_HOUR,
    MAX_DATES,
    MAX_RANGES,
    Range,
    hour_of,
    merge_hours,
    moment_of,
    read_value,
    readable,
    within,
)

START = utc(2024, 1, 1)


def hours(*numbers: int) -> list[datetime]:
    return [START + timedelta(hours=number) for number in numbers]


def spans(ranges: list[Range]) -> list[tuple[int, int]]:
    return [tuple((end - START) // timedelta(hours=1) for end in each) for each in ranges]  # type: ignore[misc]


def test_no_hours_make_no_range() -> None:
    assert merge_hours([]) == []


def test_hours_that_follow_each_other_become_one_half_open_range() -> None:
    assert spans(merge_hours(hours(3, 1, 2, 2, 7))) == [(1, 4), (7, 8)]


def test_gaps_are_kept_while_ranges_are_few() -> None:
    every_other = hours(*range(0, 2 * MAX_RANGES, 2))
    assert spans(merge_hours(every_other)) == [(hour, hour + 1) for hour in range(0, 2 * MAX_RANGES, 2)]


def test_too_many_ranges_are_joined_over_their_smallest_gaps() -> None:
    # Gaps of 1 hour between the first 11 ranges, of 9 hours between the later ones.
    near, far = list(range(0, 22, 2)), list(range(30, 30 + 10 * (MAX_RANGES - 1), 10))
    ranges = spans(merge_hours(hours(*near, *far)))
    assert len(ranges) == MAX_RANGES
    assert ranges == [(0, 21), *[(hour, hour + 1) for hour in far]]


def test_joined_ranges_still_cover_every_hour() -> None:
    starts = hours(*[number * number for number in range(200)])
    ranges = merge_hours(starts)
    assert len(ranges) == MAX_RANGES
    assert all(any(low <= start < high for low, high in ranges) for start in starts)


def test_rows_of_the_ranges_are_found_and_no_others(spark: SparkSession) -> None:
    times = [
        (utc(2024, 1, 1, 0, 59, 59, 999_999), False),
        (utc(2024, 1, 1, 1), True),
        (utc(2024, 1, 1, 2, 59, 59, 999_999), True),
        (utc(2024, 1, 1, 3), False),
        (utc(2024, 1, 3, 23), True),
        (utc(2024, 1, 4), True),
        (utc(2024, 1, 4, 1), False),
        (utc(2023, 1, 1, 1), False),
    ]
    table = rows_of(
        spark,
        SILVER_READINGS,
        [{"event_time": time, "event_date": time.date(), "event_id": str(inside)} for time, inside in times],
    )
    ranges = merge_hours([*hours(1, 2), utc(2024, 1, 3, 23), utc(2024, 1, 4)])
    found = table.where(within(ranges, "event_time", "event_date")).select("event_time", "event_id")
    expected = [(time, str(inside)) for time, inside in times if inside]
    assert len(expected) == 4
    assert_df_equality(
        found, spark.createDataFrame(expected, "event_time timestamp, event_id string"), ignore_row_order=True
    )
    assert table.where(within([], "event_time", "event_date")).collect() == []


def test_the_condition_names_the_dates_so_that_partitions_are_pruned(spark: SparkSession) -> None:
    ranges = merge_hours([utc(2024, 1, 1, 23), utc(2024, 1, 5)])
    wrong_date = {"event_time": utc(2024, 1, 5), "event_date": day(2024, 1, 4)}
    right_date = {"event_time": utc(2024, 1, 5), "event_date": day(2024, 1, 5)}
    table = rows_of(spark, SILVER_READINGS, [wrong_date, right_date])
    found = table.where(within(ranges, "event_time", "event_date")).select("offset")
    assert [row["offset"] for row in found.collect()] == [1]


def test_ranges_over_more_dates_than_can_be_named_are_still_exact(spark: SparkSession) -> None:
    far = START + timedelta(days=MAX_DATES + 500)
    ranges = [(START, START + timedelta(days=MAX_DATES + 1)), (far, far + timedelta(hours=1))]
    times = [START, START + timedelta(days=MAX_DATES + 1), far, far + timedelta(hours=1)]
    table = rows_of(spark, SILVER_READINGS, [{"event_time": each, "event_date": each.date()} for each in times])
    found = table.where(within(ranges, "event_time", "event_date")).select("offset")
    assert sorted(row["offset"] for row in found.collect()) == [0, 2]


def test_the_last_hour_python_can_name_is_a_range_too() -> None:
    last = utc(9999, 12, 31, 23)
    assert merge_hours([last]) == [(last, datetime.max.replace(tzinfo=timezone.utc))]


def test_times_beyond_those_of_python_are_collected_as_text_and_fall_into_its_first_or_last_hour(
    spark: SparkSession,
) -> None:
    texts = (
        "0000-01-01 00:00:00",
        "0001-01-01 00:00:01",
        "0001-01-04 00:00:01",
        "2024-01-01 11:59:58.5",
        "+10000-01-01 00:30:00",
        None,
    )
    frame = spark.createDataFrame([(text,) for text in texts], "text string")
    times = frame.select(F.expr("CAST(text AS timestamp)").alias("time"), F.lit(1).alias("n"))
    rows = times.select(*readable({"time": "timestamp", "n": "int"}), hour_of("time").alias("hour")).collect()
    assert [read_value(row, "time") for row in rows] == [
        "0000-01-01 00:00:00",
        "0001-01-01 00:00:01",
        datetime(1, 1, 4, 0, 0, 1),
        datetime(2024, 1, 1, 11, 59, 58, 500_000),
        "+10000-01-01 00:30:00",
        None,
    ]
    assert {read_value(row, "n") for row in rows} == {1}
    found = [moment_of(row["hour"]) for row in rows[:5]]
    assert found == [FIRST_HOUR, FIRST_HOUR, utc(1, 1, 4), utc(2024, 1, 1, 11), LAST_HOUR]

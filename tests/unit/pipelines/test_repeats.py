from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from chispa import assert_df_equality
from pyspark.sql import DataFrame, SparkSession

from sluice.pipelines.repeats import find_repeats
from sluice.schemas import SILVER_READINGS
from sluice.testing import KAFKA_TIME, rows_of, utc
from sluice.transforms.deduplicate import COMPARED_COLUMNS, REPEAT_COLUMNS

Rows = list[dict[str, Any]]
OTHER_TIME = utc(2024, 1, 1, 12, 0, 0, 1)


def compared(spark: SparkSession, rows: Iterable[dict[str, Any]]) -> DataFrame:
    complete = [{"temperature_celsius": 21.5, **row} for row in rows]
    return rows_of(spark, SILVER_READINGS, complete).select(*COMPARED_COLUMNS)


def at(offset: int, **columns: Any) -> dict[str, Any]:
    """An event at an offset of partition 0."""
    return {"offset": offset, **columns}


def repeat(offset: int, kept: int, *, conflict: bool = False, **columns: Any) -> tuple[Any, ...]:
    """The expected row of a repeat of event `e1` in partition 0."""
    row = {
        "topic": "iot.raw",
        "topic_generation": 1,
        "partition": 0,
        "offset": offset,
        "device_id": "sensor-0001",
        "event_time": KAFKA_TIME,
        "event_id": "e1",
        "kept_topic": "iot.raw",
        "kept_topic_generation": 1,
        "kept_partition": 0,
        "kept_offset": kept,
        "is_conflict": conflict,
        **columns,
    }
    return tuple(row[name] for name in REPEAT_COLUMNS)


# rule, candidates, existing, repeats; each case has a device of its own, so that all run at once.
CASES: tuple[tuple[str, Rows, Rows, list[tuple[Any, ...]]], ...] = (
    ("a key that stands there once is no repeat", [at(1)], [], []),
    ("the copy with the lower offset keeps the key", [at(2), at(1)], [], [repeat(2, 1)]),
    (
        "a lower partition weighs more than a lower offset",
        [at(9), at(1, partition=1)],
        [],
        [repeat(1, 9, partition=1)],
    ),
    (
        "a lower generation weighs more than a lower partition",
        [at(1, topic_generation=2), at(9, partition=3)],
        [],
        [repeat(1, 9, topic_generation=2, kept_partition=3)],
    ),
    (
        "a lower topic weighs most",
        [at(1, topic="b"), at(9, topic="a", topic_generation=2)],
        [],
        [repeat(1, 9, topic="b", kept_topic="a", kept_topic_generation=2)],
    ),
    ("of three copies two are repeats of the first", [at(3), at(1), at(2)], [], [repeat(2, 1), repeat(3, 1)]),
    ("what silver has keeps its key, whatever its coordinates", [at(1)], [at(7)], [repeat(1, 7)]),
    ("every copy of what silver has is a repeat", [at(1), at(2)], [at(7)], [repeat(1, 7), repeat(2, 7)]),
    ("what silver has and nobody repeats is left out", [at(1, event_id="e2")], [at(7)], []),
    ("repeats within silver are not ours", [at(1, event_id="e2")], [at(7), at(8)], []),
    ("another time is another event", [at(1), at(2, event_time=OTHER_TIME)], [], []),
    ("another id is another event", [at(1), at(2, event_id="E1")], [], []),
    (
        "other values are a conflict",
        [at(1), at(2, temperature_celsius=22.0)],
        [],
        [repeat(2, 1, conflict=True)],
    ),
    (
        "other values than silver's are a conflict",
        [at(1, temperature_celsius=22.0)],
        [at(7)],
        [repeat(1, 7, conflict=True)],
    ),
    (
        "of two that differ the later in coordinates is the conflict",
        [at(2), at(1, temperature_celsius=22.0)],
        [],
        [repeat(2, 1, conflict=True)],
    ),
    (
        "a copy of a conflict is a conflict too",
        [at(1), at(2, temperature_celsius=22.0), at(3, temperature_celsius=22.0), at(4)],
        [],
        [repeat(2, 1, conflict=True), repeat(3, 1, conflict=True), repeat(4, 1)],
    ),
    ("null equals null", [at(1, temperature_celsius=None), at(2, temperature_celsius=None)], [], [repeat(2, 1)]),
    ("null is not a value", [at(1), at(2, humidity_percent=5.0)], [], [repeat(2, 1, conflict=True)]),
    ("a value is not null", [at(1, humidity_percent=5.0), at(2)], [], [repeat(2, 1, conflict=True)]),
    ("an empty text is not null", [at(1, status=""), at(2)], [], [repeat(2, 1, conflict=True)]),
    ("0.0 equals 0.0", [at(1, humidity_percent=0.0), at(2, humidity_percent=0.0)], [], [repeat(2, 1)]),
    ("neither version nor flag is compared", [at(1, schema_version=1), at(2, schema_version=2)], [], [repeat(2, 1)]),
    *(
        (f"{name} is compared", [at(1, **{name: first}), at(2, **{name: second})], [], [repeat(2, 1, conflict=True)])
        for name, first, second in (
            ("pressure_hpa", 1.0, 2.0),
            ("battery_percent", 1.0, 2.0),
            ("latitude", 1.0, 2.0),
            ("longitude", 1.0, 2.0),
            ("status", "a", "b"),
            ("firmware", "a", "b"),
            ("value", 1.0, 2.0),
        )
    ),
)


def test_the_first_of_each_event_key_keeps_it_and_the_others_are_named(spark: SparkSession) -> None:
    candidates: Rows = []
    existing: Rows = []
    expected: list[tuple[Any, ...]] = []
    device = REPEAT_COLUMNS.index("device_id")
    for number, (_, new, old, repeats) in enumerate(CASES):
        own = {"device_id": f"case-{number}"}
        candidates += [{**row, **own} for row in new]
        existing += [{**row, **own} for row in old]
        expected += [(*row[:device], own["device_id"], *row[device + 1 :]) for row in repeats]
    found = find_repeats(compared(spark, candidates), compared(spark, existing))
    kinds = dict(SILVER_READINGS.columns)
    ddl = ", ".join(f"`{name}` {kinds.get(name.removeprefix('kept_'), 'boolean')}" for name in REPEAT_COLUMNS)
    assert_df_equality(found, spark.createDataFrame(expected, ddl), ignore_row_order=True, ignore_nullable=True)


def test_no_two_cases_have_one_name() -> None:
    names = [name for name, *_ in CASES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("direction", [1, -1])
def test_the_order_and_the_partitions_of_the_rows_do_not_matter(spark: SparkSession, direction: int) -> None:
    rows = [at(offset, event_id=f"e{offset % 3}") for offset in range(9)]
    frame = compared(spark, rows[::direction]).repartition(3)
    found = find_repeats(frame, compared(spark, []))
    kept = {(row["offset"], row["kept_offset"]) for row in found.collect()}
    assert kept == {(offset, offset % 3) for offset in range(3, 9)}

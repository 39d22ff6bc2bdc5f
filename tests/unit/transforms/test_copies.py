"""Records that repeat each other's events are found together, in whichever of them one begins."""

from __future__ import annotations

from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from sluice.schemas import BRONZE_EVENTS, COORDINATES, SILVER_DUPLICATES, SILVER_QUARANTINE
from sluice.testing import rows_of
from sluice.transforms.copies import find_copies, with_copies

AT = {"topic": "iot.raw", "topic_generation": 1, "partition": 0}


@pytest.fixture(scope="module")
def copies(spark: SparkSession) -> DataFrame:
    """1 is kept; 2 is its copy, 3 a conflict with it, 4 one that was replayed since; 8 is a copy of 7."""
    duplicates = [
        {
            **AT,
            "offset": copy,
            "kept_topic": "iot.raw",
            "kept_topic_generation": 1,
            "kept_partition": 0,
            "kept_offset": kept,
        }
        for copy, kept in ((2, 1), (8, 7))
    ]
    conflict: dict[str, Any] = {
        "error_code": "DUPLICATE_CONFLICT",
        "error_detail": "other values than the event at iot.raw:1:0:1",
    }
    refused = [
        {**AT, "offset": 3, **conflict, "status": "open"},
        {**AT, "offset": 4, **conflict, "status": "replayed"},
        {**AT, "offset": 5, "error_code": "NOT_JSON", "error_detail": "no JSON", "status": "open"},
    ]
    return find_copies(rows_of(spark, SILVER_DUPLICATES, duplicates), rows_of(spark, SILVER_QUARANTINE, refused))


def test_copies_and_conflicts_name_the_reading_that_is_kept(copies: DataFrame) -> None:
    found = {(row["offset"], row["kept_topic"], row["kept_offset"]) for row in copies.collect()}
    assert found == {(2, "iot.raw", 1), (8, "iot.raw", 7), (3, "iot.raw", 1)}


@pytest.mark.parametrize(
    ("inside", "beyond"),
    [([1], [2, 3]), ([2], [1, 3]), ([3, 5], [1, 2]), ([5], []), ([1, 2, 3], []), ([8, 2], [1, 3, 7])],
)
def test_what_hangs_together_is_taken_together(
    spark: SparkSession, copies: DataFrame, inside: list[int], beyond: list[int]
) -> None:
    begun = rows_of(spark, BRONZE_EVENTS, [{"offset": offset} for offset in inside]).select(*COORDINATES)
    found = sorted((row["is_beyond"], row["offset"]) for row in with_copies(begun, copies).collect())
    assert found == [*((False, offset) for offset in sorted(inside)), *((True, offset) for offset in beyond)]

"""`lake.ask`: a ready-made query in Python, and the lake's tables as Spark frames."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

import sluice
from sluice.errors import LakeMissing, QueryInvalid

from .lake_builder import append, at, build_lake, held, minute, reading


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return build_lake(
        tmp_path / "lake",
        {
            "silver.readings": [reading(0, at("12:00:00")), reading(1, at("12:30:00"), device_id="x' OR '1'='1")],
            "silver.held": [held(2, "p1")],
            "gold.readings_1min": [minute(at("12:00:00")), minute(at("12:01:00"), metric="humidity_percent")],
        },
    )


def test_a_ready_made_query_takes_python_values(lake: Path) -> None:
    opened = sluice.open_lake(lake)
    tokyo = timezone(timedelta(hours=9))

    assert opened.ask("device_last_hour", device_id="x' OR '1'='1").project("event_id").fetchall() == [("e1",)]
    since = datetime(2026, 3, 1, 21, 1, tzinfo=tokyo)
    assert opened.ask("hourly", metric="humidity_percent", since=since).project("minutes").fetchall() == [(1,)]
    assert opened.ask("hourly", since=since, device_id=None).fetchall() == []
    assert opened.ask("anomalies", threshold=0.0).fetchall() == []


def test_tables_that_a_query_may_lack_read_as_empty(lake: Path) -> None:
    answer = sluice.open_lake(lake).ask("open_holds")

    assert answer.project("promotion_id, rows_open, verdict").fetchall() == [("p1", 1, None)]


def test_what_is_wrong_is_said_as_by_the_command(lake: Path) -> None:
    opened = sluice.open_lake(lake)

    with pytest.raises(QueryInvalid, match="there is no query 'hourl'"):
        opened.ask("hourl")
    with pytest.raises(QueryInvalid, match="query hourly has no parameter 'day'"):
        opened.ask("hourly", day=1)
    with pytest.raises(QueryInvalid, match=r"since is '2026-03-01T12:00:00', not of type timestamp"):
        opened.ask("hourly", since="2026-03-01T12:00:00")
    with pytest.raises(LakeMissing, match=r"gold\.readings_1min cannot be read at version 9"):
        opened.ask("hourly", as_of=9)


def test_a_table_is_a_spark_frame_at_the_version_asked_for(lake: Path, spark: SparkSession) -> None:
    opened = sluice.open_lake(lake)
    append(lake, "silver.readings", [reading(2, at("12:40:00"), device_id="later")])

    newest = opened.spark("silver.readings", session=spark)
    first = opened.spark("silver.readings", version=0)

    assert sorted(row.device_id for row in newest.select("device_id").collect()) == [
        "later",
        "sensor-0001",
        "x' OR '1'='1",
    ]
    assert sorted(row.event_id for row in first.select("event_id").collect()) == ["e0", "e1"]
    with pytest.raises(LakeMissing, match=r"silver\.readings cannot be read at version 5"):
        opened.spark("silver.readings", version=5, session=spark)

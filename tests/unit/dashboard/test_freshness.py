"""Where the data ends, from the logs of tables alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.dashboard.lake import latest
from tests.unit.serving.lake_builder import at, bronze, build_lake, minute, reading

from sluice.dashboard.freshness import Freshness, read_freshness
from sluice.serving.lake import open_lake


def test_the_ends_of_all_tables_are_read_from_their_logs(tmp_path: Path) -> None:
    build_lake(
        tmp_path,
        {
            "bronze.events": [
                bronze(1, kafka_timestamp=at("12:00:01"), ingested_at=at("12:00:09")),
                bronze(2, kafka_timestamp=at("12:00:07"), ingested_at=at("12:00:10")),
            ],
            "silver.readings": [reading(1, at("11:59:00"), promoted_at=at("12:00:20"))],
            "gold.readings_1min": [minute(at("11:58:00")), minute(at("11:30:00"))],
            "gold.latest_readings": [latest("a", at("11:59:30")), latest("b", at("11:59:50"))],
        },
    )
    for file in tmp_path.rglob("*.parquet"):
        file.write_bytes(b"")
    assert read_freshness(open_lake(tmp_path)) == Freshness(
        at("11:30:00"), at("11:59:50"), at("12:00:07"), at("12:00:10"), at("12:00:20")
    )


def test_a_time_that_a_producer_stamped_ahead_does_not_count_beyond_its_ingestion(tmp_path: Path) -> None:
    stamped = bronze(1, kafka_timestamp=at("23:00:00"), ingested_at=at("12:00:00"))
    build_lake(tmp_path, {"bronze.events": [stamped], "gold.latest_readings": [latest("a", at("23:04:00"))]})
    found = read_freshness(open_lake(tmp_path))
    assert (found.received_at, found.ends_at) == (at("12:00:00"), at("12:00:00"))


def test_a_lake_without_gold_has_no_end(tmp_path: Path) -> None:
    found = read_freshness(open_lake(build_lake(tmp_path, {"bronze.events": [bronze(1)]})))
    assert (found.first_minute, found.ends_at, found.received_at) == (None, None, at("12:00:00"))


@pytest.mark.parametrize(
    ("now", "lag", "live"), [("12:00:30", 30.0, True), ("12:02:00", 120.0, True), ("12:02:01", 121.0, False)]
)
def test_data_is_live_for_two_minutes(now: str, lag: float, live: bool) -> None:
    found = Freshness(received_at=at("12:00:00"))
    assert (found.lag_seconds(at(now)), found.is_live(at(now))) == (lag, live)


def test_no_lag_is_negative_and_none_is_known_without_records() -> None:
    assert Freshness(received_at=at("12:00:05")).lag_seconds(at("12:00:00")) == 0.0
    assert (Freshness().lag_seconds(at("12:00:00")), Freshness().is_live(at("12:00:00"))) == (None, False)

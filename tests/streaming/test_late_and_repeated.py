"""Order, delay and repetition of events do not change what silver and gold hold in the end."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.schemas import (
    GOLD_LATEST_READINGS,
    GOLD_READINGS_1MIN,
    SILVER_DUPLICATES,
    SILVER_QUARANTINE,
    SILVER_READINGS,
)
from sluice.testing import utc
from tests.streaming.conftest import Workshop, reading


def minute(workshop: Workshop) -> list[tuple[Any, ...]]:
    columns = ("bucket", "reading_count", "value_mean", "value_min", "value_max", "value_stddev")
    rows = workshop.read(GOLD_READINGS_1MIN).where("device_id = 'sensor-0001'").select(*columns).orderBy("bucket")
    return [tuple(row) for row in rows.collect()]


@pytest.mark.soak
def test_a_late_event_corrects_the_minute_it_belongs_to(workshop: Workshop) -> None:
    workshop.send([reading(10.0), reading(30.0, event_id="e2", timestamp="2024-03-01T10:05:00Z")])
    workshop.drain()
    workshop.send([reading(20.0, event_id="e3", timestamp="2024-03-01T10:00:59Z")])
    workshop.drain()
    first, later = utc(2024, 3, 1, 10, 0).replace(tzinfo=None), utc(2024, 3, 1, 10, 5).replace(tzinfo=None)
    stddev = pytest.approx(50**0.5)
    assert minute(workshop) == [(first, 2, 15.0, 10.0, 20.0, stddev), (later, 1, 30.0, 30.0, 30.0, None)]
    latest = workshop.read(GOLD_LATEST_READINGS).select("value", "event_time").collect()
    assert [tuple(row) for row in latest] == [(30.0, later)]
    assert workshop.audit() == {}


def test_a_copy_is_found_however_late_it_comes_and_another_value_is_a_conflict(workshop: Workshop) -> None:
    old = reading(10.0, timestamp="2023-01-01T00:00:00Z")
    workshop.send([old, reading(11.0, event_id="e2")])
    workshop.drain(["bronze", "silver"])
    workshop.send([reading(12.0, event_id="e3")])
    workshop.drain(["bronze", "silver"])
    workshop.send([old, {**old, "temperature": 10.5}, {**old, "timestamp": "2023-01-01T01:00:00+01:00"}])
    workshop.drain(["bronze", "silver"])
    kept = workshop.read(SILVER_READINGS).select("offset").orderBy("offset").collect()
    duplicates = workshop.read(SILVER_DUPLICATES).select("offset", "kept_offset").orderBy("offset").collect()
    conflicts = workshop.read(SILVER_QUARANTINE).select("offset", "error_code").collect()
    assert [row[0] for row in kept] == [0, 1, 2]
    assert [tuple(row) for row in duplicates] == [(3, 0), (5, 0)]
    assert [tuple(row) for row in conflicts] == [(4, "DUPLICATE_CONFLICT")]
    assert workshop.audit() == {}


@pytest.mark.soak
def test_events_without_id_are_one_event_only_if_all_their_values_are_equal(workshop: Workshop) -> None:
    event = {"device_id": "sensor-0002", "timestamp": "2024-03-01T10:00:00Z", "temperature": 5}
    same_as_version_2 = {**event, "schema_version": 2, "temperature": 5.0}
    workshop.send([event, {**event, "temperature": 6}, {**event, "status": "ok"}, same_as_version_2])
    workshop.drain(["bronze", "silver"])
    kept = workshop.read(SILVER_READINGS).select("offset").orderBy("offset").collect()
    duplicates = workshop.read(SILVER_DUPLICATES).select("offset", "kept_offset").collect()
    assert ([row[0] for row in kept], [tuple(row) for row in duplicates]) == ([0, 1, 2], [(3, 0)])


@pytest.mark.soak
def test_of_two_readings_at_the_same_time_the_one_with_the_greater_coordinates_is_the_latest(
    workshop: Workshop,
) -> None:
    workshop.send([reading(1.0, event_id="a"), reading(2.0, event_id="b")], partition=1)
    workshop.drain()
    workshop.send([reading(3.0, event_id="c")], partition=0)
    workshop.drain()
    latest = workshop.read(GOLD_LATEST_READINGS).select("value").collect()
    assert [row[0] for row in latest] == [2.0]
    assert workshop.audit() == {}

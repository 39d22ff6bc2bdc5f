"""However events arrive, silver and gold hold in the end what plain Python makes of the events themselves."""

from __future__ import annotations

import os
import statistics
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from sluice.embedded.broker import RunningBroker
from sluice.schemas import GOLD_READINGS_1MIN, LAYERS, SILVER_DUPLICATES, SILVER_READINGS
from sluice.testing import utc
from tests.streaming.conftest import Workshop, open_workshop

pytestmark = pytest.mark.timeout(7200)

NEWEST = utc(2024, 3, 1, 10)
METRICS = {"temperature": "temperature_celsius", "humidity": "humidity_percent"}
SOAK_EXAMPLES = int(os.environ.get("SOAK_EXAMPLES", "40"))

# Many in one minute, and some up to 400 days before it.
DELAYS = st.one_of(st.integers(0, 59), st.integers(60, 7200), st.integers(7200, 400 * 86_400))
VALUES = st.dictionaries(
    st.sampled_from(sorted(METRICS)), st.floats(0, 50, allow_nan=False).map(lambda value: round(value, 3)), min_size=1
)


@dataclass(frozen=True)
class Arrival:
    """Events, and how they arrive.

    Attributes:
        events: different ones.
        batches: places of events, in order of arrival; each event is there at least once.
        stops: by batch, the layers that are drained after it by a driver of their own.
    """

    events: list[dict[str, Any]]
    batches: list[list[int]]
    stops: list[list[str]]


@st.composite
def arrivals(draw: st.DrawFn) -> Arrival:
    delays = draw(st.lists(DELAYS, min_size=1, max_size=20))
    events = []
    for number, delay in enumerate(delays):
        event = {
            "schema_version": 2,
            "device_id": f"sensor-{draw(st.integers(1, 3)):04d}",
            "timestamp": f"{NEWEST - timedelta(seconds=delay):%Y-%m-%dT%H:%M:%SZ}",
            **draw(VALUES),
        }
        # Without an id, events are one event only if all their values are equal: the number keeps them apart.
        is_named = draw(st.booleans())
        events.append({**event, "event_id": f"e{number}"} if is_named else {**event, "firmware": f"1.{number}"})
    places = list(range(len(events)))
    arriving = draw(st.permutations(places + draw(st.lists(st.sampled_from(places), max_size=10))))
    cuts = sorted(draw(st.lists(st.integers(0, len(arriving)), max_size=2)))
    batches = [arriving[start:end] for start, end in zip([0, *cuts], [*cuts, len(arriving)], strict=True)]
    stops = [list(LAYERS[: draw(st.integers(1, 3))]) for _ in batches[1:]]
    return Arrival(events, batches, [*stops, list(LAYERS)])


def minutes_of(events: list[dict[str, Any]]) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """Count, min, max, mean and standard deviation by minute, device and metric."""
    values = defaultdict(list)
    for event in events:
        bucket = datetime.strptime(event["timestamp"], "%Y-%m-%dT%H:%M:%SZ").replace(second=0)
        for name, metric in METRICS.items():
            if name in event:
                values[bucket, event["device_id"], metric].append(event[name])
    return {
        key: (
            len(found),
            min(found),
            max(found),
            pytest.approx(statistics.fmean(found), rel=1e-9),
            pytest.approx(statistics.stdev(found), rel=1e-6, abs=1e-9) if len(found) > 1 else None,
        )
        for key, found in values.items()
    }


def assert_all_is_there(workshop: Workshop, arrival: Arrival) -> None:
    kept = workshop.read(SILVER_READINGS).select("event_id", "firmware", "device_id", *METRICS.values()).collect()
    assert sorted(map(repr, (tuple(row) for row in kept))) == sorted(
        repr((event.get("event_id"), event.get("firmware"), event["device_id"], *(event.get(name) for name in METRICS)))
        for event in arrival.events
    )
    assert workshop.read(SILVER_DUPLICATES).count() == sum(map(len, arrival.batches)) - len(arrival.events)
    columns = ("bucket", "device_id", "metric", "reading_count", "value_min", "value_max", "value_mean", "value_stddev")
    gold = [tuple(row) for row in workshop.read(GOLD_READINGS_1MIN).select(*columns).collect()]
    assert len({row[:3] for row in gold}) == len(gold)
    assert {row[:3]: row[3:] for row in gold} == minutes_of(arrival.events)


def assert_arrives(spark: SparkSession, broker: RunningBroker, folders: pytest.TempPathFactory, what: Arrival) -> None:
    workshop = open_workshop(spark, broker, folders.mktemp("arrival") / "lake")
    for batch, layers in zip(what.batches, what.stops, strict=True):
        workshop.send([what.events[place] for place in batch])
        workshop.drain(layers)
    assert_all_is_there(workshop, what)
    assert workshop.audit() == {}


def test_events_of_400_days_in_two_batches_that_overlap(
    spark: SparkSession, broker: RunningBroker, tmp_path_factory: pytest.TempPathFactory
) -> None:
    delays = (0, 59, 3600, 400 * 86_400, 30)
    events = [
        {
            "schema_version": 2,
            "event_id": f"e{number}",
            "device_id": "sensor-0001",
            "timestamp": f"{NEWEST - timedelta(seconds=delay):%Y-%m-%dT%H:%M:%SZ}",
            "temperature": 20.0 + number,
        }
        for number, delay in enumerate(delays)
    ]
    arrival = Arrival(events, [[4, 3, 4, 0], [1, 3, 0, 2, 1]], [["bronze", "silver"], list(LAYERS)])
    assert_arrives(spark, broker, tmp_path_factory, arrival)


@pytest.mark.soak
@settings(
    max_examples=SOAK_EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
@given(arrival=arrivals())
def test_any_order_delay_and_repetition_ends_in_the_same_silver_and_gold(
    spark: SparkSession, broker: RunningBroker, tmp_path_factory: pytest.TempPathFactory, arrival: Arrival
) -> None:
    assert_arrives(spark, broker, tmp_path_factory, arrival)

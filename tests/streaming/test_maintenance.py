"""Maintenance beside running streams, and retention under them: nothing is read twice, and the books stay true."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta, timezone

import pytest

from sluice.pipelines.driver import Driver, StopSignal
from sluice.pipelines.maintain_requests import is_all_right, maintain
from sluice.pipelines.maintenance import Plan, Upkeep, maintain_layer
from sluice.schemas import (
    BRONZE_EVENTS,
    GOLD_QUALITY_SCORES,
    LAYERS,
    OPS_GOLD_PROMOTIONS,
    SILVER_DUPLICATES,
    SILVER_QUARANTINE,
    SILVER_READINGS,
)
from sluice.serving.lake import open_lake
from sluice.tables import rows
from sluice.tables.lake import own_layer
from sluice.tables.upkeep import live_files, mergeable
from tests.streaming.conftest import Workshop, reading

MEBIBYTE = 1024 * 1024


def events(first: int, count: int) -> list[dict[str, object]]:
    return [
        reading(float(number % 30), event_id=f"e{number}", timestamp=f"2024-03-01T10:{number % 60:02}:00Z")
        for number in range(first, first + count)
    ]


@contextmanager
def following(workshop: Workshop) -> Iterator[None]:
    """The layers at work in a thread, owned as `sluice run` owns them."""
    stop = StopSignal()
    driver = Driver(workshop.spark, workshop.settings, workshop.broker.bootstrap_servers, stop)
    failures: list[BaseException] = []

    def follow() -> None:
        try:
            driver.follow(LAYERS)
        except BaseException as error:
            failures.append(error)

    workshop.lake.prepare()
    with ExitStack() as owned:
        for layer in LAYERS:
            owned.enter_context(own_layer(workshop.lake, layer))
        thread = threading.Thread(target=follow)
        thread.start()
        try:
            yield
        finally:
            stop.event.set()
            thread.join(120)
    assert not failures, failures


def until(condition: Callable[[], bool], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.2)


def gold_counts(workshop: Workshop) -> int:
    """How many readings the minutes of gold are made of."""
    if not workshop.lake.has_table(OPS_GOLD_PROMOTIONS):
        return 0
    lake = open_lake(workshop.lake.path)
    (row,) = lake.sql("SELECT coalesce(sum(reading_count), 0)::BIGINT FROM gold.readings_1min").fetchall()
    return int(row[0])


@pytest.mark.soak
def test_tables_are_maintained_beside_running_streams(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    # Files are removed at once, so that a stream that still opened them would fail.
    monkeypatch.setitem(rows._PROPERTIES, "delta.deletedFileRetentionDuration", "interval 0 seconds")
    with following(workshop):
        for turn in range(3):
            workshop.send([*events(10 * turn, 10), b"no JSON"])
            until(lambda turn=turn: gold_counts(workshop) == 10 * (turn + 1))  # type: ignore[misc]
        removed = Counter[str]()

        def is_maintained() -> bool:
            outcomes = maintain(workshop.settings, LAYERS, wait_seconds=120)
            removed.update({table["table"]: table["files_removed"] for each in outcomes for table in each.tables})
            # A checkpoint comes a moment after its rows: files that it needs stay until then.
            return is_all_right(outcomes)

        until(is_maintained)
        for table in (BRONZE_EVENTS, SILVER_READINGS):
            assert mergeable(live_files(workshop.lake, table), 128 * MEBIBYTE) == []
            assert removed[table.full_name] >= 3
        workshop.send(events(30, 10))
        until(lambda: gold_counts(workshop) == 40)
    assert workshop.read(SILVER_READINGS).count() == 40
    assert workshop.read(SILVER_DUPLICATES).count() == 0
    assert workshop.audit() == {}


def keep_nothing(workshop: Workshop, layer: str) -> dict[str, Upkeep]:
    """Maintains a layer as if its retention were over for everything that is there."""
    tomorrow = datetime.now(timezone.utc).date() + timedelta(days=1)
    names = (BRONZE_EVENTS.full_name, SILVER_QUARANTINE.full_name, SILVER_DUPLICATES.full_name)
    plan = Plan(128 * MEBIBYTE, dict.fromkeys(names, tomorrow))
    return {each.table: each for each in maintain_layer(workshop.lake, layer, plan, "ann", "old", dry_run=False)}


@pytest.mark.soak
def test_rows_go_and_the_streams_and_the_books_go_on(workshop: Workshop) -> None:
    workshop.send([*events(0, 5), *events(0, 2), b"no JSON"])
    workshop.drain(["bronze"])
    (bronze,) = keep_nothing(workshop, "bronze").values()
    assert bronze.rows_removed == 0
    assert "silver has not begun to read" in bronze.refused[0]
    workshop.drain()
    before = workshop.content()
    (bronze,) = keep_nothing(workshop, "bronze").values()
    assert (bronze.rows_removed, bronze.refused) == (8, [])
    assert workshop.audit() == {}
    silver = keep_nothing(workshop, "silver")
    assert silver[SILVER_QUARANTINE.full_name].rows_removed == 1
    assert silver[SILVER_DUPLICATES.full_name].rows_removed == 2
    assert workshop.audit() == {}
    # Another copy of an event whose record is gone is still found; the scores of that day are kept as they were.
    workshop.send([*events(3, 2), *events(5, 1)])
    workshop.drain()
    assert workshop.audit() == {}
    assert workshop.read(BRONZE_EVENTS).count() == 3
    assert workshop.read(SILVER_DUPLICATES).count() == 2
    assert workshop.read(SILVER_READINGS).count() == 6
    after = workshop.content()
    assert after[GOLD_QUALITY_SCORES.full_name] == before[GOLD_QUALITY_SCORES.full_name]
    workshop.read(SILVER_READINGS).where("event_id <> 'e2'").write.format("delta").mode("overwrite").save(
        workshop.lake.table_path(SILVER_READINGS)
    )
    assert "silver.ledger" in workshop.audit()

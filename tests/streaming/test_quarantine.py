"""Quarantine as a life cycle: what was refused is judged anew once the contract is mended, once, or given up."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from chispa import assert_df_equality
from kafka import KafkaConsumer
from pyspark.sql import SparkSession

from sluice.embedded.broker import RunningBroker
from sluice.pipelines import quarantine as quarantine_module
from sluice.pipelines import silver as silver_module
from sluice.pipelines.approvals import answer_pending
from sluice.pipelines.driver import Driver, StopSignal
from sluice.pipelines.gatekeeper import Gatekeeper
from sluice.pipelines.quarantine import DISCARD_QUARANTINED, REPLAY_QUARANTINED, Rehearsal, open_records, rehearse
from sluice.pipelines.quarantine_requests import decide_quarantined
from sluice.pipelines.silver import open_silver
from sluice.quality.gate import Judgement
from sluice.schemas import (
    GOLD_READINGS_1MIN,
    OPS_SILVER_PROMOTIONS,
    SILVER_DUPLICATES,
    SILVER_QUARANTINE,
    SILVER_READINGS,
)
from sluice.serving.lake import open_lake
from sluice.serving.promotions import explain_promotion, read_history
from sluice.serving.quarantine import read_record
from sluice.serving.story import story
from sluice.serving.trace import trace
from sluice.tables.delta import current_version
from sluice.tables.lake import own_layer
from sluice.tables.requests import Answer, Request, find_answer, pending_requests, submit_request
from sluice.tables.selection import At, Selection
from tests.streaming.conftest import Workshop, open_workshop, reading
from tests.streaming.deaths import Died, drain_until_death, dying
from tests.topics import new_topic

VERSION_3 = """
  - version: 3
    number_in_event: true
    recognised_by:
      any: [celsius]
    fields:
      device_id: {column: device_id, type: id, required: true}
      timestamp: {column: event_time, type: time, required: true}
      event_id: {column: event_id, type: id}
      celsius: {column: temperature_celsius, type: number, unit: "°C"}
"""


def third(celsius: float, event_id: str, **odd: Any) -> dict[str, Any]:
    """An event of the version that nobody has registered yet."""
    event = {"schema_version": 3, "event_id": event_id, "device_id": "sensor-0001", "celsius": celsius}
    return {**event, "timestamp": "2024-03-01T10:00:00Z", **odd}


MESSAGES = [
    reading(20.0),
    third(21.0, "new"),
    third(21.0, "new"),
    third(99.0, "e1"),
    third(500.0, "hot"),
    third(20.0, "e1"),
    b"{",
]
TOO_HOT = ("temperature_celsius_possible", "temperature_celsius_at_most_registered_max")
NEW = Selection(code="UNKNOWN_VERSION")
COUNTS = ("kind", "verdict", "rows_in", "rows_promoted", "rows_quarantined", "rows_duplicate", "rows_held")
DONE = Answer(True, "5 replayed: 1 promoted, 2 duplicate, 2 still refused")


@dataclass(frozen=True)
class Scene:
    """A lake whose quarantine waits for the third version, settings that know it, and a topic for what is unread."""

    workshop: Workshop
    contract: Path
    dead_letters: str

    def copied(self, folder: Path) -> Workshop:
        """The lake as a copy of a test's own, under the mended contract."""
        shutil.copytree(self.workshop.lake.path, folder / "lake")
        return self.workshop.with_settings(lake__path=str(folder / "lake"), contract__path=str(self.contract))


@pytest.fixture(scope="module")
def scene(spark: SparkSession, broker: RunningBroker, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("refused")
    opened = open_workshop(spark, broker, folder / "lake")
    topic = new_topic(broker, 1, "dlq")
    opened.send(MESSAGES, key=b"k", headers=[("trace", b"\x01")])
    telling = {"quarantine__publish_topic": topic, "kafka__bootstrap_servers": broker.bootstrap_servers}
    opened.with_settings(**telling).drain(["bronze", "silver"])
    contract = folder / "contract.yaml"
    contract.write_text(opened.settings.contract.path.read_text("utf-8") + VERSION_3, "utf-8")
    return Scene(opened, contract, topic)


@pytest.fixture
def workshop(scene: Scene, tmp_path: Path) -> Workshop:
    return scene.copied(tmp_path)


@dataclass(frozen=True)
class Replayed:
    """The scene's lake after the replay of its third version, and what that left in the tables."""

    workshop: Workshop
    request: Request
    content: dict[str, list[str]]

    @property
    def promotion_id(self) -> str:
        return quarantine_module.promotion_of(self.request)


@pytest.fixture(scope="module")
def replayed(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Replayed:
    workshop = scene.copied(tmp_path_factory.mktemp("replayed"))
    request, answer = ask(workshop, REPLAY_QUARANTINED, NEW, "ann", "version 3 is registered")
    assert answer == DONE
    return Replayed(workshop, request, workshop.content())


def ask(
    workshop: Workshop, action: str, selection: Selection, by: str = "ann", why: str = ""
) -> tuple[Request, Answer | None]:
    """Leaves a request and lets a new owner of silver look at it."""
    request = submit_request(workshop.lake, "silver", action, selection.as_text(), by, why)
    answer_pending(workshop.spark, workshop.lake, open_silver(workshop.spark, workshop.settings))
    return request, find_answer(workshop.lake, request)


def ledger(workshop: Workshop) -> list[tuple[Any, ...]]:
    """What people asked for, as the ledger has it."""
    rows = workshop.read(OPS_SILVER_PROMOTIONS).where("kind <> 'batch'").orderBy("decided_at")
    return [tuple(row) for row in rows.select(*COUNTS).collect()]


def statuses(workshop: Workshop) -> list[tuple[Any, ...]]:
    rows = workshop.read(SILVER_QUARANTINE).orderBy("offset")
    return [tuple(row) for row in rows.select("offset", "status", "error_code", "attempts").collect()]


def test_a_replay_lets_in_once_what_the_mended_contract_reads(replayed: Replayed) -> None:
    workshop, spark = replayed.workshop, replayed.workshop.spark

    readings = workshop.read(SILVER_READINGS).select("offset", "event_id", "schema_version", "temperature_celsius")
    expected = spark.createDataFrame([(0, "e1", 2, 20.0), (1, "new", 3, 21.0)], readings.schema)
    assert_df_equality(readings, expected, ignore_row_order=True, ignore_nullable=True)

    copies = workshop.read(SILVER_DUPLICATES).select("offset", "event_id", "kept_offset", "promotion_id")
    by = replayed.promotion_id
    expected = spark.createDataFrame([(2, "new", 1, by), (5, "e1", 0, by)], copies.schema)
    assert_df_equality(copies, expected, ignore_row_order=True, ignore_nullable=True)

    columns = ("offset", "status", "stage", "error_code", "device_id", "failed_rules", "attempts")
    refused = workshop.read(SILVER_QUARANTINE).select(*columns)
    expected = spark.createDataFrame(
        [
            (1, "replayed", "parse", "UNKNOWN_VERSION", "sensor-0001", [], 1),
            (2, "replayed", "parse", "UNKNOWN_VERSION", "sensor-0001", [], 1),
            (3, "open", "deduplicate", "DUPLICATE_CONFLICT", "sensor-0001", [], 2),
            (4, "open", "rules", "RULE_FAILED", "sensor-0001", list(TOO_HOT), 2),
            (5, "replayed", "parse", "UNKNOWN_VERSION", "sensor-0001", [], 1),
            (6, "open", "parse", "NOT_JSON", None, [], 1),
        ],
        refused.schema,
    )
    assert_df_equality(refused, expected, ignore_row_order=True, ignore_nullable=True)
    assert ledger(workshop) == [("replay", "PROMOTE_WITH_WARNINGS", 5, 1, 2, 2, 0)]


def test_a_replay_keeps_where_and_when_a_record_landed_and_was_refused_first(replayed: Replayed) -> None:
    workshop = replayed.workshop
    landed = {row["offset"]: row["ingested_at"] for row in workshop.read(silver_module.BRONZE_EVENTS).collect()}
    (row,) = workshop.read(SILVER_READINGS).where("offset = 1").collect()
    assert (row["ingested_at"], row["promotion_id"]) == (landed[1], replayed.promotion_id)
    (again,) = workshop.read(SILVER_QUARANTINE).where("offset = 4").collect()
    first, last = (
        workshop.read(OPS_SILVER_PROMOTIONS).where(f"kind = '{kind}'").collect()[0] for kind in ("batch", "replay")
    )
    assert again["promotion_id"] == first["promotion_id"]
    assert (again["first_seen_at"], again["last_seen_at"]) == (first["decided_at"], last["decided_at"])
    assert bytes(again["value"]) == json.dumps(MESSAGES[4]).encode()


def test_ledger_trace_and_gate_show_who_replayed_what(replayed: Replayed) -> None:
    workshop, lake = replayed.workshop, open_lake(replayed.workshop.lake.path)
    topic = workshop.settings.kafka.topic
    newest = read_history(lake)[0]
    assert (newest["kind"], newest["decided_by"]) == ("replay", "ann")
    assert newest["why"] == "code UNKNOWN_VERSION: version 3 is registered"

    (event,) = trace(lake, f"{topic}:0:1").events
    assert (event.state, [row["kind"] for row in event.promotions]) == ("promoted", ["batch", "replay"])
    (kept,) = trace(lake, f"{topic}:0:5").events
    assert [(record.coordinates.offset, record.state) for record in kept.records] == [
        (0, "promoted"),
        (3, "quarantined"),
        (5, "duplicate"),
    ]
    (hot,) = trace(lake, f"{topic}:0:4").events
    assert [row["kind"] for row in hot.promotions] == ["batch", "replay"]
    assert hot.failed_rules[0]["promotion_id"] == replayed.promotion_id
    assert hot.failed_rules[0]["values"]["temperature_celsius"]["field"] == "celsius"
    told = [step.what for step in story(hot)]
    assert any("refused" in what and "again: RULE_FAILED" in what and "attempt 2" in what for what in told)
    assert read_record(lake, f"{topic}:0:4").promotions[-1]["promotion_id"] == replayed.promotion_id

    shown = explain_promotion(lake, replayed.promotion_id)
    assert shown.has_result
    assert {rule["rule_id"] for rule in shown.rules} >= {"temperature_celsius_possible"}


@pytest.mark.soak
def test_a_second_replay_finds_nothing_and_one_of_everything_counts_another_attempt(
    replayed: Replayed, tmp_path: Path, scene: Scene
) -> None:
    shutil.copytree(replayed.workshop.lake.path, tmp_path / "lake")
    workshop = scene.workshop.with_settings(lake__path=str(tmp_path / "lake"), contract__path=str(scene.contract))

    _, answer = ask(workshop, REPLAY_QUARANTINED, NEW)
    assert answer == Answer(True, "nothing replayed: no open record is selected (code UNKNOWN_VERSION)")
    assert workshop.content() == replayed.content
    assert len(ledger(workshop)) == 1

    _, answer = ask(workshop, REPLAY_QUARANTINED, Selection(), by="")
    assert answer == Answer(True, "3 replayed: 0 promoted, 0 duplicate, 3 still refused")
    assert [row for row in statuses(workshop) if row[1] == "open"] == [
        (3, "open", "DUPLICATE_CONFLICT", 3),
        (4, "open", "RULE_FAILED", 3),
        (6, "open", "NOT_JSON", 2),
    ]
    assert workshop.read(SILVER_READINGS).count() == 2
    (hot,) = trace(open_lake(workshop.lake.path), f"{workshop.settings.kafka.topic}:0:4").events
    assert [row["kind"] for row in hot.promotions] == ["batch", "replay", "replay"]


@pytest.mark.soak
def test_gold_reads_what_a_replay_adds(workshop: Workshop) -> None:
    def counts() -> list[int]:
        return [row[0] for row in workshop.read(GOLD_READINGS_1MIN).select("reading_count").collect()]

    workshop.drain(["gold"])
    assert counts() == [1]
    ask(workshop, REPLAY_QUARANTINED, NEW)
    workshop.drain(["gold"])
    assert counts() == [2]


@pytest.mark.soak
def test_a_dry_run_tells_the_same_and_changes_nothing(workshop: Workshop) -> None:
    before = workshop.content()
    job = open_silver(workshop.spark, workshop.settings)
    version = current_version(workshop.lake, SILVER_QUARANTINE)
    found = rehearse(job, open_records(workshop.spark, workshop.lake, NEW, version), workshop.lake)
    assert found == Rehearsal(
        {"rows_in": 5, "rows_promoted": 1, "rows_quarantined": 2, "rows_duplicate": 2, "rows_held": 0},
        {"RULE_FAILED": 1, "DUPLICATE_CONFLICT": 1},
    )
    assert workshop.content() == before
    assert ledger(workshop) == []


@pytest.mark.soak
def test_a_replay_that_dies_is_finished_as_it_was_decided(
    workshop: Workshop, replayed: Replayed, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(quarantine_module, "change_rows", dying(quarantine_module.change_rows, 1))
        with pytest.raises(Died):
            ask(workshop, REPLAY_QUARANTINED, NEW, "ann", "version 3 is registered")
    (request,) = pending_requests(workshop.lake, "silver")
    # Whatever the contract says by now.
    forgetful = scene.workshop.with_settings(lake__path=str(workshop.lake.path))
    forgetful.drain(["silver"])
    assert find_answer(workshop.lake, request) == DONE
    assert workshop.content() == replayed.content
    assert ledger(workshop) == [("replay", "PROMOTE_WITH_WARNINGS", 5, 1, 2, 2, 0)]


def test_a_discard_counts_once_and_no_replay_takes_the_record_again(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    selection = Selection(records=(At(workshop.settings.kafka.topic, None, 0, 6),))
    with monkeypatch.context() as patch:
        patch.setattr(quarantine_module, "record_promotion", dying(quarantine_module.record_promotion, 1))
        with pytest.raises(Died):
            ask(workshop, DISCARD_QUARANTINED, selection, "ann", "noise")
    (request,) = pending_requests(workshop.lake, "silver")
    _, again = ask(workshop, DISCARD_QUARANTINED, selection, "bob", "noise")
    done = find_answer(workshop.lake, request)
    assert done == Answer(True, "1 discarded: they stay in silver.quarantine and are not judged again")
    assert again is not None
    assert again.message.startswith("nothing discarded: no open record is selected")
    assert ledger(workshop) == [("discard", None, 1, 0, 1, 0, 0)]
    assert statuses(workshop)[-1] == (6, "discarded", "NOT_JSON", 1)
    lake = open_lake(workshop.lake.path)
    (event,) = trace(lake, str(selection.records[0])).events
    assert event.state == "quarantined"
    assert [(row["kind"], row["decided_by"]) for row in event.promotions] == [("batch", None), ("discard", "ann")]
    assert explain_promotion(lake, read_history(lake)[0]["promotion_id"]).rules == ()
    _, answer = ask(workshop, REPLAY_QUARANTINED, Selection(code="NOT_JSON"))
    assert answer is not None
    assert answer.message.startswith("nothing replayed")


@pytest.mark.soak
def test_a_gate_that_cannot_decide_lets_nothing_in(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    before = workshop.content()

    class Broken:
        def judge(self, *_: object) -> Judgement:
            return Judgement("ERROR", why="no engine")

    with monkeypatch.context() as patch:
        patch.setattr(Gatekeeper, "_gate", lambda *_: Broken())
        _, answer = ask(workshop, REPLAY_QUARANTINED, NEW)
    assert answer is not None
    assert not answer.done
    assert "cannot decide" in answer.message
    assert workshop.content() == before


@pytest.mark.soak
def test_an_interrupted_micro_batch_is_finished_before_a_replay_looks_at_silver(
    scene: Scene, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The event that the replay would let in comes by itself, decided while it was not there yet.
    workshop.send([reading(21.0, event_id="new")])
    workshop.drain(["bronze"])
    with monkeypatch.context() as patch:
        patch.setattr(silver_module, "append", dying(silver_module.append, 1))
        drain_until_death(workshop, ["silver"])
    request, answer = ask(workshop, REPLAY_QUARANTINED, NEW)
    assert answer is None
    workshop.drain(["silver"])
    assert find_answer(workshop.lake, request) == Answer(True, "5 replayed: 0 promoted, 3 duplicate, 2 still refused")
    keys = workshop.read(SILVER_READINGS).select("device_id", "event_time", "event_id").collect()
    assert sorted(row["event_id"] for row in keys) == ["e1", "new"]


def waited_for(holds: Callable[[], bool], seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.05)
    return holds()


def test_a_running_driver_answers_between_its_micro_batches(scene: Scene, tmp_path: Path) -> None:
    contract = tmp_path / "contract.yaml"
    shutil.copyfile(scene.workshop.settings.contract.path, contract)
    shutil.copytree(scene.workshop.lake.path, tmp_path / "lake")
    workshop = scene.workshop.with_settings(lake__path=str(tmp_path / "lake"), contract__path=str(contract))
    stop = StopSignal()
    driver = Driver(workshop.spark, workshop.settings, None, stop)
    running = threading.Thread(target=driver.follow, args=(["silver"],))
    with own_layer(workshop.lake, "silver"):
        running.start()
        try:
            assert waited_for(lambda: bool(workshop.spark.streams.active))
            # Mended while the job runs.
            shutil.copyfile(scene.contract, contract)
            outcome = decide_quarantined(workshop.settings, "replay", NEW, "", "", 60)
        finally:
            stop.event.set()
            running.join(60)
    assert outcome.answer.done
    assert outcome.answer.message.startswith(f"{DONE.message}; the running job reads new records as it did")
    assert ledger(workshop) == [("replay", "PROMOTE_WITH_WARNINGS", 5, 1, 2, 2, 0)]
    assert waited_for(lambda: not running.is_alive())


def test_what_cannot_be_read_is_sent_to_the_topic_that_the_settings_name(scene: Scene, broker: RunningBroker) -> None:
    consumer = KafkaConsumer(
        scene.dead_letters,
        bootstrap_servers=broker.bootstrap_servers,
        auto_offset_reset="earliest",
        consumer_timeout_ms=5_000,
    )
    try:
        found = [next(consumer) for _ in range(6)]
        assert next(consumer, None) is None
    finally:
        consumer.close()
    topic = scene.workshop.settings.kafka.topic
    last = dict(found[-1].headers)
    assert (found[-1].key, found[-1].value) == (b"k", b"{")
    assert last["sluice-coordinates"] == f"{topic}:1:0:6".encode()
    assert (last["sluice-stage"], last["sluice-error-code"], last["trace"]) == (b"parse", b"NOT_JSON", b"\x01")

"""Part of a layer made anew from the one below: the answer to a contract that was wrong for a while."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from delta.tables import DeltaTable
from pyspark.sql import SparkSession

from sluice.embedded.broker import RunningBroker
from sluice.pipelines import gold as gold_job_module
from sluice.pipelines import gold_latest as latest_module
from sluice.pipelines import gold_replay as gold_module
from sluice.pipelines import replay as replay_module
from sluice.pipelines import silver as silver_module
from sluice.pipelines.approvals import answer_pending
from sluice.pipelines.gatekeeper import Gatekeeper
from sluice.pipelines.gold import open_gold
from sluice.pipelines.quarantine import DISCARD_QUARANTINED
from sluice.pipelines.replay import Rehearsal, rehearse
from sluice.pipelines.silver import open_silver
from sluice.quality.gate import Judgement
from sluice.schemas import (
    GOLD_LATEST_READINGS,
    GOLD_READINGS_1MIN,
    OPS_GOLD_PROMOTIONS,
    OPS_SILVER_PROMOTIONS,
    REBUILD,
    SILVER_DUPLICATES,
    SILVER_QUARANTINE,
    SILVER_READINGS,
)
from sluice.serving.lake import open_lake
from sluice.serving.spans import parse_buckets, parse_span
from sluice.serving.trace import trace
from sluice.tables.requests import Answer, Request, find_answer, leave_request, pending_requests, submit_once
from sluice.tables.selection import At, Selection
from sluice.tables.spans import Span
from sluice.testing import utc
from tests.streaming.conftest import Workshop, open_workshop, reading
from tests.streaming.deaths import Died, dying

# What version 2 should have said: its temperature is in °F, and an event without firmware is none.
WRONG = 'temperature: {column: temperature_celsius, type: number, unit: "°C"}'
MENDED = 'temperature: {column: temperature_celsius, type: number, unit: "°F"}'
OPTIONAL = "firmware: {column: firmware, type: text}"
REQUIRED = "firmware: {column: firmware, type: text, required: true}"


def sent(fahrenheit: float, event_id: str, at: str = "10:01", device: int = 1, **odd: Any) -> dict[str, Any]:
    """A reading of a device that measures in °F."""
    named = {"event_id": event_id, "device_id": f"sensor-000{device}", "timestamp": f"2024-03-01T{at}:00Z"}
    return reading(fahrenheit, **named, firmware="1.0", **odd)


def without_firmware(message: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name != "firmware"}


FIRST = sent(33.0, "first", "10:00")
# Before the hour that will be replayed, in it, and after it: in partition 0 offsets 0 and 1, 2 to 8, and 9 to 11.
BEFORE = [sent(68.0, "a"), sent(41.0, "old", "09:00", device=2)]
WITHIN = [
    FIRST,  # its first copy to come was in the other partition
    sent(68.0, "a"),  # a copy of what came before
    sent(50.0, "b"),
    sent(200.0, "hot"),  # refused, if it were °C
    b"{",
    without_firmware(sent(59.0, "c", "10:02")),
    without_firmware(sent(59.0, "d", "10:03", device=2)),
]
# Copies of what came within: the same, another value, and one that will be kept instead.
AFTER = [sent(50.0, "b"), sent(51.0, "b"), sent(59.0, "c", "10:02")]
TIMES = (utc(2024, 3, 1, 10), utc(2024, 3, 1, 11), utc(2024, 3, 1, 12))
HOUR = ("2024-03-01T11:00:00Z", "2024-03-01T12:00:00Z")
COUNTS = ("kind", "verdict", "rows_in", "rows_promoted", "rows_quarantined", "rows_duplicate", "rows_held")
DONE = Answer(
    True,
    "12 records replayed: 5 readings, 3 duplicates, 4 in quarantine; 5 of them are copies that lie beyond the range",
)


@dataclass(frozen=True)
class Scene:
    """A lake that was filled under a wrong contract, the mended one, and the lake before gold had read all of it."""

    workshop: Workshop
    contract: Path
    lagging: Path

    def copied(self, folder: Path) -> Workshop:
        """The lake as a copy of a test's own, under the mended contract."""
        shutil.copytree(self.workshop.lake.path, folder / "lake")
        return self.at(folder)

    def at(self, folder: Path) -> Workshop:
        """The topic with another lake, under the mended contract."""
        return self.workshop.with_settings(lake__path=str(folder / "lake"), contract__path=str(self.contract))


@pytest.fixture(scope="module")
def scene(spark: SparkSession, broker: RunningBroker, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("wrong")
    opened = open_workshop(spark, broker, folder / "lake")
    opened.send([FIRST], partition=1, timestamp_ms=millis(0))
    opened.send(BEFORE, timestamp_ms=millis(0))
    opened.drain()
    opened.send(WITHIN, timestamp_ms=millis(1))
    opened.send(AFTER, timestamp_ms=millis(2))
    opened.drain(["bronze", "silver"])
    shutil.copytree(opened.lake.path, folder / "lagging")
    opened.drain(["gold"])
    contract = folder / "contract.yaml"
    text = opened.settings.contract.path.read_text("utf-8")
    head, second, tail = text.partition("  - version: 2")
    second += tail.replace(WRONG, MENDED, 1).replace(OPTIONAL, REQUIRED, 1)
    contract.write_text(head + second, "utf-8")
    return Scene(opened, contract, folder / "lagging")


def millis(index: int) -> int:
    return round(TIMES[index].timestamp() * 1000)


@pytest.fixture
def workshop(scene: Scene, tmp_path: Path) -> Workshop:
    return scene.copied(tmp_path)


def ask(workshop: Workshop, layer: str, subject: str, why: str = "it was °F") -> Request:
    """Leaves a request, or finds the one that waits."""
    return submit_once(workshop.lake, layer, REBUILD, subject, "ann", why)


def carry_out(workshop: Workshop, layer: str) -> None:
    """Lets a new owner of the layer look at its requests."""
    opened = open_silver(workshop.spark, workshop.settings) if layer == "silver" else open_gold(workshop.settings)
    answer_pending(workshop.spark, workshop.lake, opened)


def replay(workshop: Workshop, span: Span, why: str = "it was °F") -> Request:
    """A replay of silver and what follows in gold, by new owners of the layers."""
    request = ask(workshop, "silver", span.as_text(), why)
    carry_out(workshop, "silver")
    carry_out(workshop, "gold")
    return request


def told(workshop: Workshop) -> dict[str, list[str]]:
    """Every table without bookkeeping; how often a record was judged is a matter of history."""
    found = workshop.content()
    rows = [json.loads(row) for row in found["silver.quarantine"]]
    return {**found, "silver.quarantine": sorted(json.dumps(without(row, "attempts")) for row in rows)}


def without(row: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != name}


def ledger(workshop: Workshop, layer: str) -> list[tuple[Any, ...]]:
    """What people asked for, as the ledger has it."""
    table = OPS_SILVER_PROMOTIONS if layer == "silver" else OPS_GOLD_PROMOTIONS
    rows = workshop.read(table).where("kind <> 'batch'").orderBy("decided_at")
    return [tuple(row) for row in rows.select(*COUNTS).collect()]


def readings(workshop: Workshop) -> list[tuple[Any, ...]]:
    rows = workshop.read(SILVER_READINGS).orderBy("partition", "offset").collect()
    return [(row["partition"], row["offset"], row["event_id"], round(row["temperature_celsius"], 3)) for row in rows]


def minutes(workshop: Workshop) -> dict[tuple[str, str], tuple[int, float]]:
    rows = workshop.read(GOLD_READINGS_1MIN).collect()
    named = {(f"{row['bucket']:%H:%M}", row["device_id"]): row for row in rows}
    return {key: (row["reading_count"], round(row["value_mean"], 3)) for key, row in named.items()}


@dataclass(frozen=True)
class Replayed:
    """The scene's lake after the replay of the hour, and what that left in the tables."""

    workshop: Workshop
    request: Request
    content: dict[str, list[str]]


@pytest.fixture(scope="module")
def replayed(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Replayed:
    workshop = scene.copied(tmp_path_factory.mktemp("replayed"))
    request = replay(workshop, parse_span(*HOUR))
    return Replayed(workshop, request, workshop.content())


def test_a_replay_of_an_hour_makes_its_records_and_their_copies_anew(replayed: Replayed) -> None:
    workshop = replayed.workshop
    assert find_answer(workshop.lake, replayed.request) == DONE
    assert readings(workshop) == [
        (0, 0, "a", 20.0),
        (0, 1, "old", 41.0),  # of another hour, and no copy of anything in this one
        (0, 2, "first", 0.556),  # of its copies the one with the lowest coordinates
        (0, 4, "b", 10.0),
        (0, 5, "hot", 93.333),
        (0, 11, "c", 15.0),  # the first one has no firmware
    ]
    copies = workshop.read(SILVER_DUPLICATES).orderBy("partition", "offset").collect()
    assert [(row["partition"], row["offset"], row["kept_partition"], row["kept_offset"]) for row in copies] == [
        (0, 3, 0, 0),
        (0, 9, 0, 4),
        (1, 0, 0, 2),
    ]
    refused = workshop.read(SILVER_QUARANTINE).orderBy("offset").collect()
    assert [(row["offset"], row["error_code"], row["attempts"], row["status"]) for row in refused] == [
        (6, "NOT_JSON", 2, "open"),
        (7, "MISSING_FIELD", 1, "open"),
        (8, "MISSING_FIELD", 1, "open"),
        (10, "DUPLICATE_CONFLICT", 2, "open"),
    ]
    assert all((row["attempts"] > 1) == (row["first_seen_at"] < row["last_seen_at"]) for row in refused)


def test_gold_follows_a_replay_of_silver(replayed: Replayed) -> None:
    workshop = replayed.workshop
    assert minutes(workshop) == {
        ("10:00", "sensor-0001"): (1, 0.556),
        ("10:01", "sensor-0001"): (3, 41.111),
        ("10:02", "sensor-0001"): (1, 15.0),
        ("09:00", "sensor-0002"): (1, 41.0),
    }
    latest = {row["device_id"]: row["value"] for row in workshop.read(GOLD_LATEST_READINGS).collect()}
    # The reading that was the latest of the second device is none, so an older one is, out of another hour.
    assert latest == {"sensor-0001": pytest.approx(15.0), "sensor-0002": 41.0}
    assert ledger(workshop, "silver") == [("replay", "PROMOTE_WITH_WARNINGS", 12, 5, 4, 3, 0)]
    assert [row[:4] for row in ledger(workshop, "gold")] == [("replay", "PROMOTE_WITH_WARNINGS", 3, 3)]
    assert workshop.audit() == {}


def test_ledger_and_trace_show_who_replayed_what(replayed: Replayed) -> None:
    workshop, by = replayed.workshop, replay_module.promotion_of(replayed.request)
    row = workshop.read(OPS_SILVER_PROMOTIONS).where(f"promotion_id = '{by}'").collect()[0]
    hour = "from 2024-03-01T11:00:00+00:00 before 2024-03-01T12:00:00+00:00"
    assert (row["decided_by"], row["why"]) == ("ann", f"{hour}: it was °F")
    (event,) = trace(open_lake(workshop.lake.path), f"{workshop.settings.kafka.topic}:0:5").events
    assert event.state == "promoted"
    assert event.promotions[0]["promotion_id"] == by
    (event,) = trace(open_lake(workshop.lake.path), f"{workshop.settings.kafka.topic}:0:6").events
    assert event.promotions[-1]["promotion_id"] == by


def test_a_dry_run_counts_the_places_before_and_after_and_changes_nothing(scene: Scene) -> None:
    workshop = scene.workshop.with_settings(contract__path=str(scene.contract))
    before = workshop.content()
    found = rehearse(open_silver(workshop.spark, workshop.settings), workshop.spark, workshop.lake, parse_span(*HOUR))
    assert found == Rehearsal(
        beyond=5,
        before={"readings": 5, "duplicates": 3, "quarantine": 4},
        after={"readings": 5, "duplicates": 3, "quarantine": 4},
        refused_before={"RULE_FAILED": 1, "NOT_JSON": 1, "DUPLICATE_CONFLICT": 2},
        refused_after={"NOT_JSON": 1, "MISSING_FIELD": 2, "DUPLICATE_CONFLICT": 1},
    )
    assert workshop.content() == before


@pytest.mark.soak
def test_a_replay_of_everything_ends_as_if_the_contract_had_never_been_wrong(
    scene: Scene, workshop: Workshop, tmp_path: Path
) -> None:
    undisturbed = scene.at(tmp_path / "undisturbed")
    undisturbed.drain()
    replay(workshop, parse_span("2024-01-01T00:00:00Z", None))
    assert told(workshop) == told(undisturbed)
    assert workshop.audit() == {}


@pytest.mark.soak
def test_the_same_replay_once_more_changes_no_table(replayed: Replayed, tmp_path: Path, scene: Scene) -> None:
    shutil.copytree(replayed.workshop.lake.path, tmp_path / "lake")
    workshop = scene.at(tmp_path)
    before = told(workshop)
    replay(workshop, parse_span(*HOUR))
    assert told(workshop) == before
    assert [row[0] for row in ledger(workshop, "silver")] == ["replay", "replay"]
    assert workshop.audit() == {}


Death = tuple[Any, str, int]
# Between the commits: what comes into quarantine; readings; what leaves quarantine and duplicates; the ledger.
SILVER_DEATHS: dict[str, Death] = {
    "before the request to gold": (replay_module, "leave_request", 1),
    "before what comes into quarantine": (replay_module, "append", 1),
    "before the readings": (replay_module, "replace_rows", 1),
    "before what leaves quarantine": (replay_module, "replace_rows", 2),
    "before what leaves duplicates": (replay_module, "replace_rows", 3),
    "before silver's ledger row": (silver_module, "record_promotion", 1),
}
GOLD_DEATHS: dict[str, Death] = {
    "before the minutes": (gold_module, "replace_rows", 1),
    "before the latest readings": (latest_module, "replace_rows", 1),
    "before gold's ledger row": (gold_job_module, "record_promotion", 1),
    "before the scores": (gold_module, "open_scores", 1),
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.soak) for name in (*SILVER_DEATHS, *GOLD_DEATHS)],
)
def test_a_replay_that_dies_is_finished_as_it_was_decided(
    scene: Scene, workshop: Workshop, replayed: Replayed, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    module, function, call = {**SILVER_DEATHS, **GOLD_DEATHS}[name]
    request = ask(workshop, "silver", parse_span(*HOUR).as_text())
    if name in GOLD_DEATHS:
        carry_out(workshop, "silver")
    with monkeypatch.context() as patch:
        patch.setattr(module, function, dying(getattr(module, function), call))
        with pytest.raises(Died):
            carry_out(workshop, "gold" if name in GOLD_DEATHS else "silver")
    # What is on its way is no fault, however long it takes.
    assert workshop.audit() == {}
    # Whatever the contract says by now.
    forgetful = scene.workshop.with_settings(lake__path=str(workshop.lake.path))
    forgetful.drain(["silver", "gold"])
    assert find_answer(workshop.lake, request) == DONE
    assert [pending_requests(workshop.lake, layer) for layer in ("silver", "gold")] == [[], []]
    assert workshop.content() == replayed.content
    assert [row[0] for row in (*ledger(workshop, "silver"), *ledger(workshop, "gold"))] == ["replay", "replay"]
    assert workshop.audit() == {}


@pytest.mark.soak
def test_gold_that_lags_does_not_take_what_has_been_replaced(scene: Scene, replayed: Replayed, tmp_path: Path) -> None:
    shutil.copytree(scene.lagging, tmp_path / "lake")
    workshop = scene.at(tmp_path)
    # Gold makes the hours anew before its stream comes to the readings that silver no longer has.
    replay(workshop, parse_span(*HOUR))
    workshop.drain(["gold"])
    assert workshop.content() == replayed.content
    assert workshop.audit() == {}


@pytest.mark.soak
def test_gold_waits_until_silver_has_answered(workshop: Workshop) -> None:
    request = ask(workshop, "silver", parse_span(*HOUR).as_text())
    subject = '{"ranges": [], "parent": "silver-rebuild-x"}'
    leave_request(workshop.lake, Request(request.request_id, "gold", REBUILD, subject, "ann", ""))
    carry_out(workshop, "gold")
    assert len(pending_requests(workshop.lake, "gold")) == 1


@pytest.mark.soak
def test_a_replay_of_gold_makes_a_range_of_minutes_anew(workshop: Workshop) -> None:
    before = workshop.content()
    table = DeltaTable.forPath(workshop.spark, workshop.lake.table_path(GOLD_READINGS_1MIN))
    table.update("device_id = 'sensor-0001'", {"value_mean": "value_mean + 1"})
    table.delete("device_id = 'sensor-0002' AND minute(bucket) = 3")
    table.update("device_id = 'sensor-0002'", {"device_id": "'nobody'"})
    DeltaTable.forPath(workshop.spark, workshop.lake.table_path(GOLD_LATEST_READINGS)).update(
        "device_id = 'sensor-0002'", {"value": "value + 1"}
    )
    assert set(workshop.audit()) == {"gold.minutes", "gold.latest"}
    request = ask(workshop, "gold", parse_buckets("2024-03-01T09:00:00Z", "2024-03-01T10:04:00Z").as_text())
    carry_out(workshop, "gold")
    answer = find_answer(workshop.lake, request)
    assert answer == Answer(True, "5 minutes made anew: 5 in readings_1min")
    assert workshop.content() == before
    assert workshop.audit() == {}


@pytest.mark.soak
def test_what_was_discarded_for_good_stays_as_it_is(workshop: Workshop) -> None:
    at = At(workshop.settings.kafka.topic, None, 0, 6)
    subject = Selection(records=(at,)).as_text()
    submit_once(workshop.lake, "silver", DISCARD_QUARANTINED, subject, "ann", "noise")
    carry_out(workshop, "silver")
    request = replay(workshop, parse_span(str(at), str(at)))
    assert find_answer(workshop.lake, request) == Answer(
        True, f"nothing replayed: silver has no record from {at} to {at}"
    )
    replay(workshop, parse_span(*HOUR))
    (row,) = workshop.read(SILVER_QUARANTINE).where("offset = 6").collect()
    assert (row["status"], row["attempts"]) == ("discarded", 1)
    assert ledger(workshop, "silver")[-1][2] == 11
    assert workshop.audit() == {}


@pytest.mark.soak
def test_a_gate_that_cannot_decide_changes_nothing(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    before = workshop.content()

    class Broken:
        def judge(self, *_: object) -> Judgement:
            return Judgement("ERROR", why="no engine")

    with monkeypatch.context() as patch:
        patch.setattr(Gatekeeper, "_gate", lambda *_: Broken())
        request = replay(workshop, parse_span(*HOUR))
    answer = find_answer(workshop.lake, request)
    assert answer is not None
    assert not answer.done
    assert "cannot decide" in answer.message
    assert workshop.content() == before


@pytest.mark.soak
def test_silver_and_gold_go_on_after_a_replay(replayed: Replayed, tmp_path: Path, scene: Scene) -> None:
    shutil.copytree(replayed.workshop.lake.path, tmp_path / "lake")
    workshop = scene.at(tmp_path)
    # The last test of the file: others read the scene's topic from its beginning.
    workshop.send([sent(59.0, "late", "10:02"), sent(59.0, "c", "10:02")], partition=1)
    workshop.drain()
    assert minutes(workshop)["10:02", "sensor-0001"] == (2, 15.0)
    assert workshop.audit() == {}

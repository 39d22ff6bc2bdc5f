"""The gates at work: a bad batch is held whole and the stream goes on, people decide, the breaker pauses a layer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from sluice.embedded.broker import RunningBroker
from sluice.errors import BreakerOpen
from sluice.pipelines.approvals import answer_pending
from sluice.pipelines.gatekeeper import Gatekeeper
from sluice.pipelines.gold import open_gold
from sluice.pipelines.silver import open_silver
from sluice.quality.gate import Judgement
from sluice.schemas import (
    GOLD_HELD,
    GOLD_LATEST_READINGS,
    GOLD_READINGS_1MIN,
    OPS_CONFIGS,
    OPS_GOLD_PROMOTIONS,
    OPS_SILVER_PROMOTIONS,
    SILVER_HELD,
    SILVER_QUARANTINE,
    SILVER_READINGS,
    Table,
)
from sluice.tables.requests import Answer, find_answer, submit_request
from tests.streaming.conftest import Workshop, open_workshop, reading

BAD = [reading(20.0, event_id="good-1"), b"{", b"[", b"nothing", reading(20.0, event_id="good-1")]
GOOD = [reading(21.0, event_id="good-2"), reading(22.0, event_id="good-3", timestamp="2024-03-01T10:01:00Z")]
COUNTS = ("kind", "verdict", "rows_in", "rows_promoted", "rows_quarantined", "rows_duplicate", "rows_held")


def with_low_guard(workshop: Workshop, folder: Path) -> Workshop:
    """The workshop under a suite whose critical batch rules judge small batches too."""
    shutil.copytree(workshop.settings.expectations.path, folder)
    path = folder / "silver_readings.json"
    suite = json.loads(path.read_text("utf-8"))
    for rule in suite["expectations"]:
        if rule["meta"]["rule_id"] == "share_unreadable_limited":
            rule["kwargs"]["row_condition"]["parameter"] = 4
    path.write_text(json.dumps(suite), "utf-8")
    return workshop.with_settings(expectations__path=str(folder), gate__holds_to_open=2, gate__probe_after_seconds=3600)


def decide(workshop: Workshop, layer: str, action: str, promotion_id: str, by: str = "ann") -> Answer:
    request = submit_request(workshop.lake, layer, action, promotion_id, by, "looked at it")
    settings = workshop.settings
    job = open_silver(workshop.spark, settings) if layer == "silver" else open_gold(settings)
    answer_pending(workshop.spark, workshop.lake, job)
    answer = find_answer(workshop.lake, request)
    assert answer is not None
    return answer


def ledger(workshop: Workshop, table: Table = OPS_SILVER_PROMOTIONS) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in workshop.read(table).orderBy("decided_at").select(*COUNTS).collect()]


def promotion_of(workshop: Workshop, layer: str, batch_id: int) -> str:
    generation = (workshop.lake.checkpoint_path(layer) / "generation").read_text().strip()
    return f"{layer}-{generation}-{batch_id}"


def column(workshop: Workshop, table: Table, name: str) -> list[Any]:
    return sorted(row[0] for row in workshop.read(table).select(name).collect())


@pytest.fixture(scope="module")
def held(spark: SparkSession, broker: RunningBroker, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A bad batch, held, and a good one after it."""
    folder = tmp_path_factory.mktemp("held")
    workshop = with_low_guard(open_workshop(spark, broker, folder / "lake"), folder / "suites")
    workshop.send(BAD)
    workshop.drain(["bronze", "silver"])
    workshop.send(GOOD)
    workshop.drain()
    return workshop


@pytest.fixture
def copied(held: Workshop, tmp_path: Path) -> Workshop:
    """The held lake as a copy of the test's own."""
    shutil.copytree(held.lake.path, tmp_path / "lake")
    expectations = str(held.settings.expectations.path)
    return held.with_settings(lake__path=str(tmp_path / "lake"), expectations__path=expectations)


def test_a_bad_batch_is_held_whole_and_raw_and_the_stream_goes_on(held: Workshop) -> None:
    assert ledger(held) == [
        ("batch", "HOLD", 5, 0, 0, 0, 5),
        ("batch", "PROMOTE", 2, 2, 0, 0, 0),
    ]
    assert column(held, SILVER_READINGS, "event_id") == ["good-2", "good-3"]
    assert held.read(SILVER_QUARANTINE).count() == 0
    rows = held.read(SILVER_HELD).orderBy("offset").select("offset", "value", "status", "promotion_id").collect()
    expected = [json.dumps(each).encode() if isinstance(each, dict) else each for each in BAD]
    assert [bytes(row["value"]) for row in rows] == expected
    assert {(row["status"], row["promotion_id"]) for row in rows} == {("open", promotion_of(held, "silver", 0))}
    row = held.read(OPS_SILVER_PROMOTIONS).where("verdict = 'HOLD'").collect()[0]
    assert "share_unreadable_limited (0.6)" in row["why"]
    assert (row["breaker_state"], row["rule_counts"]["NOT_JSON"]) == ("closed", 3)
    assert row["gate_seconds"] > 0


def test_the_stored_result_says_what_the_gate_saw(held: Workshop) -> None:
    row = held.read(OPS_SILVER_PROMOTIONS).where("verdict = 'HOLD'").collect()[0]
    path = held.lake.path / "_validations" / "silver" / f"{row['promotion_id']}.json"
    result = json.loads(path.read_text("utf-8"))
    by_rule = {each["expectation_config"]["meta"]["rule_id"]: each for each in result["results"]}
    assert not result["success"]
    assert by_rule["share_unreadable_limited"]["result"]["partial_unexpected_list"] == [0.6]
    assert by_rule["device_id_present"]["result"]["element_count"] == 2
    assert result["meta"]["facts"]["share_duplicate"] == 0.2
    assert row["docs_page"] == f"_docs/promotions/silver/{row['promotion_id']}.html"


def test_every_text_that_decided_is_kept_also_those_of_gold(held: Workshop) -> None:
    held.drain(["silver"])
    hashes = {(row["kind"], row["hash"]) for row in held.read(OPS_CONFIGS).select("kind", "hash").collect()}
    gold = held.read(OPS_GOLD_PROMOTIONS).collect()[0]
    silver = held.read(OPS_SILVER_PROMOTIONS).collect()[0]
    assert {("suite", silver["suite_hash"]), ("contract", silver["contract_hash"])} <= hashes
    assert ("registry", silver["registry_hash"]) in hashes
    assert (gold["suite"], gold["contract_hash"]) == ("gold_readings_1min", None)


def test_an_approved_batch_is_promoted_once_and_reaches_gold(copied: Workshop) -> None:
    hold = promotion_of(copied, "silver", 0)
    answer = decide(copied, "silver", "approve", hold)
    assert answer == Answer(True, f"{hold} approved: 1 promoted, 3 quarantined, 1 duplicate")
    assert ledger(copied)[2:] == [("approve", "PROMOTE_WITH_WARNINGS", 5, 1, 3, 1, 0)]
    assert column(copied, SILVER_READINGS, "event_id") == ["good-1", "good-2", "good-3"]
    assert column(copied, SILVER_HELD, "status") == ["approved"] * 5
    copied.drain(["gold"])
    minutes = copied.read(GOLD_READINGS_1MIN).orderBy("bucket").select("reading_count", "value_mean").collect()
    assert [tuple(row) for row in minutes] == [(2, 20.5), (1, 22.0)]
    again = decide(copied, "silver", "approve", hold, by="bob")
    assert again.done
    assert again.message.startswith(f"{hold} was approved by ann at ")
    assert not decide(copied, "silver", "reject", hold).done
    assert len(ledger(copied)) == 3
    assert copied.audit() == {}


def test_a_rejected_batch_stays_held(copied: Workshop) -> None:
    hold = promotion_of(copied, "silver", 0)
    assert decide(copied, "silver", "reject", hold) == Answer(True, f"{hold} rejected: 5 rows stay in silver.held")
    assert column(copied, SILVER_HELD, "status") == ["rejected"] * 5
    assert ledger(copied)[2:] == [("reject", "HOLD", 5, 0, 0, 0, 5)]
    assert not decide(copied, "silver", "approve", hold).done
    nothing = decide(copied, "silver", "approve", promotion_of(copied, "silver", 1))
    assert nothing == Answer(False, f"nothing of {promotion_of(copied, 'silver', 1)} is held; its verdict was PROMOTE")
    assert copied.audit() == {}


@pytest.mark.soak
def test_holds_in_a_row_open_the_breaker_and_what_waits_is_drained_in_order_once_it_closes(
    copied: Workshop,
) -> None:
    same = {"expectations__path": str(copied.settings.expectations.path), "gate__holds_to_open": 1}
    strict = copied.with_settings(**same, gate__probe_after_seconds=3600)
    strict.send(BAD)
    with pytest.raises(BreakerOpen, match="breaker of silver is open"):
        strict.drain()
    strict.send([reading(30.0, event_id="waits", timestamp="2024-03-01T10:05:00Z")])
    with pytest.raises(BreakerOpen):
        strict.drain()
    assert strict.read(OPS_SILVER_PROMOTIONS).where("kind = 'batch'").count() == 3
    assert column(strict, SILVER_READINGS, "event_id") == ["good-2", "good-3"]
    due = strict.with_settings(
        expectations__path=str(copied.settings.expectations.path),
        gate__holds_to_open=1,
        gate__probe_after_seconds=0.001,
    )
    due.drain()
    assert column(due, SILVER_READINGS, "event_id") == ["good-2", "good-3", "waits"]
    states = due.read(OPS_SILVER_PROMOTIONS).orderBy("batch_id").select("verdict", "breaker_state").collect()
    assert [tuple(row) for row in states] == [
        ("HOLD", "closed"),
        ("PROMOTE", "closed"),
        ("HOLD", "open"),
        ("PROMOTE", "closed"),
    ]


def huge(event: str, value: float, minute: int) -> dict[str, Any]:
    return {"id": event, "dt": f"2024-03-01T10:{minute:02}:00Z", "value": value}


def test_a_minute_that_breaks_a_critical_rule_is_held_alone_and_judged_anew_when_touched(
    workshop: Workshop,
) -> None:
    # The sum of the first two is beyond the doubles, so their mean is infinite.
    workshop.send([huge("m", 1e308, 0), huge("m", 1.1e308, 0), huge("m", 5.0, 1)])
    workshop.drain()
    columns = ("reading_count", "failed_rules", "status", "promotion_id")
    broken = ["value_mean_finite", "value_mean_at_most_value_max"]
    first, second = promotion_of(workshop, "gold", 0), promotion_of(workshop, "gold", 1)
    held = workshop.read(GOLD_HELD).select(*columns)
    assert [tuple(row) for row in held.collect()] == [(2, broken, "open", first)]
    assert column(workshop, GOLD_READINGS_1MIN, "value_mean") == [5.0]
    assert ledger(workshop, OPS_GOLD_PROMOTIONS) == [("batch", "PROMOTE_WITH_WARNINGS", 2, 1, 0, 0, 1)]
    workshop.send([huge("m", 1.0, 0)])
    workshop.drain()
    held = workshop.read(GOLD_HELD).select(*columns).orderBy("reading_count")
    assert [tuple(row) for row in held.collect()] == [(2, broken, "superseded", first), (3, broken, "open", second)]
    assert workshop.audit() == {}
    assert ledger(workshop, OPS_GOLD_PROMOTIONS)[1] == ("batch", "HOLD", 1, 0, 0, 0, 1)
    answer = decide(workshop, "gold", "approve", second)
    assert answer == Answer(True, f"{second} approved: 1 promoted, 0 quarantined, 0 duplicate")
    assert column(workshop, GOLD_READINGS_1MIN, "value_mean") == [5.0, float("inf")]
    assert column(workshop, GOLD_HELD, "status") == ["approved", "superseded"]
    assert workshop.audit() == {}


@pytest.mark.soak
@pytest.mark.parametrize("is_approved", [True, False], ids=["approved", "touched again"])
def test_what_a_gate_that_could_not_decide_kept_from_the_latest_readings_comes_to_them(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, is_approved: bool
) -> None:
    class Broken:
        def judge(self, *_: object) -> Judgement:
            return Judgement("ERROR", why="no engine")

    workshop.send([reading(1.0, event_id="a")])
    workshop.drain()
    workshop.send([reading(3.0, event_id="c", timestamp="2024-03-01T10:05:30Z")])
    workshop.drain(["bronze", "silver"])
    with monkeypatch.context() as patch:
        patch.setattr(Gatekeeper, "_gate", lambda *_: Broken())
        workshop.drain(["gold"])
    assert column(workshop, GOLD_LATEST_READINGS, "value") == [1.0]
    assert workshop.audit() == {}
    if is_approved:
        assert decide(workshop, "gold", "approve", promotion_of(workshop, "gold", 1)).done
    else:
        workshop.send([reading(2.0, event_id="b", timestamp="2024-03-01T10:05:10Z")])
        workshop.drain()
    assert column(workshop, GOLD_LATEST_READINGS, "value") == [3.0]
    assert workshop.audit() == {}

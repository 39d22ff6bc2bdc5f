"""After a checkpoint was damaged or lost, `sluice recover` and a run end in the tables of an undisturbed run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from sluice.embedded.broker import RunningBroker
from sluice.errors import CheckpointDamaged, CheckpointLost
from sluice.pipelines import ledger as ledger_module
from sluice.pipelines import silver as silver_module
from sluice.pipelines.recovery import Recovery, recover_layer
from sluice.schemas import GOLD_HELD, LAYERS, OPS_GOLD_PROMOTIONS, OPS_SILVER_PROMOTIONS, SILVER_HELD, UPSTREAM
from sluice.tables.requests import pending_requests
from sluice.testing import rows_of, utc
from tests.streaming.conftest import Workshop, open_workshop, reading
from tests.streaming.deaths import Died, drain_until_death, dying
from tests.streaming.test_gate import BAD, column, decide, ledger, promotion_of, with_low_guard

FIRST = [
    reading(20.0),
    reading(20.0),
    reading(21.0),
    reading(500.0, event_id="hot"),
    b"{",
    reading(22.0, event_id="e2"),
]
SECOND = [reading(20.0), reading(23.0, event_id="e3"), reading(24.0, event_id="e2"), b"}"]


@dataclass(frozen=True)
class Scene:
    """A lake with one batch promoted and a second one waiting in the topic, and what it must end in."""

    workshop: Workshop
    expected: dict[str, list[str]]


@pytest.fixture(scope="module")
def scene(spark: SparkSession, broker: RunningBroker, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("scene")
    calm = open_workshop(spark, broker, folder / "calm")
    ready = calm.with_settings(lake__path=str(folder / "ready"))
    calm.send(FIRST)
    calm.drain()
    shutil.copytree(calm.lake.path, ready.lake.path)
    calm.send(SECOND)
    calm.drain()
    return Scene(ready, calm.content())


@pytest.fixture
def workshop(scene: Scene, tmp_path: Path) -> Workshop:
    """The scene's lake as a copy of the test's own."""
    shutil.copytree(scene.workshop.lake.path, tmp_path / "lake")
    return scene.workshop.with_settings(lake__path=str(tmp_path / "lake"))


def recover(workshop: Workshop, layer: str) -> Recovery:
    recovery = recover_layer(workshop.settings, layer, spark=workshop.spark)
    assert recovery.rebuilt
    return recovery


def change_a_digit(checkpoint: Path) -> None:
    path = checkpoint / "offsets" / "0"
    text = path.read_text("utf-8")
    changed = text.replace('"0":6', '"0":5').replace('"reservoirVersion":2', '"reservoirVersion":1')
    assert changed != text
    path.write_text(changed, "utf-8")


Damaging = Callable[[Path], object]


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        pytest.param(change_a_digit, CheckpointDamaged, id="a changed digit", marks=pytest.mark.soak),
        pytest.param(shutil.rmtree, CheckpointLost, id="gone", marks=pytest.mark.soak),
    ],
)
def test_a_damaged_checkpoint_of_every_layer_is_refused_and_recovered(
    workshop: Workshop, scene: Scene, damage: Damaging, error: type[Exception]
) -> None:
    before = workshop.content()
    for layer in LAYERS:
        damage(workshop.lake.checkpoint_path(layer))
        with pytest.raises(error, match=layer):
            workshop.drain([layer])
    assert workshop.content() == before
    for layer in LAYERS:
        recover(workshop, layer)
    workshop.drain()
    assert workshop.content() == scene.expected
    assert_the_ledgers_add_up(workshop)


# Of SECOND's four: what had been placed, and what comes before it; the rest is the next batch's.
FINISHED = {
    2: "2 in, 1 promoted, 0 quarantined, 1 duplicate, 0 held",
    3: "4 in, 1 promoted, 2 quarantined, 1 duplicate, 0 held",
}


@pytest.mark.parametrize(
    ("call", "is_gone"),
    [
        pytest.param(2, True, id="before quarantine, nothing left", marks=pytest.mark.soak),
        pytest.param(3, True, id="before duplicates, nothing left", marks=pytest.mark.soak),
        pytest.param(2, False, id="before quarantine, the decision left", marks=pytest.mark.soak),
    ],
)
def test_a_promotion_that_died_half_way_is_finished_without_its_checkpoint(
    workshop: Workshop, scene: Scene, monkeypatch: pytest.MonkeyPatch, call: int, is_gone: bool
) -> None:
    workshop.drain(["bronze"])
    with monkeypatch.context() as patch:
        patch.setattr(silver_module, "append", dying(silver_module.append, call))
        drain_until_death(workshop, ["silver"])
    # Gold reads what the promotion has placed before it is finished.
    workshop.drain(["gold"])
    checkpoint = workshop.lake.checkpoint_path("silver")
    shutil.rmtree(checkpoint) if is_gone else (checkpoint / "offsets" / "1").write_text("")
    recovery = recover(workshop, "silver")
    assert [line.partition(": ")[2] for line in recovery.finished] == [FINISHED[call]]
    workshop.drain(["silver", "gold"])
    assert workshop.content() == scene.expected
    assert_the_ledgers_add_up(workshop)


@pytest.mark.soak
def test_layers_recover_also_where_the_log_above_them_no_longer_reaches_back(workshop: Workshop, scene: Scene) -> None:
    workshop.drain(["bronze"])
    for layer, upstream in UPSTREAM.items():
        path = Path(workshop.lake.table_path(upstream))
        # As Delta cleans up: the newest commit and its checkpoint are left, and it is none that the ledger tells of.
        DeltaTable(path).alter.set_table_properties({"delta.setTransactionRetentionDuration": "interval 90 days"})
        DeltaTable(path).create_checkpoint()
        for commit in sorted((path / "_delta_log").glob("*.json"))[:-1]:
            commit.unlink()
        shutil.rmtree(workshop.lake.checkpoint_path(layer))
        assert f"with all rows of {upstream.full_name}" in recover(workshop, layer).goes_on
        workshop.drain([layer])
    assert workshop.content() == scene.expected
    assert_the_ledgers_add_up(workshop)


@pytest.mark.soak
def test_minutes_held_by_a_promotion_of_gold_that_no_ledger_row_tells_of_are_judged_anew(workshop: Workshop) -> None:
    row = {"bucket": utc(2024, 3, 1, 10), "device_id": "sensor-0001", "metric": "humidity_percent", "status": "open"}
    held = rows_of(workshop.spark, GOLD_HELD, [{**row, "promotion_id": "gold-000000000000-7"}])
    held.write.format("delta").mode("append").save(workshop.lake.table_path(GOLD_HELD))
    shutil.rmtree(workshop.lake.checkpoint_path("gold"))
    assert recover(workshop, "gold").finished == ["gold-000000000000-7: 1 minutes are judged anew"]
    assert workshop.read(GOLD_HELD).count() == 0


@pytest.mark.soak
def test_a_recovery_that_dies_before_its_ledger_row_is_done_again(
    workshop: Workshop, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.drain(["bronze"])
    with monkeypatch.context() as patch:
        patch.setattr(silver_module, "append", dying(silver_module.append, 2))
        drain_until_death(workshop, ["silver"])
    shutil.rmtree(workshop.lake.checkpoint_path("silver"))
    with monkeypatch.context() as patch:
        patch.setattr(ledger_module, "append_rows", dying(ledger_module.append_rows, 1))
        with pytest.raises(Died):
            recover(workshop, "silver")
    recover(workshop, "silver")
    workshop.drain(["silver", "gold"])
    assert workshop.content() == scene.expected
    assert_the_ledgers_add_up(workshop)


@pytest.mark.soak
def test_an_approval_that_died_half_way_is_finished_without_its_checkpoint(
    spark: SparkSession, broker: RunningBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop = with_low_guard(open_workshop(spark, broker, tmp_path / "lake"), tmp_path / "suites")
    workshop.send(BAD)
    workshop.drain(["bronze", "silver"])
    with monkeypatch.context() as patch:
        patch.setattr(silver_module, "append", dying(silver_module.append, 2))
        with pytest.raises(Died):
            decide(workshop, "silver", "approve", promotion_of(workshop, "silver", 0))
    shutil.rmtree(workshop.lake.checkpoint_path("silver"))
    assert recover(workshop, "silver").finished[0].endswith("5 in, 1 promoted, 3 quarantined, 1 duplicate, 0 held")
    # The request is still there; this answers it.
    workshop.drain(["silver"])
    assert ledger(workshop) == [
        ("batch", "HOLD", 5, 0, 0, 0, 5),
        ("approve", "PROMOTE_WITH_WARNINGS", 5, 1, 3, 1, 0),
    ]
    approved = workshop.read(OPS_SILVER_PROMOTIONS).where("kind = 'approve'").collect()[0]
    assert (approved["decided_by"], approved["why"].startswith("approved by ann: looked at it; ")) == ("ann", True)
    assert set(column(workshop, SILVER_HELD, "status")) == {"approved"}
    assert not pending_requests(workshop.lake, "silver")


def assert_the_ledgers_add_up(workshop: Workshop) -> None:
    for table in (OPS_SILVER_PROMOTIONS, OPS_GOLD_PROMOTIONS):
        for row in workshop.read(table).collect():
            placed = ("rows_promoted", "rows_quarantined", "rows_duplicate", "rows_held")
            assert row["rows_in"] == sum(row[name] for name in placed), row
    counted = workshop.read(OPS_SILVER_PROMOTIONS).where("kind = 'batch'").groupBy().sum("rows_in").collect()[0][0]
    assert counted == len(FIRST) + len(SECOND)

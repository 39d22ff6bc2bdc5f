"""A micro-batch that dies between any two of its writes is finished by the next start, with the same outcome."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pyspark.sql import SparkSession

from sluice.embedded.broker import RunningBroker
from sluice.pipelines import gold as gold_module
from sluice.pipelines import gold_latest as gold_latest_module
from sluice.pipelines import ledger as ledger_module
from sluice.pipelines import silver as silver_module
from sluice.schemas import LAYERS, OPS_GOLD_PROMOTIONS, OPS_SILVER_PROMOTIONS
from sluice.tables.delta import upsert
from tests.streaming.conftest import Workshop, open_workshop, reading

FIRST = [
    reading(20.0),
    reading(20.0),
    reading(21.0),
    reading(500.0, event_id="hot"),
    b"{",
    reading(22.0, event_id="e2"),
]
SECOND = [reading(20.0), reading(23.0, event_id="e3"), reading(24.0, event_id="e2"), b"}"]


class Died(Exception):
    """Stands for the end of the process."""


def dying(original: Callable[..., Any], call: int) -> Callable[..., Any]:
    """`original`, which dies instead of its n-th call from now on."""
    left = [call]

    def stand_in(*args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            raise Died
        return original(*args, **kwargs)

    return stand_in


def drain_until_death(workshop: Workshop, layers: list[str]) -> None:
    with pytest.raises(Exception, match="Died"):
        workshop.drain(layers)
    # What is left half done is no error, and is none once it is finished.
    assert workshop.audit() == {}


@dataclass(frozen=True)
class Scene:
    """A lake with one batch promoted and a second one landed in bronze, and what it must end in."""

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
    ready.drain(["bronze"])
    return Scene(ready, calm.content())


@pytest.fixture
def workshop(scene: Scene, tmp_path: Path) -> Workshop:
    """The scene's lake as a copy of the test's own."""
    shutil.copytree(scene.workshop.lake.path, tmp_path / "lake")
    return scene.workshop.with_settings(lake__path=str(tmp_path / "lake"))


@pytest.fixture
def undisturbed(scene: Scene) -> dict[str, list[str]]:
    return scene.expected


# Silver's second batch writes readings, quarantine, duplicates; then the ledger row.
@pytest.mark.parametrize(
    "call",
    [
        pytest.param(1, id="before readings", marks=pytest.mark.soak),
        pytest.param(2, id="before quarantine", marks=pytest.mark.soak),
        pytest.param(3, id="before duplicates", marks=pytest.mark.soak),
    ],
)
def test_silver_dying_between_two_tables_is_finished_once(
    workshop: Workshop, undisturbed: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(silver_module, "append", dying(silver_module.append, call))
        drain_until_death(workshop, ["silver"])
    workshop.drain(["silver", "gold"])
    assert workshop.content() == undisturbed
    assert workshop.audit() == {}


@pytest.mark.soak
def test_a_death_before_the_ledger_row_leaves_one_ledger_row(
    workshop: Workshop, undisturbed: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(ledger_module, "append", dying(ledger_module.append, 1))
        drain_until_death(workshop, ["silver"])
    workshop.drain(["silver", "gold"])
    rows = workshop.read(OPS_SILVER_PROMOTIONS).select("batch_id", "rows_in", "rows_promoted", "rows_duplicate")
    assert sorted(tuple(row) for row in rows.collect()) == [(0, 6, 2, 1), (1, 4, 1, 1)]
    assert workshop.content() == undisturbed


@pytest.mark.parametrize(
    "module",
    [
        pytest.param(gold_module, id="before minutes", marks=pytest.mark.soak),
        pytest.param(gold_latest_module, id="before latest readings"),
    ],
)
def test_gold_dying_between_two_tables_is_finished_once(
    workshop: Workshop, undisturbed: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch, module: ModuleType
) -> None:
    workshop.drain(["silver"])
    with monkeypatch.context() as patch:
        patch.setattr(module, "upsert", dying(upsert, 1))
        drain_until_death(workshop, ["gold"])
    workshop.drain(["gold"])
    assert workshop.content() == undisturbed
    assert workshop.audit() == {}


@pytest.mark.soak
def test_a_batch_whose_checkpoint_commit_is_missing_is_repeated_without_a_trace(
    workshop: Workshop, undisturbed: dict[str, list[str]]
) -> None:
    workshop.drain()
    for layer in LAYERS:
        last = max((workshop.lake.checkpoint_path(layer) / "commits").glob("[0-9]*"), key=lambda path: int(path.name))
        last.unlink()
        (last.parent / f".{last.name}.crc").unlink(missing_ok=True)
    workshop.drain()
    assert workshop.content() == undisturbed
    for table in (OPS_SILVER_PROMOTIONS, OPS_GOLD_PROMOTIONS):
        assert [row[0] for row in workshop.read(table).select("batch_id").orderBy("batch_id").collect()] == [0, 1]


def test_a_replay_finishes_the_decision_made_though_suite_and_registry_have_changed_since(
    workshop: Workshop, undisturbed: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(silver_module, "append", dying(silver_module.append, 2))
        drain_until_death(workshop, ["silver"])
    suites = tmp_path / "suites"
    shutil.copytree(workshop.settings.expectations.path, suites)
    suite = suites / "silver_readings.json"
    suite.write_text(suite.read_text("utf-8").replace('"max_value": 100', '"max_value": 1'), "utf-8")
    registry = tmp_path / "devices.yaml"
    registry.write_text("devices: []\n", "utf-8")
    changed = workshop.with_settings(expectations__path=str(suites), devices__path=str(registry))
    changed.drain(["silver"])
    workshop.drain(["gold"])
    assert changed.content() == undisturbed


@pytest.mark.soak
def test_a_lost_checkpoint_is_named_and_nothing_is_read_twice(
    workshop: Workshop, undisturbed: dict[str, list[str]]
) -> None:
    workshop.drain(["silver"])
    before = workshop.content()
    for layer in LAYERS:
        shutil.rmtree(workshop.lake.checkpoint_path(layer))
        with pytest.raises(Exception, match=f"the checkpoint .*{layer} is gone"):
            workshop.drain([layer])
    assert workshop.content() == before

"""After a death the decision that was made is finished, whatever has changed since; a lost checkpoint is named.

Deaths of the real process, at every commit point, are in `tests/streaming/crash/`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sluice.pipelines import silver as silver_module
from sluice.schemas import LAYERS
from tests.streaming.crash.books import outcome
from tests.streaming.crash.scenes import Scenes


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


def test_a_replay_finishes_the_decision_made_though_suite_and_registry_have_changed_since(
    scenes: Scenes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scene, workshop = scenes["silver"], scenes.at(tmp_path / "lake")
    shutil.copytree(scene.ready.lake.path, workshop.lake.path)
    with monkeypatch.context() as patch:
        patch.setattr(silver_module, "append", dying(silver_module.append, 2))
        with pytest.raises(Exception, match="Died"):
            workshop.drain(["silver"])
    suites = tmp_path / "suites"
    shutil.copytree(workshop.settings.expectations.path, suites)
    suite = suites / "silver_readings.json"
    suite.write_text(suite.read_text("utf-8").replace('"max_value": 100', '"max_value": 1'), "utf-8")
    registry = tmp_path / "devices.yaml"
    registry.write_text("devices: []\n", "utf-8")
    changed = workshop.with_settings(expectations__path=str(suites), devices__path=str(registry))
    changed.drain(["silver"])
    assert outcome(changed.lake.path) == scene.expected


@pytest.mark.soak
def test_a_lost_checkpoint_is_named_and_nothing_is_read_twice(scenes: Scenes, tmp_path: Path) -> None:
    workshop = scenes.at(tmp_path / "lake")
    shutil.copytree(scenes["gold"].done.lake.path, workshop.lake.path)
    for layer in LAYERS:
        shutil.rmtree(workshop.lake.checkpoint_path(layer))
        with pytest.raises(Exception, match=f"the checkpoint .*{layer} is gone"):
            workshop.drain([layer])
    assert outcome(workshop.lake.path) == scenes["gold"].expected

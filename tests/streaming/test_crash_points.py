"""After a death the decision that was made is finished, whatever suite and registry say since.

Deaths of the real process, at every commit point, are in `crash/`.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sluice.pipelines import silver as silver_module
from tests.streaming.crash.books import outcome
from tests.streaming.crash.scenes import Scenes
from tests.streaming.deaths import drain_until_death, dying


def test_a_replay_finishes_the_decision_made_though_suite_and_registry_have_changed_since(
    scenes: Scenes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scene = scenes["silver"]
    workshop = scene.copied(tmp_path / "lake")
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
    assert outcome(changed.lake.path) == scene.expected

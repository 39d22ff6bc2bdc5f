"""`sluice maintain` killed with SIGKILL at commits that it makes: the books stay true, the same command finishes it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest
from tests.unit.pipelines.test_maintenance import LATER
from tests.unit.pipelines.test_maintenance import balanced as balanced
from tests.unit.serving.audit_lake import audited, problems

from sluice.schemas import LAYERS
from sluice.serving.lake import open_lake
from sluice.tables.lake import Lake
from sluice.tables.requests import pending_requests

COMMAND = [sys.executable, "-c", "from sluice.cli import main; main()", "maintain"]
DAYS = ("BRONZE", "QUARANTINE", "DUPLICATES")


def started(lake: Lake) -> subprocess.Popen[bytes]:
    # All but what landed on the last day, which silver has not read.
    age = (datetime.now(timezone.utc).date() - LATER).days
    days = {f"SLUICE_MAINTAIN__{name}_DAYS": f"{age}" for name in DAYS}
    environment = {**os.environ, **days, "SLUICE_LAKE__PATH": str(lake.path)}
    return subprocess.Popen(COMMAND, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def commits(lake: Lake, name: str) -> int:
    return len(list((lake.path / name.replace(".", "/") / "_delta_log").glob("[0-9]*.json")))


def rows_of(lake: Lake) -> dict[str, list[str]]:
    opened = open_lake(lake.path)
    return {name: sorted(map(repr, opened.arrow(name).to_pylist())) for name in opened.tables() if name != "ops.floors"}


@pytest.fixture(scope="module")
def undisturbed(balanced: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    lake = Lake(Path(shutil.copytree(balanced, tmp_path_factory.mktemp("undisturbed") / "lake")))
    assert started(lake).wait(60) == 0
    return rows_of(lake)


@pytest.mark.parametrize(
    ("name", "after"),
    [
        ("ops.floors", 1),
        ("bronze.events", 1),
        *(
            pytest.param(name, after, marks=pytest.mark.soak)
            for name, after in (
                ("ops.floors", 2),
                ("ops.floors", 3),
                ("silver.quarantine", 1),
                ("silver.readings", 1),
                ("ops.silver_promotions", 1),
            )
        ),
    ],
)
def test_killed_at_a_commit_it_is_finished_by_the_next(
    balanced: Path, undisturbed: dict[str, list[str]], tmp_path: Path, name: str, after: int
) -> None:
    lake = Lake(Path(shutil.copytree(balanced, tmp_path / "lake")))
    there = commits(lake, name) + after
    process = started(lake)
    deadline = time.monotonic() + 60
    while commits(lake, name) < there and process.poll() is None:
        assert time.monotonic() < deadline
    process.send_signal(signal.SIGKILL)
    # What has one commit to come ends by itself, perhaps, before it is seen; anything else must have been killed.
    assert process.wait(60) in (-signal.SIGKILL, 0)
    assert problems(audited(lake.path)) == {}
    again = started(lake)
    assert again.wait(60) == 0, again.communicate()[1]
    assert rows_of(lake) == undisturbed
    assert problems(audited(lake.path)) == {}
    assert not any(pending_requests(lake, layer) for layer in LAYERS)

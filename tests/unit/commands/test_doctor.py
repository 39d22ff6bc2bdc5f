from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.unit.tables.streamed_lake import streamed_lake

from sluice.cli import run_command
from sluice.settings import home
from sluice.tables.lake import Lake, own_layer


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_LAKE__PATH", str(tmp_path / "lake"))
    monkeypatch.setenv("SLUICE_BROKER__DATA_PATH", str(tmp_path / "broker"))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    lake.prepare()
    return lake


def examine(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
    code = run_command(["doctor", "--json", *arguments])
    answer = json.loads(capsys.readouterr().out)
    assert answer["exit_code"] == code
    return code, {check["check"]: check for check in answer["checks"]}


def test_a_machine_that_was_set_up_is_all_right_but_for_the_broker(capsys: pytest.CaptureFixture[str]) -> None:
    code, checks = examine(capsys)
    assert {name for name, check in checks.items() if check["status"] == "wrong"} == set()
    assert checks["broker"]["status"] == "warn"
    assert checks["broker"]["mend"] == "sluice up"
    assert code == 0


def test_people_are_told_what_to_type(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("warn   broker"))
    assert lines[at + 1].strip() == "next: sluice up"
    assert lines[-1] == "all right"


def test_missing_java_is_one_finding_and_exit_3(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    code, checks = examine(capsys)
    assert code == 3
    assert checks["java"]["status"] == "wrong"
    assert "install" in checks["java"]["mend"]
    assert checks["contract"]["status"] == "ok"


def test_broken_settings_are_exit_2_and_do_not_hide_java(capsys: pytest.CaptureFixture[str]) -> None:
    code, checks = examine(capsys, "--set", "silver.trigger_second=1")
    assert code == 2
    assert "silver.trigger_second" in checks["settings"]["found"]
    assert checks["java"]["status"] == "ok"


def test_a_changed_jar_is_named_and_exit_3(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    jars = tmp_path / "jars"
    for group in ("spark", "broker"):
        shutil.copytree(home() / ".jars" / group, jars / group)
    changed = next((jars / "spark").glob("delta-spark*.jar"))
    changed.write_bytes(changed.read_bytes() + b"x")
    code, checks = examine(capsys, "--set", f"spark.jars_path={jars}")
    assert code == 3
    assert f"spark/{changed.name} changed" in checks["jars"]["found"]
    assert checks["jars"]["mend"] == "make setup"


@pytest.mark.parametrize("name", ["contract", "devices"])
def test_a_rule_file_that_cannot_be_applied_is_exit_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str
) -> None:
    (tmp_path / "file.yaml").write_text("a: 1\na: 2\n")
    code, checks = examine(capsys, "--set", f"{name}.path={tmp_path / 'file.yaml'}")
    assert code == 2
    assert "stands there twice" in checks[name]["found"]


def test_a_configured_broker_that_does_not_answer_is_exit_3(capsys: pytest.CaptureFixture[str]) -> None:
    code, checks = examine(capsys, "--set", "kafka.bootstrap_servers=127.0.0.1:1")
    assert code == 3
    assert checks["broker"]["status"] == "wrong"


def test_a_lake_of_a_newer_version_is_exit_2(capsys: pytest.CaptureFixture[str], lake: Lake) -> None:
    (lake.path / "_sluice.json").write_text('{"lake_format": 99}')
    code, checks = examine(capsys)
    assert code == 2
    assert "format 99" in checks["lake"]["found"]


def test_the_owner_of_a_layer_is_told(capsys: pytest.CaptureFixture[str], lake: Lake) -> None:
    with own_layer(lake, "silver"):
        _, checks = examine(capsys)
    assert "owned by process" in checks["silver"]["found"]
    assert "no job is running" in checks["bronze"]["found"]


def test_what_is_wrong_with_a_checkpoint_is_named_with_the_command_that_mends_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    lake = streamed_lake(tmp_path / "lake")
    assert examine(capsys)[1]["checkpoints"]["status"] == "ok"
    offsets, metadata = lake.checkpoint_path("silver") / "offsets" / "2", lake.checkpoint_path("gold") / "metadata"
    offsets.write_text(offsets.read_text().replace('Version":4', 'Version":3'))
    metadata.unlink()
    code, checks = examine(capsys)
    assert (code, checks["checkpoints"]["status"]) == (1, "wrong")
    assert f"{offsets} was changed since batch 2 began" in checks["checkpoints"]["found"]
    assert f"{metadata} is missing" in checks["checkpoints"]["found"]
    assert checks["checkpoints"]["mend"] == "sluice recover silver, sluice recover gold"


def test_a_lost_checkpoint_is_wrong_although_no_file_is_damaged(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    lake = streamed_lake(tmp_path / "lake")
    shutil.rmtree(lake.checkpoint_path("bronze"))
    code, checks = examine(capsys)
    assert (code, checks["checkpoints"]["mend"]) == (1, "sluice recover bronze")
    assert "is gone, but the tables of bronze hold its rows" in checks["checkpoints"]["found"]

"""What users type, and what they see when something is wrong: one clear line, the right exit code."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from tests.integration.conftest import BIN, ROOT, Run, environment
from tests.topics import new_topic

from sluice.embedded.broker import RunningBroker


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def assert_clear(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """The exit code, at most two lines (what, and what next) and no traceback."""
    assert done.returncode == code, done.stderr
    assert len(lines(done.stderr)) <= 2, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


def test_the_demo_ends_with_balanced_books_and_leaves_nothing_running(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for name in ("conf", "expectations", ".jars", "infra"):
        (home / name).symlink_to(ROOT / name)
    done = subprocess.run(
        [str(BIN / "sluice"), "demo", "--events", "3000", "--devices", "100"],
        env={**environment(), "SLUICE_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=540,
        cwd=home,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "the books balance" in done.stdout
    assert "gold.readings_1min" in done.stdout
    assert "40 signals, from reading sent to signal in Kafka: half within" in done.stdout
    others = [path.name for path in Path("/proc").iterdir() if path.name.isdigit() and path.name != str(os.getpid())]
    mine = [pid for pid in others if str(home) in _command_line(pid)]
    assert mine == []


def _command_line(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def test_without_any_broker_run_says_how_to_get_one(sluice: Run) -> None:
    assert_clear(sluice("run", "--once"), 3, "no Kafka broker is configured", "sluice up")


def test_a_broker_that_is_down_is_named(sluice: Run) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        assert_clear(sluice("run", "--once", kafka__bootstrap_servers=address), 3, address)


def test_a_topic_that_does_not_exist_is_named(sluice: Run, broker: RunningBroker) -> None:
    done = sluice("run", "--once", kafka__bootstrap_servers=broker.bootstrap_servers, kafka__topic="no.such.topic")
    assert_clear(done, 3, "no.such.topic", broker.bootstrap_servers)


@pytest.mark.parametrize(
    ("file", "text", "setting", "word"),
    [
        ("contract.yaml", "versions: []\nmore: 1\n", "contract__path", "unknown key more"),
        ("devices.yaml", "devices:\n  - device_id: a\n    colour: red\n", "devices__path", "unknown key colour"),
        ("devices.yaml", "devices: [\n", "devices__path", "not valid YAML"),
    ],
)
def test_a_wrong_yaml_file_is_named_before_anything_starts(
    sluice: Run, broker: RunningBroker, tmp_path: Path, file: str, text: str, setting: str, word: str
) -> None:
    (tmp_path / file).write_text(text, "utf-8")
    found = {"kafka__bootstrap_servers": broker.bootstrap_servers, setting: tmp_path / file}
    assert_clear(sluice("run", "--once", **found), 2, file, word)
    assert not (tmp_path / "lake" / "bronze").exists()


def test_unknown_settings_are_errors_wherever_they_stand(sluice: Run, tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("lake: {pth: x}\n", "utf-8")
    assert_clear(sluice("status", "--config", str(config)), 2, "mine.yaml", "lake.pth")
    assert_clear(sluice("status", lake__pth="x"), 2, "lake.pth")
    assert_clear(sluice("status", "--set", "lak.path=x"), 2, "'lak'")


def test_a_lake_of_a_newer_format_is_refused(sluice: Run, tmp_path: Path, broker: RunningBroker) -> None:
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "_sluice.json").write_text('{"lake_format": 99}', "utf-8")
    done = sluice("run", "--once", "--layers", "silver")
    assert_clear(done, 2, "format 99")


def test_silver_without_bronze_says_what_to_run_first(sluice: Run) -> None:
    assert_clear(sluice("run", "--once", "--layers", "silver"), 3, "bronze.events")


@pytest.mark.soak
def test_status_tells_the_lag_of_each_layer_and_exits_1_while_one_is_behind(sluice: Run) -> None:
    try:
        up = sluice("up", "--json")
        assert up.returncode == 0, up.stderr
        sent = sluice("generate", "--events", "500", "--devices", "10", "--json")
        assert json.loads(sent.stdout)["events"] == 500
        behind = sluice("status", "--json")
        assert behind.returncode == 1
        assert json.loads(behind.stdout)["layers"]["bronze"]["lag_rows"] == 500
        assert sluice("run", "--once", "--layers", "bronze").returncode == 0
        middle = json.loads(sluice("status", "--json").stdout)["layers"]
        assert (middle["bronze"]["lag_rows"], middle["silver"]["lag_rows"]) == (0, 500)
        assert sluice("run", "--once").returncode == 0
        done = sluice("status", "--json")
        found = json.loads(done.stdout)
        assert (done.returncode, [layer["lag_rows"] for layer in found["layers"].values()]) == (0, [0, 0, 0])
        assert found["broker"]["bootstrap_servers"] == json.loads(up.stdout)["bootstrap_servers"]
        counted = sluice("query", "--sql", "select count(*) as n from bronze.events", "--json")
        assert json.loads(counted.stdout) == [{"n": 500}]
    finally:
        assert sluice("down").returncode == 0


@pytest.mark.soak
def test_ctrl_c_ends_run_between_two_micro_batches_with_exit_0(broker: RunningBroker, tmp_path: Path) -> None:
    settings = environment(
        lake__path=tmp_path / "lake",
        kafka__bootstrap_servers=broker.bootstrap_servers,
        kafka__topic=new_topic(broker, 1, "stop"),
    )
    process = subprocess.Popen(
        [str(BIN / "sluice"), "run"],
        env=settings,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
    )
    try:
        deadline = time.monotonic() + 120
        while not (tmp_path / "lake" / "ops" / "gold_promotions").exists():
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert "Traceback" not in errors
    finally:
        process.kill()

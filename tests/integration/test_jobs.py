"""The jobs under spark-submit, a process each, on one lake at the same time."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import pytest
from kafka import KafkaProducer
from tests.integration.conftest import BIN, ROOT, Run, environment
from tests.spark_options import JAVA_OPTIONS
from tests.topics import new_topic

from sluice.embedded.broker import RunningBroker
from sluice.schemas import GOLD_ALERTS
from sluice.serving.lake import open_lake
from sluice.tables.lake import Lake, layer_owner

LAYERS = ("bronze", "silver", "gold")


@contextmanager
def submitted(job: str, log: Path, **settings: object) -> Iterator[subprocess.Popen[bytes]]:
    """The job started as its docstring says."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            documented(job),
            env={**environment(**settings), "PYSPARK_PYTHON": str(BIN / "python"), "SPARK_SUBMIT_OPTS": JAVA_OPTIONS},
            cwd=ROOT,
            stderr=output,
            stdout=output,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def documented(job: str) -> list[str]:
    """The line with spark-submit in the docstring of a job, as a shell takes it apart, with this run's programs."""
    told = ast.get_docstring(ast.parse((ROOT / "jobs" / f"{job}.py").read_text("utf-8"))) or ""
    (line,) = re.findall(r"^ +(PYSPARK_PYTHON.*)$", told.replace("\\\n", " "), re.MULTILINE)
    python, program, *arguments = shlex.split(line)
    assert (python, program) == ("PYSPARK_PYTHON=.venv/bin/python", ".venv/bin/spark-submit")
    return [str(BIN / "spark-submit"), *arguments]


def wait_until(is_so: Callable[[], bool], seconds: float, why: Callable[[], str]) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, why()
        time.sleep(0.5)


def test_three_jobs_at_the_same_time_fill_one_lake_and_end_cleanly_on_sigterm(
    broker: RunningBroker, tmp_path: Path, sluice: Run
) -> None:
    settings = {
        "lake__path": tmp_path / "lake",
        "kafka__bootstrap_servers": broker.bootstrap_servers,
        "kafka__topic": new_topic(broker, 2, "jobs"),
    }
    sent = sluice(
        "generate", "--events", "2000", "--devices", "50", "--faults", "duplicate=0.02,corrupt=0.02", **settings
    )
    assert sent.returncode == 0, sent.stderr
    logs = {layer: tmp_path / f"{layer}.log" for layer in LAYERS}

    def books() -> tuple[int, int]:
        if not all(f"{layer} batch" in " ".join(logs[layer].read_text().split()) for layer in LAYERS):
            return 0, 0
        lake = open_lake(tmp_path / "lake")
        rows = lake.sql("select count(*) from bronze.events").fetchall()[0][0]
        out = lake.sql("select sum(rows_promoted + rows_quarantined + rows_duplicate) from ops.silver_promotions")
        return rows, out.fetchall()[0][0]

    with (
        submitted("bronze", logs["bronze"], **settings) as bronze,
        submitted("silver", logs["silver"], **settings) as silver,
        submitted("gold", logs["gold"], **settings) as gold,
    ):
        wait_until(lambda: books() == (2000, 2000), 240, lambda: "".join(log.read_text() for log in logs.values()))
        second = sluice("run", "--layers", "silver", **settings)
        assert (second.returncode, "owned by process" in second.stderr) == (3, True)
        status = sluice("status", "--json", **settings)
        assert '"running": true' in status.stdout
        for layer in LAYERS:
            owner = layer_owner(Lake(tmp_path / "lake"), layer)
            assert owner is not None
            os.kill(owner.pid, signal.SIGTERM)
        assert [process.wait(60) for process in (bronze, silver, gold)] == [0, 0, 0]
    for log in logs.values():
        assert noise_in(log) == []


def noise_in(log: Path) -> list[str]:
    return [line for line in log.read_text().splitlines() if "WARN" in line.split() or "Exception" in line]


@pytest.mark.soak
def test_the_alert_jobs_work_beside_a_dispatcher_and_one_process_alone_writes_the_log(
    broker: RunningBroker, tmp_path: Path, sluice: Run
) -> None:
    settings = settings_of_alerts(broker, tmp_path)
    query_log, log_log, told = (tmp_path / name for name in ("query.log", "log.log", "told.log"))
    with submitted("alerts", query_log, **settings) as query, dispatching(told, "--no-log", **settings) as dispatcher:
        wait_until(lambda: "dispatching" in told.read_text(), 60, told.read_text)
        with submitted("alert_log", log_log, **settings) as log:
            wait_until(
                lambda: owner_of("alerts", tmp_path) and owner_of("alert_log", tmp_path), 120, query_log.read_text
            )
            send_hot(broker, settings, "sensor-0001")
            wait_until(
                lambda: logged(tmp_path) == ["sensor-0001"], 120, lambda: query_log.read_text() + told.read_text()
            )
            second = subprocess.run(
                [str(BIN / "python"), "jobs/alert_log.py"],
                env=environment(**settings),
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            line, advice = second.stderr.splitlines()
            assert (second.returncode, line.startswith("sluice: alert_log of the lake ")) == (3, True)
            assert advice == "  next: let that process do the work, or stop it first"
            assert sluice("alerts", "run", **settings).returncode == 3
            # spark-submit alone is told to end, as a supervisor does it: what it has started ends with it.
            log.terminate()
            log.wait(30)
            wait_until(lambda: owner_of("alert_log", tmp_path) is None, 30, log_log.read_text)
        dispatcher.terminate()
        assert dispatcher.wait(30) == 0
        # A dispatcher that writes the log itself does so beside the query, and keeps the job out.
        with dispatching(told, **settings) as dispatcher:
            send_hot(broker, settings, "sensor-0002")
            wait_until(lambda: logged(tmp_path) == ["sensor-0001", "sensor-0002"], 120, told.read_text)
            with submitted("alert_log", log_log, **settings) as log:
                assert log.wait(60) == 3
            dispatcher.terminate()
            assert dispatcher.wait(30) == 0
        owner = layer_owner(Lake(tmp_path / "lake"), "alerts")
        assert owner is not None
        os.kill(owner.pid, signal.SIGTERM)
        assert query.wait(60) == 0
    assert noise_in(query_log) == noise_in(log_log) == noise_in(told) == []


def settings_of_alerts(broker: RunningBroker, folder: Path) -> dict[str, object]:
    """A lake, rules and topics of their own; of readings as many partitions as the job's docstring has slots for."""
    rule = {"id": "hot", "type": "threshold", "severity": "critical", "metric": "temperature_celsius", "above": 60}
    (folder / "alerts.yaml").write_text(json.dumps({"channels": {}, "rules": [rule]}))
    topics = ("topic", "processed_topic", "dead_letter_topic", "state_topic")
    return {
        "lake__path": folder / "lake",
        "kafka__bootstrap_servers": broker.bootstrap_servers,
        "kafka__topic": new_topic(broker, 4, "jobs"),
        "alerts__path": folder / "alerts.yaml",
        **{f"alerts__{key}": f"{key}.{folder.name}" for key in topics},
        "dispatch__notice_topic": f"notices.{folder.name}",
        "dispatch__group": f"dispatch.{folder.name}",
        "dispatch__path": folder / "dispatch",
        "dispatch__log_seconds": 0.5,
    }


@contextmanager
def dispatching(log: Path, *options: str, **settings: object) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as output:
        command = [str(BIN / "sluice"), "dispatch", *options]
        process = subprocess.Popen(command, env=environment(**settings), cwd=ROOT, stderr=output, stdout=output)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def owner_of(layer: str, folder: Path) -> int | None:
    owner = layer_owner(Lake(folder / "lake"), layer)
    return None if owner is None else owner.pid


def send_hot(broker: RunningBroker, settings: dict[str, object], device: str) -> None:
    reading = {
        "device_id": device,
        "timestamp": datetime.now(timezone.utc).isoformat(),
        "temperature": 71,
        "humidity": 4,
    }
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap_servers)
    producer.send(str(settings["kafka__topic"]), json.dumps(reading).encode(), key=device.encode())
    producer.close()


def logged(folder: Path) -> list[str]:
    """The devices in gold/alerts."""
    if not Lake(folder / "lake").has_table(GOLD_ALERTS):
        return []
    lake = open_lake(folder / "lake")
    return [row[0] for row in lake.sql("select device_id from gold.alerts order by 1").fetchall()]

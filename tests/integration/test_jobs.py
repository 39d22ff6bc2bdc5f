"""The three jobs under spark-submit, a process each, on one lake at the same time."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration.conftest import BIN, ROOT, Run, environment
from tests.spark_options import JAVA_OPTIONS
from tests.topics import new_topic

from sluice.embedded.broker import RunningBroker
from sluice.serving.lake import open_lake
from sluice.tables.lake import Lake, layer_owner

LAYERS = ("bronze", "silver", "gold")


@contextmanager
def submitted(layer: str, log: Path, **settings: object) -> Iterator[subprocess.Popen[bytes]]:
    """The job started as its docstring says."""
    command = [str(BIN / "spark-submit"), "--properties-file", "conf/spark-defaults.conf", f"jobs/{layer}.py"]
    documented = f"PYSPARK_PYTHON=.venv/bin/python .venv/bin/spark-submit {' '.join(command[1:])}"
    assert documented in (ROOT / "jobs" / f"{layer}.py").read_text("utf-8")
    with log.open("wb") as output:
        own = {**environment(**settings), "PYSPARK_PYTHON": str(BIN / "python"), "SPARK_SUBMIT_OPTS": JAVA_OPTIONS}
        process = subprocess.Popen(command, env=own, cwd=ROOT, stderr=output, stdout=output)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


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
        noise = [line for line in log.read_text().splitlines() if "WARN" in line.split() or "Exception" in line]
        assert noise == []

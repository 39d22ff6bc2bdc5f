"""Growth: silver from a bronze that is there, the broker stopped, on a Spark standalone cluster of one worker and two.

Each worker has one core and one executor. A driver of its own for each run, `python -m benchmarks.cluster TASK`, drains
a small lake to warm up, then the large one; starting master, workers and driver is not counted.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

from benchmarks.load import backlog, fill_bronze
from benchmarks.measure import Series, print_table
from benchmarks.processes import run as run_process
from benchmarks.silver_drain import copy_lake, drain_silver, in_lake, ledger_sums
from benchmarks.standalone import standalone_cluster
from sluice.pipelines.driver import start_logging
from sluice.session import open_session
from sluice.settings import load_settings

ABOUT = "silver on a Spark standalone cluster, one worker of one core and two"
EVENTS = 2_000_000
_WARM_EVENTS = 300_000
_WORKERS = (1, 2)


def run(folder: Path, events: int, runs: int) -> list[Series]:
    """Measures both clusters in turns."""
    _fill(folder, "warm", min(events, _WARM_EVENTS))
    _fill(folder, "full", events)
    series = {workers: Series(f"{workers} worker{'s' * (workers > 1)} of 1 core") for workers in _WORKERS}
    for turn in range(runs):
        for workers in _WORKERS if turn % 2 else reversed(_WORKERS):
            work = folder / "work"
            for name in ("warm", "full"):
                copy_lake(folder / name, work / name)
            with standalone_cluster(work / "cluster", workers) as master:
                task = {"master": master, "folder": str(work)}
                command = [sys.executable, "-m", "benchmarks.cluster", json.dumps(task)]
                watched, answer = run_process(command, folder / "driver.log")
            assert answer["rows_in"] == events, answer
            rate = events / answer["seconds"]
            # Its own: what the workers use is not in it.
            driver = {"driver processor s": watched.cpu_seconds, "driver peak MiB": watched.peak_mebibytes}
            series[workers].add(answer["seconds"], **{"events/s": rate, **driver})
            print(f"  {series[workers].name}: {answer['seconds']:.1f} s, {rate:,.0f} events/s", flush=True)
            shutil.rmtree(work)
    found = list(series.values())
    print_table(found, found[0])
    return found


def _fill(folder: Path, name: str, events: int) -> None:
    """Lands a backlog in the bronze of a lake."""
    options = {"lake.path": str(folder / name), "broker.data_path": str(folder / "broker")}
    settings = load_settings(options=options, environment={})
    spark = open_session(settings, "benchmarks")
    try:
        fill_bronze(spark, settings, backlog(events))
    finally:
        spark.stop()
        shutil.rmtree(folder / "broker", ignore_errors=True)


def main() -> None:
    """Prints seconds and rows of the large lake as the last line."""
    task = json.loads(sys.argv[1])
    # Spark prints to standard output too, on which the figures are awaited.
    answer = os.dup(1)
    os.dup2(2, 1)
    start_logging()
    folder = Path(task["folder"])
    options = {"lake.path": str(folder / "warm"), "spark.master": task["master"]}
    settings = load_settings(options=options, environment={})
    spark = open_session(settings, "benchmarks")
    try:
        drain_silver(spark, settings)
        mine = in_lake(settings, folder / "full")
        found = {"seconds": drain_silver(spark, mine), **ledger_sums(mine, "rows_in")}
    finally:
        spark.stop()
    os.write(answer, (json.dumps(found) + "\n").encode())


if __name__ == "__main__":
    main()

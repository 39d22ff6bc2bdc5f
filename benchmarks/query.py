"""What `sluice query` takes: ready-made queries as from the shell, without a JVM, on a lake written without Spark."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from benchmarks.audit import write_lake
from benchmarks.live import SLUICE
from benchmarks.measure import Series, print_table

ABOUT = "ready-made queries of sluice query, the whole command"
EVENTS = 10_000_000
_QUERIES = (
    "latest_readings",
    "device_last_hour",
    "minutes",
    "promotions_by_verdict",
    "quarantine_by_code",
    "version_mix",
    "books",
)
_STEP_MS = 5_000


def run(folder: Path, events: int, runs: int) -> list[Series]:
    """Measures each query; the first answer of each is not counted."""
    began = time.monotonic()
    write_lake(folder / "lake", events, _STEP_MS)
    print(f"  lake written in {time.monotonic() - began:.0f} s", flush=True)
    series = []
    for name in _QUERIES:
        series.append(Series(name))
        for number in range(runs + 1):
            seconds, rows = _ask(folder / "lake", name)
            if number:
                series[-1].add(seconds, rows=rows)
        print(f"  {name}: {series[-1].median:.2f} s", flush=True)
    print_table(series, series[0])
    return series


def _ask(lake: Path, name: str) -> tuple[float, int]:
    """Seconds, and how many rows it answered."""
    command = [*SLUICE, "query", name, "--format", "csv"]
    environment = {**os.environ, "SLUICE_LAKE__PATH": str(lake), "JAVA_HOME": "/nonexistent"}
    began = time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    seconds = time.monotonic() - began
    assert done.returncode == 0, done.stderr.decode()
    return seconds, done.stdout.count(b"\n") - 1

"""How fast `sluice serve` answers 20 clients: a lake written without Spark, the real server in a process of its own.

Each question is asked cold, most days for the first time, warm, and paced: 50 requests a second of all clients.
Else a client asks again as soon as it is answered. Latencies hold what this process, on the same machine, adds.
"""

from __future__ import annotations

import json
import os
import random
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import httpx

from benchmarks.audit import DEVICES, write_lake
from benchmarks.measure import Series, process_fields

ABOUT = "sluice serve with 20 clients: latest readings, one device's day of readings and of minutes"
EVENTS = 10_000_000
CLIENTS = 20
REQUESTS_EACH = 50
# Of all clients together, where they are paced.
PACE_PER_SECOND = 50.0
_STEP_MS = 60_000
_FIRST_DAY = datetime(2026, 3, 1, tzinfo=timezone.utc)
_GOAL_MS = 100.0
Ask = Callable[[random.Random], str]


def run(folder: Path, events: int, runs: int) -> list[Series]:
    """Measures each question; a run is 20 clients with 50 requests each."""
    lake = folder / "lake"
    began = time.monotonic()
    write_lake(lake, events, _STEP_MS)
    print(f"  lake written in {time.monotonic() - began:.0f} s", flush=True)
    days = max(1, events // DEVICES * _STEP_MS // 86_400_000)
    questions: dict[str, Ask] = {
        "latest, all devices": lambda _: "/v1/latest",
        "latest, one device": lambda chance: f"/v1/latest?device_id={_device(chance)}",
        "a device's day, readings": lambda chance: f"/v1/readings?{_day(chance, days)}",
        "a device's day, minutes": lambda chance: f"/v1/aggregates?metric=temperature_celsius&{_day(chance, days)}",
    }
    measured = []
    with _server(lake) as (address, pid):
        for name, ask in questions.items():
            for how, pace in (("cold", 0.0), ("warm", 0.0), ("paced", PACE_PER_SECOND)):
                series = Series(f"{name}, {how}")
                for number in range(1 if how == "cold" else runs):
                    _measure(address, ask, pace, seed=number, series=series)
                measured.append(series)
                _print(series)
        peak = int(process_fields(pid)[21]) * resource.getpagesize() / 2**20
        print(f"  the server holds {peak:,.0f} MiB")
    return measured


def _measure(address: str, ask: Ask, pace: float, seed: int, series: Series) -> None:
    taken: list[float] = []
    sizes: list[int] = []
    lock = threading.Lock()

    def client(number: int) -> None:
        chance = random.Random(seed * CLIENTS + number)
        mine, bytes_ = [], []
        with httpx.Client(base_url=address, timeout=60) as connection:
            due = time.monotonic() + (number / pace if pace else 0.0)
            for _ in range(REQUESTS_EACH):
                time.sleep(max(0.0, due - time.monotonic()) if pace else 0.0)
                due += CLIENTS / pace if pace else 0.0
                began = time.monotonic()
                answer = connection.get(ask(chance))
                mine.append(time.monotonic() - began)
                assert answer.status_code == 200, answer.text
                bytes_.append(len(answer.content))
        with lock:
            taken.extend(mine)
            sizes.extend(bytes_)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - began
    assert len(taken) == CLIENTS * REQUESTS_EACH
    p50, p95, p99 = (statistics.quantiles(taken, n=100)[place - 1] * 1000 for place in (50, 95, 99))
    series.add(
        seconds,
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        requests_per_second=len(taken) / seconds,
        kilobytes=statistics.mean(sizes) / 1000,
    )


def _print(series: Series) -> None:
    shown = {name: statistics.median(values) for name, values in series.figures.items()}
    verdict = "" if shown["p95_ms"] < _GOAL_MS else f"  p95 not below {_GOAL_MS:.0f} ms"
    print(
        f"  {series.name:<32} p50 {shown['p50_ms']:7.1f}  p95 {shown['p95_ms']:7.1f}  p99 {shown['p99_ms']:7.1f} ms"
        f"  {shown['requests_per_second']:6.0f}/s  {shown['kilobytes']:6.0f} kB{verdict}",
        flush=True,
    )


def _device(chance: random.Random) -> str:
    return f"sensor-{chance.randrange(DEVICES):04d}"


def _day(chance: random.Random, days: int) -> str:
    day = _FIRST_DAY + timedelta(days=chance.randrange(days))
    since, until = (each.strftime("%Y-%m-%dT%H:%M:%SZ") for each in (day, day + timedelta(days=1)))
    return f"device_id={_device(chance)}&since={since}&until={until}&limit=2000"


@contextmanager
def _server(lake: Path) -> Iterator[tuple[str, int]]:
    """The server's address and pid, once it is ready."""
    command = [sys.executable, "-c", "from sluice.cli import main; main()", "serve", "--port", "0"]
    settings = {"SLUICE_LAKE__PATH": str(lake), "SLUICE_SERVE__KEYS_PATH": "null"}
    settings |= {"SLUICE_SERVE__REQUESTS_PER_SECOND": "100000", "SLUICE_SERVE__BURST_REQUESTS": "100000"}
    # What takes longer is to be seen in the figures, not refused.
    settings["SLUICE_SERVE__QUERY_TIMEOUT_SECONDS"] = "60"
    with (lake.parent / "server.log").open("ab") as log:
        process = subprocess.Popen(
            command, env={**os.environ, **settings}, stdout=subprocess.PIPE, stderr=log, text=True
        )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split(" at ")[1].split()[0]
        began = time.monotonic()
        while httpx.get(f"{address}ready").status_code != 200:
            assert time.monotonic() - began < 120, "the server does not become ready"
            time.sleep(0.05)
        print(f"  ready after {time.monotonic() - began:.1f} s", flush=True)
        yield address, process.pid
    finally:
        process.terminate()
        assert process.wait(30) == 0, json.dumps({"exit": process.returncode})

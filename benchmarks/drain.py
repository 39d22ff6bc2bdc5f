"""A backlog drained: by Sluice with all gates on, by its peers, and single steps of Spark beside them.

One broker, one topic. Each contender runs as a process of its own, drains a short topic first to warm up, then the
long one; what starting it takes is not counted. The turns go round, so that none is always first.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.audit import audit_lake
from benchmarks.contenders import Task, flink_sql, hand_made, limits, plain_spark, sluice
from benchmarks.flink import flink_python
from benchmarks.load import backlog, fill
from benchmarks.measure import Series, print_table
from benchmarks.processes import run as run_process
from benchmarks.processes import size_of
from sluice.embedded.broker import start_broker, stop_broker
from sluice.embedded.topics import create_topic
from sluice.errors import UsageError
from sluice.schemas import LAYERS
from sluice.settings import load_settings

ABOUT = "a backlog through Sluice, and through its peers"
EVENTS = 2_000_000
_CONTENDERS = {
    "sluice": sluice,
    "plain_spark": plain_spark,
    "hand_made": hand_made,
    "flink_sql": flink_sql,
    "limits": limits,
}
# Of these the parts are ways of their own, not steps of one.
_SEPARATE = ("limits",)
_WARM_EVENTS = 300_000
_TOPIC, _WARM_TOPIC = "bench.events", "bench.warm"
_PARTITIONS = 4


def run(folder: Path, events: int, runs: int) -> list[Series]:
    """Measures all contenders, or those that BENCH_CONTENDERS names, separated by commas.

    Raises:
        UsageError: it names one that there is not.
    """
    chosen = _chosen()
    settings = load_settings(options={"broker.data_path": str(folder / "broker")}, environment={})
    broker = start_broker(settings)
    found = {name: Series(_CONTENDERS[name].NAME) for name in chosen}
    try:
        for topic, count in ((_WARM_TOPIC, min(events, _WARM_EVENTS)), (_TOPIC, events)):
            create_topic(broker.bootstrap_servers, topic, _PARTITIONS)
            size = fill(broker.bootstrap_servers, topic, backlog(count))
        print(f"  {events:,} events of {size:.0f} bytes sent", flush=True)
        for turn in range(runs):
            for name in chosen[turn % len(chosen) :] + chosen[: turn % len(chosen)]:
                work = folder / "work"
                task = Task(broker.bootstrap_servers, _WARM_TOPIC, _TOPIC, str(work), events)
                _measure(name, task, work, found[name])
                shutil.rmtree(work, ignore_errors=True)
    finally:
        stop_broker(settings.broker.data_path, timeout_seconds=20)
    ready = [series for series in found.values() if series.seconds]
    if ready:
        print_table(ready, ready[0])
    return ready


def _chosen() -> list[str]:
    names = [name.strip() for name in os.environ.get("BENCH_CONTENDERS", ",".join(_CONTENDERS)).split(",")]
    if unknown := [name for name in names if name not in _CONTENDERS]:
        raise UsageError(
            f"BENCH_CONTENDERS: unknown contender {', '.join(map(repr, unknown))}",
            f"there are {', '.join(_CONTENDERS)}",
        )
    return list(dict.fromkeys(names))


def _measure(name: str, task: Task, work: Path, series: Series) -> None:
    work.mkdir(parents=True)
    command = [sys.executable, "-m", "benchmarks.contenders", name, json.dumps(asdict(task))]
    if name == "flink_sql":
        command = [str(flink_python()), flink_sql.__file__, json.dumps(asdict(task))]
    try:
        watched, answer = run_process(command, work.parent / f"{name}.log")
    except RuntimeError as error:
        print(f"  {series.name}: {error}", flush=True)
        return
    parts: dict[str, float] = answer["parts"]
    seconds = sum(parts.values())
    rates = {f"{part} events/s": task.events / taken for part, taken in parts.items()}
    if name not in _SEPARATE:
        rates["events/s"] = task.events / seconds
    figures = {
        "peak MiB": watched.peak_mebibytes,
        "processor s": watched.cpu_seconds,
        "bytes/event": size_of(work / "measured") / task.events,
    }
    series.add(seconds, **rates, **figures)
    if name == "sluice":
        for layer in LAYERS:
            series.figures.setdefault(f"{layer} bytes/event", []).append(
                size_of(work / "measured" / layer) / task.events
            )
        lake = {"SLUICE_LAKE__PATH": str(work / "measured"), "SLUICE_KAFKA__TOPIC": task.topic}
        audit_lake({**lake, "SLUICE_KAFKA__BOOTSTRAP_SERVERS": task.bootstrap_servers})
    told = ", ".join(f"{part} {value:,.0f}" for part, value in rates.items())
    print(f"  {series.name}: {seconds:.1f} s; {told}; {watched.peak_mebibytes:,.0f} MiB", flush=True)

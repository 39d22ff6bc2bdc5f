"""How long it takes from a reading to its alert signal, with the lakehouse beside it and without.

`python -m benchmarks alerts` compares both modes at 1,000 readings a second. `python -m benchmarks.alerts` takes
options: `--rate`, `--seconds`, `--mode`, `--duration`, `--one-query`, `--beside`, `--share`, `--warm-up`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.latency import Listener, Sample, await_rest, boundaries, percentile, publish
from benchmarks.measure import Series, machine
from sluice.embedded.broker import start_broker, stop_broker
from sluice.settings import Settings, load_settings

ABOUT = "from a reading published to its signal read from iot.alerts"
# Each variant's, at 1,000 a second.
EVENTS = 60_000
_RATE = 1000
_START_SECONDS = 180.0
# Published so near to the end of a batch, a reading may have waited for the next batch to begin.
_NEAR_SECONDS = 2.0
_SHARES = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99, "p999_ms": 0.999, "max_ms": 1.0}
_RULES = """
rules:
  - {id: warm, type: threshold, severity: info, metric: temperature_celsius, above: 44}
  - {id: range, type: out_of_range, severity: warning, metric: temperature_celsius}
  - {id: battery, type: battery_low, severity: info, below_percent: 10}
  - {id: fault, type: status, severity: info, statuses: [error]}
"""


@dataclass(frozen=True)
class Variant:
    """What is measured.

    Attributes:
        rate: readings a second.
        seconds: of the sample, after as many of `warm_up_seconds`.
        duration_seconds: of a real-time batch.
        overlap: whether a second query sends signals between two batches of the first.
        beside: whether `sluice run` works on the same topic meanwhile.
        share: of the readings that raise a signal.
    """

    rate: int = _RATE
    seconds: float = 60.0
    mode: str = "real_time"
    duration_seconds: float = 60.0
    overlap: bool = True
    beside: bool = False
    share: float = 0.1
    warm_up_seconds: float = 30.0

    @property
    def name(self) -> str:
        """For the table."""
        how = self.mode
        if self.mode == "real_time":
            how += f" {self.duration_seconds:g} s, {'two queries' if self.overlap else 'one query'}"
        return f"{how}, {self.rate:,}/s, {'with sluice run' if self.beside else 'alone'}"


def run(folder: Path, events: int, runs: int) -> list[Series]:
    """Measures real-time mode with a second query and without, and micro-batches."""
    found = []
    seconds = events / _RATE
    variants = (
        Variant(seconds=seconds),
        Variant(seconds=seconds, overlap=False),
        Variant(seconds=seconds, mode="micro"),
    )
    for number, variant in enumerate(variants):
        series = Series(variant.name)
        for turn in range(runs):
            began = time.monotonic()
            figures = measure(folder / f"{number}-{turn}", variant)
            series.add(time.monotonic() - began, **figures)
            print(f"  {variant.name}: {_line(figures)}", flush=True)
        found.append(series)
    return found


def measure(folder: Path, variant: Variant) -> dict[str, float]:
    """One sample with a broker, a lake and processes of its own."""
    settings = _settings(folder, variant)
    broker = start_broker(settings)
    try:
        with ExitStack() as processes:
            if variant.beside:
                processes.enter_context(_sluice(folder, settings, "run"))
            query = processes.enter_context(_sluice(folder, settings, "alerts", "run"))
            _await_answer(broker.bootstrap_servers, settings, query)
            topic = settings.kafka.topic
            publish(broker.bootstrap_servers, topic, variant.rate, variant.warm_up_seconds, variant.share)
            listener = Listener(broker.bootstrap_servers, settings.alerts.topic)
            since = time.time()
            wanted = publish(broker.bootstrap_servers, topic, variant.rate, variant.seconds, variant.share)
            await_rest(listener, wanted, since)
            samples = [each for each in listener.close() if each.published >= since]
            ends = boundaries(settings.lake.path / "_checkpoints" / "alerts", since, time.time())
    finally:
        stop_broker(settings.broker.data_path, timeout_seconds=10)
    return {**figures_of(samples, ends), "signals": float(len(samples)), "missing": float(wanted - len(samples))}


def figures_of(samples: Sequence[Sample], ends: Sequence[float]) -> dict[str, float]:
    """Milliseconds of all samples, of those near to the end of a batch, and of those away from any."""
    near: list[Sample] = []
    away: list[Sample] = []
    for each in samples:
        (near if any(abs(each.published - end) <= _NEAR_SECONDS for end in ends) else away).append(each)
    figures: dict[str, float] = {"boundaries": float(len(ends))}
    for prefix, chosen in (("", samples), ("near_", near), ("away_", away)):
        values = sorted(each.seconds * 1000 for each in chosen)
        figures |= {f"{prefix}{name}": percentile(values, share) for name, share in _SHARES.items()}
    return figures


def _settings(folder: Path, variant: Variant) -> Settings:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "alerts.yaml").write_text(_RULES, "utf-8")
    options = {
        "lake.path": str(folder / "lake"),
        "broker.data_path": str(folder / "broker"),
        "alerts.path": str(folder / "alerts.yaml"),
        "alerts.mode": variant.mode,
        "alerts.duration_seconds": variant.duration_seconds,
        "alerts.overlap": variant.overlap,
    }
    return load_settings(options=options, environment={})


@contextmanager
def _sluice(folder: Path, settings: Settings, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    own = {
        "SLUICE_LAKE__PATH": str(settings.lake.path),
        "SLUICE_BROKER__DATA_PATH": str(settings.broker.data_path),
        "SLUICE_ALERTS__PATH": str(settings.alerts.path),
        "SLUICE_ALERTS__MODE": settings.alerts.mode,
        "SLUICE_ALERTS__DURATION_SECONDS": str(settings.alerts.duration_seconds),
        "SLUICE_ALERTS__OVERLAP": str(settings.alerts.overlap).lower(),
    }
    command = [sys.executable, "-c", "from sluice.cli import main; main()", *arguments]
    with (folder / f"{'-'.join(arguments)}.log").open("ab") as log:
        process = subprocess.Popen(command, env={**os.environ, **own}, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(90)
        except subprocess.TimeoutExpired:
            process.kill()


def _await_answer(bootstrap_servers: str, settings: Settings, query: subprocess.Popen[bytes]) -> None:
    """Publishes a few readings now and then until their signals come back."""
    deadline = time.monotonic() + _START_SECONDS
    checkpoint = settings.lake.path / "_checkpoints" / "alerts" / "start.json"
    while not checkpoint.exists():
        _require(query, deadline)
    listener = Listener(bootstrap_servers, settings.alerts.topic)
    while not listener.count(0.0):
        _require(query, deadline)
        publish(bootstrap_servers, settings.kafka.topic, 10, 1.0, 1.0)
    listener.close()


def _require(query: subprocess.Popen[bytes], deadline: float) -> None:
    if query.poll() is not None or time.monotonic() > deadline:
        raise RuntimeError("the alert query does not answer; see its log in the benchmark's folder")
    time.sleep(0.2)


def _line(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:,.1f}" for name, value in figures.items())


def main() -> int:
    """Measures one variant with options of its own; prints its figures as JSON."""
    known = Variant()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.alerts", description=__doc__)
    parser.add_argument("--rate", type=int, default=known.rate)
    parser.add_argument("--seconds", type=float, default=known.seconds)
    parser.add_argument("--mode", choices=("real_time", "micro"), default=known.mode)
    parser.add_argument("--duration", type=float, default=known.duration_seconds, help="of a real-time batch, seconds")
    parser.add_argument("--one-query", action="store_true", help="without alerts.overlap")
    parser.add_argument("--beside", action="store_true", help="with `sluice run` on the same topic")
    parser.add_argument("--share", type=float, default=known.share, help="of the readings that raise a signal")
    parser.add_argument("--warm-up", type=float, default=known.warm_up_seconds, help="seconds")
    given = parser.parse_args()
    variant = replace(
        known,
        rate=given.rate,
        seconds=given.seconds,
        mode=given.mode,
        duration_seconds=given.duration,
        overlap=not given.one_query,
        beside=given.beside,
        share=given.share,
        warm_up_seconds=given.warm_up,
    )
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        figures = measure(Path(folder), variant)
    print(json.dumps({"machine": machine(), "variant": variant.name, **figures}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())

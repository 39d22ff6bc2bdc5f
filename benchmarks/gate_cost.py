"""What the gate costs: the same backlog through silver with the shipped suite, and with no rule at all.

Without the gate nothing is judged, no result is stored, and the decision says PROMOTE; parsing, counting for the
books, deduplication and all writes are the same. The variants take turns in one Spark session, each on a copy of the
same bronze.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from pyspark.sql import SparkSession

from benchmarks.load import DEVICES, FAULTS, fill_bronze
from benchmarks.measure import Series, cpu_seconds, print_table
from benchmarks.silver_drain import copy_lake, drain_silver, in_lake, ledger_sums
from sluice.pipelines import silver
from sluice.pipelines.gatekeeper import Gatekeeper
from sluice.pipelines.rulebook import Rulebook, load_rulebook
from sluice.session import open_session
from sluice.settings import Settings, load_settings
from sluice.simulator.plan import resolve_plan

ABOUT = "silver with and without its gate, the same backlog"
EVENTS = 1_000_000


def run(folder: Path, events: int, runs: int) -> list[Series]:
    """Measures both variants in turns; the first turn warms up and is not counted."""
    own = {"lake.path": str(folder / "bronze-only"), "broker.data_path": str(folder / "broker")}
    settings = load_settings(options=own, environment={})
    spark = open_session(settings, "benchmarks")
    try:
        now_ms = int(time.time() * 1000)
        plan, _ = resolve_plan(now_ms=now_ms, rate=0, events=events, devices=DEVICES, faults=FAULTS)
        fill_bronze(spark, settings, plan)
        gated, bare = Series("with the gate"), Series("without")
        for turn in range(runs + 1):
            # A session grows faster for minutes: whoever is always second would gain by that.
            for series in (gated, bare) if turn % 2 else (bare, gated):
                used = cpu_seconds(spark)
                seconds, gate_seconds = _drain_silver(spark, settings, folder, gated=series is gated)
                used = cpu_seconds(spark) - used
                name = f"{'warm-up' if turn == 0 else f'run {turn}'}: {series.name}"
                print(f"  {name} {seconds:.1f} s, {used:.1f} s of processor", flush=True)
                if turn:
                    figures = {"gate_seconds": gate_seconds, "events_per_second": events / seconds}
                    series.add(seconds, cpu_seconds=used, **figures)
    finally:
        spark.stop()
    print_table([gated, bare], bare)
    return [gated, bare]


def _drain_silver(spark: SparkSession, settings: Settings, folder: Path, *, gated: bool) -> tuple[float, float]:
    mine = in_lake(settings, folder / "lake")
    copy_lake(settings.lake.path, mine.lake.path)
    with ExitStack() as patches:
        if not gated:
            patches.enter_context(_no_gate(mine))
        seconds = drain_silver(spark, mine)
    return seconds, ledger_sums(mine, "gate_seconds")["gate_seconds"]


@contextmanager
def _no_gate(settings: Settings) -> Iterator[None]:
    shipped = load_rulebook(settings, "silver")
    bare = replace(shipped, suite=replace(shipped.suite, rules=()))

    def without_rules(*_: object) -> Rulebook:
        return bare

    with patch.object(silver, "load_rulebook", without_rules), patch.object(Gatekeeper, "_keep_result"):
        yield

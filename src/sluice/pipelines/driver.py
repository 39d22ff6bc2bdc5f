"""One Spark driver hosting the queries of one layer or of all: owning them, draining them, stopping them."""

from __future__ import annotations

import logging
import math
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sluice.errors import BreakerOpen, BrokerDown, LakeMissing, UsageError
from sluice.schemas import LAYERS, LEDGERS, UPSTREAM
from sluice.settings import Settings
from sluice.tables.lake import Lake, own_layer

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from sluice.pipelines.running import LayerRun
    from sluice.pipelines.stream import Stream

logger = logging.getLogger("sluice")
_POLL_SECONDS = 0.2
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class StopSignal:
    """Set by Ctrl-C or SIGTERM; the driver then ends between two micro-batches."""

    event: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Catches SIGINT and SIGTERM while the block runs; a second one ends the process at once."""
        previous = {number: signal.getsignal(number) for number in _SIGNALS}
        self.install()
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def install(self) -> None:
        """Takes the signals (again)."""
        for number in _SIGNALS:
            signal.signal(number, self._stop)

    def _stop(self, number: int, _: object) -> None:
        if self.event.is_set():
            raise SystemExit(128 + number)
        logger.info("stopping: the running micro-batch may finish")
        self.event.set()


def run_layers(settings: Settings, layers: Sequence[str], bootstrap_servers: str | None, *, once: bool) -> None:
    """Runs the layers' queries in one driver until they are drained (`once`) or a stop is asked for.

    Args:
        layers: of bronze, silver, gold; carried out in that order.
        bootstrap_servers: needed if bronze is among them.
        once: drain what is there, layer by layer, and return.

    Raises:
        UsageError: a layer is unknown.
        LayerLocked: another process owns one of them.
        LakeTooNew, LakeMissing, JarsMissing: as the layers find them.
        CheckpointLost, CheckpointDamaged, TopicReplaced, RecordsLost: a layer must not go on by itself.
        BrokerDown: with `once`, it was away for kafka.wait_seconds; the other layers are drained.
        StreamFailed: a query ended with an error.
        BreakerOpen: with `once`, a gate's circuit breaker is open; the other layers are drained.
    """
    wanted = order_layers(layers)
    lake = Lake(settings.lake.path)
    lake.prepare()
    check_rulebook(settings)
    stop = StopSignal()
    with ExitStack() as owned, stop.installed():
        for layer in wanted:
            owned.enter_context(own_layer(lake, layer))
        _check_starts(settings, lake, wanted, bootstrap_servers)
        if once and wanted[0] in UPSTREAM and not lake.has_table(UPSTREAM[wanted[0]]):
            raise LakeMissing(
                f"the lake {lake.path} has no {UPSTREAM[wanted[0]].full_name} yet", "run the layer above it first"
            )
        from sluice.quality.expectations import open_great_expectations
        from sluice.session import open_session

        if any(layer in LEDGERS for layer in wanted):
            # Its import takes seconds, which the start of the JVM leaves unused; bronze has no gate.
            threading.Thread(target=open_great_expectations, daemon=True).start()
        spark = open_session(settings, f"sluice {' '.join(wanted)}")
        # A new SparkContext takes SIGINT for itself, to cancel jobs.
        stop.install()
        driver = Driver(spark, settings, bootstrap_servers, stop)
        try:
            driver.drain(wanted) if once else driver.follow(wanted)
        finally:
            spark.stop()


def order_layers(layers: Sequence[str]) -> list[str]:
    """The layers from bronze to gold, each once.

    Raises:
        UsageError: one is unknown, or none is given.
    """
    if unknown := [layer for layer in layers if layer not in LAYERS]:
        raise UsageError(f"unknown layer {', '.join(unknown)}", f"layers are {', '.join(LAYERS)}")
    if not layers:
        raise UsageError("no layer is given", f"layers are {', '.join(LAYERS)}")
    return [layer for layer in LAYERS if layer in layers]


def check_rulebook(settings: Settings) -> None:
    """Raises what is wrong with contract, registry or suite, before Spark is started for it."""
    from sluice.pipelines.rulebook import load_rulebook

    for layer in LEDGERS:
        load_rulebook(settings, layer)


def _check_starts(settings: Settings, lake: Lake, layers: Sequence[str], bootstrap_servers: str | None) -> None:
    """Raises what a layer must not be started for, before Spark is; the layers look again when they start."""
    from sluice.pipelines.topic_watch import TopicWatch
    from sluice.tables.damage import require_whole

    for layer in layers:
        require_whole(lake, layer)
    if "bronze" in layers and bootstrap_servers:
        TopicWatch(lake, settings, bootstrap_servers).examine()


@dataclass
class Driver:
    """Runs layers in one Spark session, in order or side by side."""

    spark: SparkSession
    settings: Settings
    bootstrap_servers: str | None
    stop: StopSignal

    def drain(self, layers: Sequence[str]) -> None:
        """Drains what is there, layer by layer.

        Raises:
            BrokerDown: it was away for kafka.wait_seconds; the other layers are drained.
            BreakerOpen: a gate's circuit breaker is open; the other layers are drained.
            StreamFailed: a query ended with an error.
        """
        paused = []
        away: BrokerDown | None = None
        for layer in layers:
            try:
                if not self.stop.event.is_set() and self._watch([layer], once=True):
                    paused.append(layer)
            except BrokerDown as error:
                away = error
        if away:
            raise away
        if paused:
            raise BreakerOpen(
                f"the gate's breaker of {' and '.join(paused)} is open; what came after waits in the layer above",
                "sluice gate ls shows the holds; it is tried again gate.probe_after_seconds after it opened",
            )

    def follow(self, layers: Sequence[str]) -> None:
        """Runs the layers side by side until a stop is asked for.

        Raises:
            StreamFailed: a query ended with an error.
        """
        self._watch(layers, once=False)

    def _watch(self, layers: Sequence[str], *, once: bool) -> bool:
        """Runs the layers until they end or a stop comes; true if one ended because its breaker is open."""
        from sluice.pipelines.running import LayerRun
        from sluice.tables.damage import require_whole

        runs: list[LayerRun] = []
        try:
            for layer in layers:
                if not self._await_upstream(layer):
                    return False
                require_whole(Lake(self.settings.lake.path), layer)
                wait_seconds = self.settings.kafka.wait_seconds if once else math.inf
                runs.append(LayerRun(self._stream(layer), once=once, wait_seconds=wait_seconds))
                runs[-1].start()
            while not self.stop.event.is_set():
                have_ended = all(run.has_ended for run in runs)
                for run in runs:
                    run.tend()
                # A query that only lost its broker has not ended: its layer waits.
                if have_ended and all(run.has_ended for run in runs):
                    break
                time.sleep(_POLL_SECONDS)
        finally:
            self._close(runs)
        return any(run.is_paused for run in runs) and once

    def _await_upstream(self, layer: str) -> bool:
        """Waits until the table that the layer reads exists; false if a stop came first."""
        table, lake = UPSTREAM.get(layer), Lake(self.settings.lake.path)
        told = False
        while table and not lake.has_table(table):
            if not told:
                logger.info("%s waits for %s", layer, table.full_name)
                told = True
            if self.stop.event.wait(_POLL_SECONDS):
                return False
        return True

    def _stream(self, layer: str) -> Stream:
        from sluice.pipelines.bronze import bronze_stream
        from sluice.pipelines.gold import gold_stream
        from sluice.pipelines.silver import silver_stream

        if layer == "bronze":
            if self.bootstrap_servers is None:
                raise UsageError("bronze needs a broker", "sluice up, or set kafka.bootstrap_servers")
            return bronze_stream(self.spark, self.settings, self.bootstrap_servers)
        return silver_stream(self.spark, self.settings) if layer == "silver" else gold_stream(self.spark, self.settings)

    def _close(self, runs: Sequence[LayerRun]) -> None:
        deadline = time.monotonic() + self.settings.run.stop_grace_seconds
        for run in runs:
            run.close(max(0.0, deadline - time.monotonic()))


def start_logging() -> None:
    """One readable line per micro-batch on standard error; nothing of the libraries below."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logging.getLogger("py4j").setLevel(logging.CRITICAL)
    logging.getLogger("pyspark").setLevel(logging.CRITICAL)

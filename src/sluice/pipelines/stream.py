"""One streaming query per layer: how it is started, reported and stopped between micro-batches."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql.streaming.query import StreamingQuery

from sluice.errors import SluiceError
from sluice.tables.checkpoints import seal_offsets

logger = logging.getLogger("sluice")


@dataclass(frozen=True)
class BatchReport:
    """What one micro-batch did, for people.

    Attributes:
        rows_in: rows it read.
        outcome: the rest of the line, e.g. ``98 promoted, 2 quarantined``.
        pauses: whether the gate's breaker is open after it: no further micro-batch may begin.
    """

    rows_in: int
    outcome: str
    pauses: bool = False


class StopRequested(Exception):
    """Ends a query whose next micro-batch began after a stop or a pause; never an error."""


@dataclass
class BatchGate:
    """Lets a stop wait for the running micro-batch, and keeps the next one from beginning.

    Attributes:
        failure: what ended a micro-batch; Spark would only hand on its text.
    """

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _paused: threading.Event = field(default_factory=threading.Event)
    failure: Exception | None = None

    @property
    def is_paused(self) -> bool:
        """Whether `pause` was called."""
        return self._paused.is_set()

    def pause(self) -> None:
        """Refuses new batches; called while one runs."""
        self._paused.set()
        self._stopping.set()

    def take_turn(self, timeout_seconds: float) -> bool:
        """Keeps batches from beginning until `end_turn`; false if one ran all the time."""
        return self._lock.acquire(timeout=timeout_seconds)

    def end_turn(self) -> None:
        """Lets batches begin again."""
        self._lock.release()

    def __enter__(self) -> None:
        self._lock.acquire()
        if self._stopping.is_set():
            self._lock.release()
            raise StopRequested

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def close(self, grace_seconds: float) -> bool:
        """Refuses new batches and waits for the running one; false if it is still running after that."""
        self._stopping.set()
        if self._lock.acquire(timeout=grace_seconds):
            self._lock.release()
            return True
        return False


@dataclass(frozen=True)
class Stream:
    """A layer's stream before it is started.

    Attributes:
        process: carries out one micro-batch; called again for the same batch id after a crash.
        next_try: when a micro-batch may begin; None for now.
        has_requests: whether people ask something of the layer's owner.
        answer: carries their requests out; never while a micro-batch runs.
        is_due: whether `tend` has work; given whether the query has drained all there was and ended.
        tend: further work of the layer's owner; never while a micro-batch runs.
        ready: raises what keeps the query from being started; BrokerDown is waited for.
        diagnose: what a failure of the query, given as its reason, comes from; None for nothing that has a name.
        close: lets go of what the stream holds open.
    """

    layer: str
    source: DataFrame
    process: Callable[[DataFrame, int], BatchReport]
    checkpoint: Path
    trigger_seconds: float
    next_try: Callable[[], datetime | None] = lambda: None
    has_requests: Callable[[], bool] = lambda: False
    answer: Callable[[], None] = lambda: None
    is_due: Callable[[bool], bool] = lambda _: False
    tend: Callable[[], object] = lambda: None
    ready: Callable[[], None] = lambda: None
    diagnose: Callable[[str], SluiceError | None] = lambda _: None
    close: Callable[[], None] = lambda: None


def start_stream(stream: Stream, gate: BatchGate, *, once: bool) -> StreamingQuery:
    """Starts the query.

    Args:
        once: read what is there in as many micro-batches as limits ask for, then end.
    """

    def carry_out(batch: DataFrame, batch_id: int) -> None:
        with gate:
            began = time.monotonic()
            try:
                seal_offsets(stream.checkpoint, batch_id)
                report = stream.process(batch, batch_id)
            except Exception as error:
                gate.failure = error
                raise
            _log(stream.layer, batch_id, report, time.monotonic() - began)
            if report.pauses:
                gate.pause()

    writer = (
        stream.source.writeStream.queryName(stream.layer)
        .option("checkpointLocation", str(stream.checkpoint))
        .foreachBatch(carry_out)
    )
    if once:
        return writer.trigger(availableNow=True).start()
    return writer.trigger(processingTime=f"{round(stream.trigger_seconds * 1000)} milliseconds").start()


def _log(layer: str, batch_id: int, report: BatchReport, seconds: float) -> None:
    rate = report.rows_in / seconds if seconds else 0.0
    logger.info(
        "%-6s batch %d: %s in, %s (%.1f s, %s/s)",
        layer,
        batch_id,
        f"{report.rows_in:,}",
        report.outcome,
        seconds,
        f"{rate:,.0f}",
        extra={"layer": layer, "rows_in": report.rows_in},
    )

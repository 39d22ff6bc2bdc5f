"""A layer at work: its query started, paused while its gate's breaker is open or its broker away, resumed, stopped."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from datetime import datetime, timezone

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql.streaming.query import StreamingQuery

from sluice.errors import BrokerDown, DiskFull, SluiceError, StreamFailed
from sluice.pipelines.patience import Patience
from sluice.pipelines.stream import BatchGate, Stream, start_stream

logger = logging.getLogger("sluice")
# A request waits at most so long for a micro-batch to end before the driver looks after its other layers.
_TURN_SECONDS = 0.5


class LayerRun:
    """One layer's stream in a driver.

    Args:
        once: drain what is there, then end; a pause ends it too.
        wait_seconds: for a broker that is away.
    """

    def __init__(self, stream: Stream, *, once: bool, wait_seconds: float = math.inf) -> None:
        self.layer = stream.layer
        self._stream = stream
        self._once = once
        self._gate = BatchGate()
        self._query: StreamingQuery | None = None
        self._patience = Patience(stream.layer, wait_seconds)
        self.is_paused = False

    def start(self) -> None:
        """Starts the query, unless the gate's breaker is open or the broker away.

        Raises:
            BrokerDown: it was away for too long.
            SluiceError: what the stream says that it must not be started for.
            StreamFailed: what people asked for could not be carried out.
        """
        self._named(self._stream.answer)
        resumes_at = self._stream.next_try()
        self.is_paused = resumes_at is not None
        if resumes_at is not None:
            self._notice(resumes_at)
            return
        try:
            self._stream.ready()
        except BrokerDown as error:
            self._patience.wait(error)
            return
        self._patience.end()
        self._gate = BatchGate()
        self._query = start_stream(self._stream, self._gate, once=self._once)

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come of it: drained, or paused in a run that drains once."""
        if self.is_paused:
            return self._once
        return self._query is not None and not self._query.isActive and not self._gate.is_paused

    def tend(self) -> None:
        """Looks after the layer once: pauses, resumes, carries out requests and what else is due.

        Raises:
            StreamFailed: the query ended with an error, or what was due did.
            BrokerDown: it was away for too long.
            SluiceError: what an error of the query came from, if that has a name.
        """
        # Before failures are looked for: a query that dies after that has not drained anything.
        has_ended = self.has_ended
        if self._gate.is_paused and not self.is_paused:
            self._pause()
        elif self.is_paused and not self._once and self._stream.next_try() is None:
            logger.info("%s: one micro-batch is tried again", self.layer)
            self.start()
        elif self._patience.is_waiting:
            if self._patience.is_due:
                self.start()
        elif not self.is_paused:
            self._look_for_failure()
        self._between_batches(self._stream.has_requests, self._stream.answer)
        self._between_batches(lambda: self._stream.is_due(has_ended), self._stream.tend)

    def close(self, grace_seconds: float) -> None:
        """Lets the running micro-batch finish within the grace, then stops the query."""
        if self._query and self._query.isActive and not self._gate.close(grace_seconds):
            logger.info("%s: the running micro-batch is abandoned; the next start repeats it", self.layer)
        if self._query:
            self._query.stop()
        self._query = None
        self._stream.close()

    def _pause(self) -> None:
        if self._query:
            self._query.stop()
        self._query, self.is_paused = None, True
        self._notice(self._stream.next_try() or datetime.now(timezone.utc))

    def _notice(self, resumes_at: datetime) -> None:
        seconds = max(0.0, (resumes_at - datetime.now(timezone.utc)).total_seconds())
        logger.warning(
            "%s: the gate's breaker is open (sluice gate ls); nothing is lost, a micro-batch is tried in %.0f s",
            self.layer,
            seconds,
        )

    def _between_batches(self, is_wanted: Callable[[], bool], work: Callable[[], object]) -> None:
        if is_wanted() and self._gate.take_turn(_TURN_SECONDS):
            try:
                self._named(work)
            finally:
                self._gate.end_turn()

    def _named(self, work: Callable[[], object]) -> None:
        try:
            work()
        except (Py4JJavaError, PySparkException) as error:
            raise self._failed(reason_of(error)) from error

    def _look_for_failure(self) -> None:
        failure = self._query.exception() if self._query else None
        if failure is None or self._gate.is_paused:
            return
        reason = reason_of(self._gate.failure or failure)
        named = self._gate.failure if isinstance(self._gate.failure, SluiceError) else self._stream.diagnose(reason)
        if isinstance(named, BrokerDown):
            self._query = None
            self._patience.wait(named)
            return
        raise named or self._failed(reason)

    def _failed(self, reason: str) -> SluiceError:
        if _is_full(reason):
            return DiskFull(f"{self.layer} stopped")
        hint = "mend the cause and start it again; it goes on where it was"
        return StreamFailed(f"{self.layer} stopped: {reason}", hint)


def _is_full(reason: str) -> bool:
    """Whether an error of Java, Rust or Python says that there is no space left."""
    return any(text in reason for text in ("No space left on device", "Disk quota exceeded"))


def reason_of(failure: Exception) -> str:
    """The first cause in one line."""
    if isinstance(failure, Py4JJavaError):
        cause = failure.java_exception
        while cause.getCause() is not None:
            cause = cause.getCause()
        text = str(cause.toString())
    elif isinstance(failure, PySparkException):
        text = next(
            (line for line in reversed(str(failure).splitlines()) if line.startswith("Caused by:")), str(failure)
        )
    else:
        text = f"{type(failure).__name__}: {failure}"
    return (text.removeprefix("Caused by:").strip().splitlines() or ["unknown"])[0][:500]

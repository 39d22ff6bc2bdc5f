"""The second alert query, and when it runs: its batches begin while those of the first are half over."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql.streaming.query import StreamingQuery

# Shares of a batch of the first: in which the second is started, and in which it may go on to its next batch. Later
# than that it would be starting while the first pauses.
_BEGIN, _GO_ON = (0.4, 0.6), (0.25, 0.75)
# Shorter batches are over before a query that was started anew has read anything.
_STEERED_SECONDS = 20.0


class Overlap:
    """Starts the second query, and again whenever its boundaries have come near those of the first.

    Each boundary takes its own time, so the two drift against each other; where both pause at once, signals wait.

    Args:
        start: the second query.
        first: the query beside which it runs, just started.
        duration_seconds: of the batches of both.
        clock: seconds; rises.
    """

    def __init__(
        self,
        start: Callable[[], StreamingQuery],
        first: StreamingQuery,
        duration_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._start = start
        self._duration_seconds = duration_seconds
        self._is_steered = duration_seconds >= _STEERED_SECONDS
        self._clock = clock
        self._first = _Batches(first, clock())
        self._second: _Batches | None = None

    @property
    def query(self) -> StreamingQuery | None:
        """The second query, while there is one."""
        return self._second.query if self._second else None

    def steer(self) -> None:
        """To be called often."""
        now = self._clock()
        self._first.look(now)
        passed = (now - self._first.began) / self._duration_seconds
        if self._second is None:
            if _BEGIN[0] <= passed <= _BEGIN[1]:
                self._second = _Batches(self._start(), now)
        elif self._second.look(now) and self._is_steered and not _GO_ON[0] <= passed <= _GO_ON[1]:
            self.stop()

    def stop(self) -> None:
        """Stops the second query; `steer` starts it again in its time."""
        if self._second:
            self._second.query.stop()
        self._second = None


class _Batches:
    """When a query's running batch began."""

    def __init__(self, query: StreamingQuery, now: float) -> None:
        self.query = query
        self.began = now
        self._done = -1

    def look(self, now: float) -> bool:
        """Whether another batch has begun since it was asked last."""
        progress = self.query.lastProgress
        done = progress.batchId if progress else -1
        if done == self._done:
            return False
        self._done, self.began = done, now
        return True

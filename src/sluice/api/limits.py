"""How much may be asked: requests of one key, queries at a time, seconds of one query."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import duckdb

from sluice.api.problems import Problem, busy

T = TypeVar("T")
Clock = Callable[[], float]


class RateLimit:
    """A token bucket per key: as many requests at once as it holds, and in the long run as many as flow in.

    Args:
        per_second: how many tokens flow in.
        burst: how many it holds.
        clock: seconds; rises.
    """

    def __init__(self, per_second: float, burst: int, clock: Clock = time.monotonic) -> None:
        self._per_second, self._burst, self._clock = per_second, burst, clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, key_id: str) -> None:
        """Takes one token.

        Raises:
            Problem: 429, with the seconds until there is one.
        """
        now = self._clock()
        tokens, since = self._buckets.get(key_id, (float(self._burst), now))
        tokens = min(self._burst, tokens + (now - since) * self._per_second)
        if tokens < 1:
            self._buckets[key_id] = (tokens, now)
            seconds = math.ceil((1 - tokens) / self._per_second)
            raise Problem(429, f"ask again in {seconds} s", {"Retry-After": str(seconds)})
        self._buckets[key_id] = (tokens - 1, now)


class Deadline:
    """When a query has to be done."""

    def __init__(self, seconds: float, clock: Clock = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._end = clock() + seconds

    def left(self) -> float:
        """Seconds that are left, at least 0."""
        return max(0.0, self._end - self._clock())

    def check(self) -> None:
        """Ends the request if there is no time left.

        Raises:
            Problem: 503.
        """
        if self.left() <= 0:
            raise too_slow(self._seconds)

    @contextmanager
    def interrupting(self, connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """Stops what a connection is doing when the time is up.

        Raises:
            Problem: 503, it was stopped.
        """
        timer = threading.Timer(self.left(), connection.interrupt)
        timer.daemon = True
        timer.start()
        try:
            yield
        except duckdb.InterruptException:
            raise too_slow(self._seconds) from None
        finally:
            timer.cancel()


def too_slow(seconds: float) -> Problem:
    """What a query that took too long ends with."""
    return busy(f"the answer took longer than {seconds:g} s: ask for a shorter time or one device, or try again")


class Workers:
    """Threads that answer queries; who comes when all are busy waits, but not longer than a query may take."""

    def __init__(self, threads: int, timeout_seconds: float) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="query")
        self._free = asyncio.Semaphore(threads)
        self._timeout_seconds = timeout_seconds

    async def run(self, work: Callable[[Deadline], T]) -> T:
        """What the work gives back; it is given the time it has left.

        Raises:
            Problem: 503, no thread was free in time, or the work took too long.
        """
        deadline = Deadline(self._timeout_seconds)
        try:
            await asyncio.wait_for(self._free.acquire(), self._timeout_seconds)
        except (asyncio.TimeoutError, TimeoutError):
            raise busy("too many queries at a time; try again") from None
        future = asyncio.get_running_loop().run_in_executor(self._pool, work, deadline)
        # Not before the thread is free: one whose client has gone still works.
        future.add_done_callback(lambda _: self._free.release())
        return await asyncio.shield(future)

    def close(self) -> None:
        """Lets the threads go; those at work end by their deadline."""
        self._pool.shutdown(wait=False, cancel_futures=True)

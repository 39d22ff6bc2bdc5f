"""When the owner of a layer does again what it does beside its micro-batches."""

from __future__ import annotations

import time
from collections.abc import Callable

# It may take at most this part of the time.
_GREATEST_SHARE = 0.1


class Schedule:
    """Work that is due every so many seconds, and takes at most a tenth of the time.

    Args:
        clock: seconds that only rise.
    """

    def __init__(self, every_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._every_seconds = every_seconds
        self._clock = clock
        self._due_at = clock() + every_seconds
        self._began = clock()

    def is_due(self, has_ended: bool) -> bool:
        """Whether it is time again; at the end of a drain it always is."""
        return has_ended or self._clock() >= self._due_at

    def begin(self) -> None:
        """Notes that the work begins."""
        self._began = self._clock()

    def end(self) -> float:
        """Notes that it has ended; how many seconds it took."""
        took = self._clock() - self._began
        self._due_at = self._clock() + max(self._every_seconds, took / _GREATEST_SHARE)
        return took

"""Waiting for a dependency that is away: tried again ever more rarely, with a line of notice each time."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable

from sluice.errors import SluiceError

logger = logging.getLogger("sluice")
FIRST_SECONDS, LONGEST_SECONDS = 1.0, 30.0
# Away again after so long counts as away anew.
_FORGOTTEN_SECONDS = 120.0


class Patience:
    """How long a layer has waited, and when it tries again.

    Args:
        layer: for the notice.
        most_seconds: after which the wait ends with the error; infinite for a stream that follows.
        clock: seconds that only rise.
    """

    def __init__(self, layer: str, most_seconds: float = math.inf, clock: Callable[[], float] = time.monotonic) -> None:
        self._layer = layer
        self._most_seconds = most_seconds
        self._clock = clock
        self._since = self._tries_at = -math.inf
        self._delay = 0.0
        self.is_waiting = False

    @property
    def is_due(self) -> bool:
        """Whether it is time to try again."""
        return self.is_waiting and self._clock() >= self._tries_at

    def wait(self, error: SluiceError) -> None:
        """Takes note that the dependency is away.

        Raises:
            SluiceError: the given one, once it has been away for too long.
        """
        now = self._clock()
        if now - self._tries_at > _FORGOTTEN_SECONDS:
            self._since, self._delay = now, 0.0
        if now - self._since >= self._most_seconds:
            raise error
        self._delay = min(max(FIRST_SECONDS, 2 * self._delay), LONGEST_SECONDS)
        self._tries_at, self.is_waiting = now + self._delay, True
        logger.warning("%s waits: %s; tried again in %.0f s", self._layer, error.message, self._delay)

    def end(self) -> None:
        """The dependency is back."""
        if self.is_waiting:
            logger.info("%s goes on after %.0f s", self._layer, self._clock() - self._since)
        self.is_waiting = False

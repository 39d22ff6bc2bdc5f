"""When a channel may be used: rate, pauses between attempts, circuit breaker. Clocks are handed in; nothing waits here.

Seconds are those of a clock that only rises.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from sluice.alerting.channels.channel import ChannelSettings

# So much of a minute's messages may leave at once.
_BURST_SHARE = 0.1
# A receiver that wants to be left alone for longer is asked again after this.
MOST_RETRY_AFTER_SECONDS = 3600.0


class RateLimit:
    """A bucket of messages that fills evenly."""

    def __init__(self, per_minute: float, clock: Callable[[], float]) -> None:
        self._per_second = per_minute / 60
        self._most = max(1.0, per_minute * _BURST_SHARE)
        self._clock = clock
        self._left, self._at = self._most, clock()

    def wait_seconds(self) -> float:
        """How long until a message may leave; 0 for now."""
        self._fill()
        return 0.0 if self._left >= 1 else (1 - self._left) / self._per_second

    def use(self) -> None:
        """One message leaves."""
        self._fill()
        self._left -= 1

    def _fill(self) -> None:
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._at) * self._per_second)
        self._at = now


class Breaker:
    """Open after failures in a row; lets one attempt through after each pause, and closes when that succeeds."""

    def __init__(self, settings: ChannelSettings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._failures = 0
        self._open_until = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the channel is left alone."""
        return self._failures >= self._settings.breaker_failures

    def wait_seconds(self) -> float:
        """How long until an attempt may be made; 0 for now."""
        return max(0.0, self._open_until - self._clock()) if self.is_open else 0.0

    def failed(self) -> bool:
        """One attempt has failed; whether that opened it."""
        was_open = self.is_open
        self._failures += 1
        if self.is_open:
            self._open_until = self._clock() + self._settings.breaker_seconds
        return self.is_open and not was_open

    def succeeded(self) -> bool:
        """One attempt has succeeded; whether that closed it."""
        was_open = self.is_open
        self._failures = 0
        return was_open


def pause_seconds(
    settings: ChannelSettings,
    attempt: int,
    retry_after_seconds: float | None,
    chance: Callable[[], float] = random.random,
) -> float:
    """How long to wait after an attempt that failed.

    Args:
        attempt: its number, from 1.
        retry_after_seconds: what the receiver asked for; the pause is not shorter.
        chance: evenly from [0, 1).

    Returns:
        Half to all of `retry_seconds` doubled with each attempt, at most `retry_max_seconds`; or the receiver's wish.
    """
    longest = min(settings.retry_max_seconds, settings.retry_seconds * 2.0 ** min(attempt - 1, 60))
    wished = min(retry_after_seconds or 0.0, MOST_RETRY_AFTER_SECONDS)
    return max(longest * (0.5 + chance() / 2), wished)

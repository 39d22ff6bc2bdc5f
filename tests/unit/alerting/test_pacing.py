"""When a channel may be used, by a clock that is moved by hand."""

from __future__ import annotations

import pytest

from sluice.alerting.channels.channel import ChannelSettings
from sluice.alerting.pacing import Breaker, RateLimit, pause_seconds


class Clock:
    """Stands still unless it is moved."""

    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_so_many_messages_a_minute_leave_and_a_tenth_of_them_at_once(clock: Clock) -> None:
    rate, sent = RateLimit(30, clock), 0
    while clock.seconds < 160.5:
        if rate.wait_seconds() == 0:
            rate.use()
            sent += 1
        else:
            clock.seconds += rate.wait_seconds() + 1e-6
    assert sent == 3 + 30


def test_a_slow_channel_has_its_first_message_at_once(clock: Clock) -> None:
    rate = RateLimit(1, clock)
    assert rate.wait_seconds() == 0
    rate.use()
    assert rate.wait_seconds() == 60


def test_pauses_double_up_to_the_longest_and_vary_by_half() -> None:
    settings = ChannelSettings(retry_seconds=2, retry_max_seconds=60)
    longest = [pause_seconds(settings, attempt, None, lambda: 1.0) for attempt in (1, 2, 3, 4, 5, 6, 500)]
    assert longest == [2, 4, 8, 16, 32, 60, 60]
    assert pause_seconds(settings, 3, None, lambda: 0.0) == 4


def test_the_receivers_wish_is_honoured_up_to_an_hour() -> None:
    settings = ChannelSettings(retry_seconds=2)
    assert pause_seconds(settings, 1, 30, lambda: 1.0) == 30
    assert pause_seconds(settings, 1, 0.5, lambda: 1.0) == 2
    assert pause_seconds(settings, 1, 1e9, lambda: 1.0) == 3600


def test_a_breaker_opens_after_failures_in_a_row_lets_one_through_and_closes_when_it_succeeds(clock: Clock) -> None:
    breaker = Breaker(ChannelSettings(breaker_failures=2, breaker_seconds=60), clock)
    assert (breaker.failed(), breaker.succeeded(), breaker.failed()) == (False, False, False)
    assert breaker.wait_seconds() == 0
    assert breaker.failed()
    assert breaker.wait_seconds() == 60
    clock.seconds += 60
    assert (breaker.wait_seconds(), breaker.is_open) == (0, True)
    assert not breaker.failed()
    assert breaker.wait_seconds() == 60
    clock.seconds += 60
    assert breaker.succeeded()
    assert (breaker.wait_seconds(), breaker.is_open) == (0, False)

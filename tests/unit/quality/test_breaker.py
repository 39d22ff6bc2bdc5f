from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from sluice.quality.breaker import CLOSED, OPEN, Breaker, parse_breaker

NOON = datetime(2024, 1, 1, 12, tzinfo=timezone.utc)


def breaker_after(*verdicts: str, limit: int = 3) -> Breaker:
    breaker = Breaker()
    for batch_id, verdict in enumerate(verdicts):
        breaker = breaker.after(verdict, batch_id, NOON + timedelta(minutes=batch_id), limit)
    return breaker


def test_holds_in_a_row_open_it_and_the_time_of_the_last_one_is_kept() -> None:
    assert breaker_after("HOLD", "HOLD") == Breaker(CLOSED, 2, None, 1)
    assert breaker_after("HOLD", "ERROR", "HOLD") == Breaker(OPEN, 3, "2024-01-01T12:02:00+00:00", 2)


@pytest.mark.parametrize("verdict", ["PROMOTE", "PROMOTE_WITH_WARNINGS"])
def test_a_batch_that_is_let_through_closes_it_and_starts_the_count_anew(verdict: str) -> None:
    assert breaker_after("HOLD", "HOLD", verdict, "HOLD") == Breaker(CLOSED, 1, None, 3)
    assert breaker_after("HOLD", "HOLD", "HOLD", verdict) == Breaker(CLOSED, 0, None, 3)


def test_an_empty_batch_changes_nothing() -> None:
    assert breaker_after("HOLD", "EMPTY", "HOLD") == Breaker(CLOSED, 2, None, 2)


def test_a_batch_repeated_after_a_crash_is_counted_once() -> None:
    once = breaker_after("HOLD", "HOLD")
    assert once.after("HOLD", 1, NOON, 3) == once


def test_open_a_try_that_is_held_opens_it_anew() -> None:
    again = breaker_after("HOLD", "HOLD", "HOLD", "HOLD")
    assert (again.state, again.opened_at) == (OPEN, "2024-01-01T12:03:00+00:00")


def test_the_next_try_comes_after_the_pause() -> None:
    assert breaker_after("HOLD").next_try(60) is None
    assert breaker_after("HOLD", limit=1).next_try(90) == NOON + timedelta(seconds=90)


def test_it_is_read_as_it_was_kept() -> None:
    for breaker in (Breaker(), breaker_after("HOLD", limit=1)):
        assert parse_breaker(breaker.as_json()) == breaker


@pytest.mark.parametrize(
    "odd",
    [
        {"state": "ajar"},
        {"holds_in_row": "many"},
        {"state": "open", "opened_at": None},
        {"opened_at": "noon", "state": "open"},
    ],
)
def test_what_is_no_breaker_is_an_error(odd: dict[str, object]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (whatever it says)
        parse_breaker({**Breaker().as_json(), **odd})
    with pytest.raises(ValueError, match="not a breaker"):
        parse_breaker({})

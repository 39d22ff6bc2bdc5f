from __future__ import annotations

import pytest

from sluice.errors import UsageError
from sluice.simulator.plan import (
    FAULTS,
    Pace,
    Plan,
    parse_shares,
    parse_start,
    parse_versions,
    resolve_plan,
)

NOW = 1_790_000_000_000
DAY = 24 * 3600 * 1000


def plan(**changes: object) -> Plan:
    values: dict[str, object] = {
        "devices": 100,
        "start_ms": NOW,
        "interval_ms": 5000,
        "seed": 0,
        "versions": {"1": 0.3, "2": 0.5, "reading": 0.2},
        "faults": {},
        "events": None,
    }
    return Plan(**{**values, **changes})  # type: ignore[arg-type]


def test_without_options_the_stream_is_live_at_the_rate_of_its_devices() -> None:
    assert resolve_plan(now_ms=NOW) == (plan(), Pace(20.0, follows_clock=True))


def test_a_given_number_of_events_ends_now_and_goes_at_full_speed() -> None:
    # 1000 events of 100 devices, one each 5 s, span 50 s.
    assert resolve_plan(now_ms=NOW, events=1000) == (
        plan(start_ms=NOW - 50_000, events=1000),
        Pace(0, follows_clock=True),
    )


def test_a_live_rate_sets_how_often_each_device_reports() -> None:
    assert resolve_plan(now_ms=NOW, rate=1000.0) == (plan(interval_ms=100), Pace(1000.0, follows_clock=True))


def test_an_endless_stream_at_full_speed_begins_a_day_ago_and_follows_the_clock() -> None:
    assert resolve_plan(now_ms=NOW, rate=0) == (plan(start_ms=NOW - DAY), Pace(0, follows_clock=True))


def test_a_given_start_stands_whatever_the_clock_says() -> None:
    assert resolve_plan(now_ms=NOW, start_ms=NOW + DAY, events=10, rate=0) == (
        plan(start_ms=NOW + DAY, events=10),
        Pace(0, follows_clock=False),
    )


def test_a_live_rate_beyond_what_the_devices_send_is_refused() -> None:
    with pytest.raises(UsageError, match="100 devices every 5 s send 20 events a second, not 1000"):
        resolve_plan(now_ms=NOW, rate=1000.0, interval_seconds=5)


@pytest.mark.parametrize("options", [{"devices": 0}, {"devices": 100_001}, {"interval_seconds": 0.0}, {"rate": 1e9}])
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        resolve_plan(now_ms=NOW, **options)  # type: ignore[arg-type]


def test_shares_are_read_by_name() -> None:
    assert parse_shares("late=0.01, corrupt=0.5", FAULTS, "--faults") == {"late": 0.01, "corrupt": 0.5}
    assert parse_shares("", FAULTS, "--faults") == {}


@pytest.mark.parametrize(
    "text", ["lates=0.1", "late", "late=", "late=x", "late=-0.1", "late=1.1", "late=nan", "late=0.6,corrupt=0.6"]
)
def test_wrong_shares_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--faults"):
        parse_shares(text, FAULTS, "--faults")


def test_a_share_given_twice_is_refused() -> None:
    with pytest.raises(UsageError):
        parse_shares("late=0.1,late=0.1", FAULTS, "--faults")


def test_shares_of_versions_are_scaled_to_one() -> None:
    assert parse_versions("1=0.125,2=0.375") == {"1": 0.25, "2": 0.75}
    with pytest.raises(UsageError, match="no version has a share"):
        parse_versions("1=0")


def test_a_start_is_an_rfc_3339_time_with_an_offset() -> None:
    assert parse_start("2026-01-01T00:00:00Z") == 1_767_225_600_000
    assert parse_start("2026-01-01T01:00:00.250+01:00") == 1_767_225_600_250


@pytest.mark.parametrize("text", ["", "now", "2026-01-01", "2026-01-01T00:00:00", "1969-12-31T00:00:00Z"])
def test_a_start_without_an_offset_or_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--start"):
        parse_start(text)

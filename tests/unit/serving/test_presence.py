"""Online and offline, the same from Python and from SQL."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from sluice.serving.presence import presence_of, presence_sql, seconds_since, seconds_since_sql
from sluice.tables.reading import connect
from sluice.testing import utc

NOW = utc(2024, 3, 1, 12)


@pytest.mark.parametrize(
    ("event_time", "interval", "expected", "seconds"),
    [
        (NOW - timedelta(seconds=75), 5.0, "online", 75.0),
        (NOW - timedelta(seconds=75, microseconds=1), 5.0, "offline", 75.000001),
        (NOW - timedelta(minutes=16), 300.0, "online", 960.0),
        (NOW - timedelta(minutes=16, seconds=1), 300.0, "offline", 961.0),
        # A clock that runs ahead.
        (NOW + timedelta(minutes=5), 5.0, "online", 0.0),
        (NOW, None, "unknown", 0.0),
        (utc(1, 1, 1), 5.0, "offline", (NOW - utc(1, 1, 1)).total_seconds()),
        (utc(9999, 12, 31), 1e-300, "online", 0.0),
        (None, 5.0, "unknown", None),
        (None, None, "unknown", None),
    ],
)
def test_a_device_is_online_for_three_intervals_and_a_minute(
    event_time: datetime | None, interval: float | None, expected: str, seconds: float | None
) -> None:
    assert presence_of(event_time, interval, NOW) == expected
    if event_time is not None:
        assert seconds_since(event_time, NOW) == seconds
    sql = (
        f"SELECT {presence_sql()}, {seconds_since_sql()} FROM "
        "(SELECT $event_time::TIMESTAMPTZ AS event_time, $interval::DOUBLE AS expected_interval_seconds)"
    )
    parameters = {"now": NOW, "event_time": event_time, "interval": interval}
    assert connect().execute(sql, parameters).fetchall() == [(expected, pytest.approx(seconds) if seconds else seconds)]

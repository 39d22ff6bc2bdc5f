"""Whether a device is online, which readers compute: gold/latest_readings tells when it was last heard of."""

from __future__ import annotations

from datetime import datetime, timedelta

ONLINE, OFFLINE, UNKNOWN = PRESENCES = ("online", "offline", "unknown")
# A device may miss two readings in a row; and what it sent takes a moment until it is in gold.
ONLINE_WITHIN_INTERVALS = 3.0
GRACE_SECONDS = 60.0


def seconds_since(event_time: datetime, now: datetime) -> float:
    """How long ago a reading was, 0 for one that lies ahead: clocks of devices may run fast."""
    return max(0.0, (now - event_time) / timedelta(seconds=1))


def presence_of(event_time: datetime | None, expected_interval_seconds: float | None, now: datetime) -> str:
    """ONLINE if the last reading is not older than 3 intervals and a minute, else OFFLINE.

    UNKNOWN where the device is not registered, so nothing is expected of it, or was never heard of.

    Args:
        event_time: of its last reading, with a zone.
    """
    if event_time is None or expected_interval_seconds is None:
        return UNKNOWN
    return ONLINE if seconds_since(event_time, now) <= online_seconds(expected_interval_seconds) else OFFLINE


def online_seconds(expected_interval_seconds: float) -> float:
    """How old the last reading of a device that is online may be."""
    return ONLINE_WITHIN_INTERVALS * expected_interval_seconds + GRACE_SECONDS


def seconds_since_sql(now: str = "$now", event_time: str = "event_time") -> str:
    """`seconds_since` as SQL for DuckDB.

    Args:
        now, event_time: SQL of moments.
    """
    # greatest passes over null.
    passed = f"epoch_us({now}) - epoch_us({event_time})"
    return f"CASE WHEN {passed} IS NOT NULL THEN greatest(0, {passed}) / 1e6 END"


def presence_sql(now: str = "$now", event_time: str = "event_time", interval: str = "expected_interval_seconds") -> str:
    """`presence_of` as SQL for DuckDB.

    Args:
        now, event_time: SQL of moments.
        interval: SQL of a number of seconds.
    """
    limit = f"{ONLINE_WITHIN_INTERVALS} * {interval} + {GRACE_SECONDS}"
    return (
        f"CASE WHEN {event_time} IS NULL OR {interval} IS NULL THEN '{UNKNOWN}' "
        f"WHEN {seconds_since_sql(now, event_time)} <= {limit} THEN '{ONLINE}' ELSE '{OFFLINE}' END"
    )

"""What of the lake is shown: which devices, and which stretch of event time. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sluice.dashboard.fleet import Device
from sluice.dashboard.freshness import Freshness

# Up to so long a range is shown by minutes, a longer one by hours.
MINUTES_UP_TO = timedelta(hours=24)
_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)
RANGES = {
    "Last 15 minutes": timedelta(minutes=15),
    "Last hour": timedelta(hours=1),
    "Last 6 hours": timedelta(hours=6),
    "Last 24 hours": timedelta(hours=24),
    "Last 7 days": timedelta(days=7),
}
DEFAULT_RANGE = "Last hour"


@dataclass(frozen=True)
class Scope:
    """Devices and a stretch of event time.

    Attributes:
        devices: their ids; None takes all there are, of records without a known device too.
        since: the first moment, UTC.
        until: the end, not included.
    """

    devices: tuple[str, ...] | None
    since: datetime
    until: datetime

    @property
    def step(self) -> timedelta:
        """The width of a bucket that this much time is shown by."""
        return _MINUTE if self.until - self.since <= MINUTES_UP_TO else _HOUR


def choose_devices(
    fleet: Sequence[Device], customer: str | None, site: str | None, device_id: str | None
) -> tuple[str, ...] | None:
    """The ids of the devices that fulfil every choice that is made; None where none is."""
    if device_id is not None:
        return (device_id,)
    if customer is None and site is None:
        return None
    return tuple(
        device.device_id for device in fleet if customer in (None, device.customer) and site in (None, device.site)
    )


def last_range(freshness: Freshness, length: timedelta) -> tuple[datetime, datetime]:
    """The last stretch of the data, not of the clock: whole minutes, begun no earlier than the data.

    Raises:
        ValueError: there is no data.
    """
    if freshness.ends_at is None:
        raise ValueError("no data, no range")
    until = freshness.ends_at.replace(second=0, microsecond=0) + _MINUTE
    since = until - length
    return max(since, min(freshness.first_minute or since, until - _MINUTE)), until

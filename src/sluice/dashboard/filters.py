"""The choices at the side of the page: customer, site, device, range of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import streamlit as st

from sluice.dashboard.fleet import Device
from sluice.dashboard.freshness import Freshness
from sluice.dashboard.scope import DEFAULT_RANGE, RANGES, Scope, choose_devices, last_range
from sluice.serving.values import printable

# No customer, site or device is named so.
_ANY, ALL = "", "All"
CUSTOM = "Custom (UTC)"
# A list of more would take long to send; any other id can be typed.
MOST_LISTED = 2_000


@dataclass(frozen=True)
class Choice:
    """What a visitor chose; None is all.

    Attributes:
        length: the last stretch of the data; None where `since` and `until` say it.
    """

    customer: str | None
    site: str | None
    device_id: str | None
    length: timedelta | None
    since: datetime | None = None
    until: datetime | None = None

    def scope(self, fleet: Sequence[Device], freshness: Freshness) -> Scope:
        """What is shown of the data as it now is.

        Raises:
            ValueError: there is no data.
        """
        devices = choose_devices(fleet, self.customer, self.site, self.device_id)
        if self.since is not None and self.until is not None:
            return Scope(devices, self.since, self.until)
        return Scope(devices, *last_range(freshness, self.length or RANGES[DEFAULT_RANGE]))


def ask_for_choice(fleet: Sequence[Device], freshness: Freshness) -> Choice:
    """Draws the choices and gives back what is chosen."""
    customer = _pick("Customer", {device.customer for device in fleet})
    fleet = [device for device in fleet if customer in (None, device.customer)]
    site = _pick("Site", {device.site for device in fleet})
    device_id = _pick_device([device.device_id for device in fleet if site in (None, device.site)])
    ranges: list[str] = [*RANGES, CUSTOM]
    chosen = str(st.selectbox("Time range", ranges, index=ranges.index(DEFAULT_RANGE), key="range"))
    if chosen == CUSTOM:
        return Choice(customer, site, device_id, None, *_ask_for_range(freshness))
    return Choice(customer, site, device_id, RANGES[chosen])


def _pick(label: str, values: set[str | None]) -> str | None:
    options = [_ANY, *sorted(value for value in values if value)]
    return str(st.selectbox(label, options, format_func=_shown, key=label.lower())) or None


def _pick_device(ids: list[str]) -> str | None:
    # The ids of this lake and what a visitor types are both plain text here.
    typed = len(ids) > MOST_LISTED
    note = f"The first {MOST_LISTED:,} of {len(ids):,} are listed; type any other id." if typed else None
    options = [_ANY, *ids[:MOST_LISTED]]
    chosen = st.selectbox("Device", options, format_func=_shown, key="device", accept_new_options=typed, help=note)
    return str(chosen) or None


def _shown(value: str) -> str:
    return printable(value) or ALL


def _ask_for_range(freshness: Freshness) -> tuple[datetime, datetime]:
    since, until = last_range(freshness, RANGES[DEFAULT_RANGE])
    first = st.datetime_input("From (UTC)", since.replace(tzinfo=None), step=timedelta(minutes=1), key="since")
    last = st.datetime_input("Until (UTC)", until.replace(tzinfo=None), step=timedelta(minutes=1), key="until")
    start, end = (moment.replace(tzinfo=timezone.utc) for moment in (first, last))
    if start < end:
        return start, end
    st.warning("The end must lie after the start. Until it does, the last hour of the data is shown.")
    return since, until

"""The page: password, choices, and the part that is drawn again by itself."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from datetime import datetime, timezone
from typing import ParamSpec

import streamlit as st

from sluice.dashboard import blocks, panels, summary
from sluice.dashboard.alerts import read_alerts
from sluice.dashboard.decisions import read_decisions
from sluice.dashboard.figures import activity_figure
from sluice.dashboard.filters import Choice, ask_for_choice
from sluice.dashboard.fleet import Device, in_scope, read_fleet, read_ranges
from sluice.dashboard.freshness import Freshness, read_freshness
from sluice.dashboard.password import Guard
from sluice.dashboard.quality import read_quality
from sluice.dashboard.reading import Reading
from sluice.dashboard.refused import read_reasons
from sluice.dashboard.scope import Scope
from sluice.dashboard.server import running
from sluice.dashboard.text import age_text, local_text, utc_text
from sluice.dashboard.trends import read_activity, read_hours, read_trends
from sluice.errors import LakeMissing, SluiceError
from sluice.serving.promotions import open_holds
from sluice.serving.values import printable

Given = ParamSpec("Given")
MOST_DECISIONS, MOST_ALERTS, MOST_HOURS = 200, 100, 2_000
_SIDEBAR_PIXELS = 240
_UNLOCKED, _LISTED = "unlocked", "listed"
_STARTS = (
    ("sluice demo", "everything once, on a lake of its own, which its last lines name"),
    ("sluice run", "the jobs that fill the lake of your settings"),
    ("SLUICE_LAKE__PATH=/path/to/lake sluice dashboard", "to look at another lake"),
)


def show_page() -> None:
    """Draws the whole page for one visitor."""
    st.set_page_config(page_title="Sluice", layout="wide", initial_sidebar_state=_SIDEBAR_PIXELS)
    st.html(blocks.style())
    guard = running().guard
    if guard is not None and not st.session_state.get(_UNLOCKED):
        _ask_for_password(guard)
        return
    try:
        fleet, freshness = _look()[1:]
    except SluiceError:
        _repeated(_show_problem)()
        return
    st.session_state[_LISTED] = _ids(fleet)
    with st.sidebar:
        choice = ask_for_choice(fleet, freshness)
    _repeated(_show_lake)(choice)


def warm_up() -> None:
    """Reads what the first visitor will see, who then need not wait for it; without a lake nothing."""
    with contextlib.suppress(SluiceError):
        reading, fleet, freshness = _look()
        scope = Choice(None, None, None, None).scope(fleet, freshness)
        activity_figure(reading.ask(read_activity, scope), scope.since, scope.until, None)
        reading.ask(read_alerts, scope.devices, MOST_ALERTS)
        reading.ask(read_quality, scope.devices, freshness.ends_at or scope.until)
        reading.ask(open_holds)
        reading.ask(read_trends, scope)


def _repeated(draw: Callable[Given, None]) -> Callable[Given, None]:
    return st.fragment(draw, run_every=running().settings.dashboard.refresh_seconds)


def _ask_for_password(guard: Guard) -> None:
    st.html(blocks.heading("Sluice", "This dashboard asks for a password."))
    with st.form("password", width=360):
        guess = st.text_input("Password", type="password", max_chars=1000, autocomplete="current-password")
        asked = st.form_submit_button("Open")
    if not asked:
        return
    wait = guard.wait_seconds()
    if wait == 0 and guard.accepts(guess):
        st.session_state[_UNLOCKED] = True
        st.rerun()
    st.error(
        f"Too early after a wrong password: try again in {math.ceil(wait)} s." if wait else "That is not the password."
    )


def _look() -> tuple[Reading, tuple[Device, ...], Freshness]:
    """The lake as it is now.

    Raises:
        LakeMissing: there is none, or no gold in it yet.
    """
    path = running().settings.lake.path
    reading = Reading(path)
    freshness = reading.ask(read_freshness)
    if freshness.ends_at is None:
        raise LakeMissing(f"the lake at {path} has no readings in gold yet", "`sluice run --once` takes them there")
    return reading, reading.ask(read_fleet), freshness


def _ids(fleet: tuple[Device, ...]) -> int:
    return hash(tuple((device.device_id, device.customer, device.site) for device in fleet))


def _show_problem() -> None:
    try:
        _look()
    except SluiceError as error:
        hint = f" Next: {error.hint}." if error.hint else ""
        fact = f"{error.message[:1].upper()}{error.message[1:]}.{hint} This page looks again by itself."
        st.html(blocks.steps("Nothing to show yet", fact, _STARTS if isinstance(error, LakeMissing) else ()))
    else:
        st.rerun()


def _show_lake(choice: Choice) -> None:
    try:
        reading, fleet, freshness = _look()
        if _ids(fleet) != st.session_state[_LISTED]:
            st.rerun()
        _draw(reading, choice, fleet, freshness)
    except SluiceError as error:
        # A job may have replaced a file between two looks; the next look is at the new ones.
        st.html(blocks.note(f"{error.in_one_line}; this page looks again by itself"))


def _draw(reading: Reading, choice: Choice, fleet: tuple[Device, ...], freshness: Freshness) -> None:
    now, zone = datetime.now(timezone.utc), st.context.timezone
    scope = choice.scope(fleet, freshness)
    chosen = in_scope(fleet, scope.devices)
    ends_at = freshness.ends_at or now
    _draw_header(freshness, now, zone)
    activity = reading.ask(read_activity, scope)
    alerts = reading.ask(read_alerts, scope.devices, MOST_ALERTS)
    quality = reading.ask(read_quality, scope.devices, ends_at)
    holds = reading.ask(open_holds)
    tiles = (
        summary.rate_tile(activity),
        summary.devices_tile(chosen, ends_at),
        summary.quality_tile(quality),
        summary.lag_tile(freshness, now),
        summary.alerts_tile(alerts),
        summary.holds_tile(holds),
    )
    st.html(blocks.tiles(tiles))
    panels.draw_activity(activity, scope, zone)
    _draw_trends(reading, choice, scope, chosen, zone)
    latest, hours = st.tabs(["Latest readings", "Hourly"])
    with latest:
        panels.draw_latest(chosen, ends_at, zone)
    with hours:
        panels.draw_hours(reading.ask(read_hours, scope, MOST_HOURS), MOST_HOURS, zone)
    left, right = st.columns([3, 2])
    with left:
        panels.draw_reasons(reading.ask(read_reasons, scope.devices), zone)
    with right:
        panels.draw_quality(quality)
    panels.draw_decisions(reading.ask(read_decisions, MOST_DECISIONS), holds, zone)
    panels.draw_alerts(alerts, zone)


def _draw_header(freshness: Freshness, now: datetime, zone: str | None) -> None:
    lag, ends_at = freshness.lag_seconds(now), freshness.ends_at
    live = freshness.is_live(now)
    badge = blocks.Badge("live" if live else f"data is {age_text(lag)} old", blocks.GOOD if live else blocks.WARN)
    refresh = f"refreshed every {running().settings.dashboard.refresh_seconds:g} s"
    note = f"data up to {utc_text(ends_at)} UTC, {refresh}"
    st.html(
        blocks.header(
            str(running().settings.lake.path), badge, note, f"{local_text(ends_at, zone)} {zone or ''}".strip()
        )
    )


def _draw_trends(reading: Reading, choice: Choice, scope: Scope, chosen: tuple[Device, ...], zone: str | None) -> None:
    whose = printable(choice.device_id) if choice.device_id else f"{len(chosen):,} devices"
    ranges = reading.ask(read_ranges, tuple(device.device_id for device in chosen))
    panels.draw_trends(reading.ask(read_trends, scope), ranges, scope, whose, zone)

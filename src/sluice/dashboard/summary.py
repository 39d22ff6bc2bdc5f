"""The figures on top of the page. Pure: frames and times in, tiles out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sluice.dashboard.alerts import Alerts
from sluice.dashboard.blocks import BAD, GOOD, QUIET, WARN, Tile
from sluice.dashboard.fleet import Device
from sluice.dashboard.freshness import LIVE_SECONDS, Freshness
from sluice.dashboard.quality import Quality
from sluice.dashboard.text import age_text, number_text, utc_text
from sluice.dashboard.trends import events_per_second
from sluice.schemas import CRITICAL, WARNING
from sluice.schemas import GOOD as GOOD_BAND
from sluice.serving.presence import GRACE_SECONDS, ONLINE_WITHIN_INTERVALS
from sluice.serving.promotions import Hold

_BAND_TONES = {GOOD_BAND: GOOD, WARNING: WARN, CRITICAL: BAD}


def rate_tile(activity: Sequence[tuple[datetime, int]]) -> Tile:
    """Events a second over the last whole minutes of the data."""
    rate = events_per_second(activity)
    about = "Events that became readings, by event time, over the last five whole minutes of the data"
    value = "–" if rate is None else f"{rate:,.0f}" if rate >= 10 else number_text(rate)
    return Tile(
        "events",
        "Events per second",
        value,
        "too little data yet" if rate is None else "last 5 min of data",
        QUIET,
        about,
    )


def devices_tile(fleet: Sequence[Device], at: datetime) -> Tile:
    """Devices online of all that have ever sent."""
    states = [device.is_online(at) for device in fleet]
    known = [state for state in states if state is not None]
    offline, unknown = known.count(False), states.count(None)
    notes = [f"{offline:,} offline" if offline else "none offline" if known else ""]
    notes += [f"{unknown:,} unregistered"] if unknown else []
    about = (
        f"Online: reported within {ONLINE_WITHIN_INTERVALS:g} expected intervals and {GRACE_SECONDS:g} s, "
        f"before the end of the data ({utc_text(at)} UTC)"
    )
    tone = QUIET if not known else BAD if offline * 2 > len(known) else WARN if offline else GOOD
    value = f"{known.count(True):,} / {len(fleet):,}"
    return Tile("devices", "Devices online", value, ", ".join(filter(None, notes)), tone, about)


def quality_tile(quality: Quality | None) -> Tile:
    """The newest day's score with its band."""
    about = "Mean of the devices' scores of that day, weighted by the records received of each"
    if quality is None or quality.score is None or quality.band is None:
        return Tile("quality", "Quality score", "–", "no score yet", QUIET, about)
    note = f"{quality.band}, {quality.day:%d %b}"
    return Tile("quality", "Quality score", f"{quality.score:.1f}", note, _BAND_TONES[quality.band], about)


def lag_tile(freshness: Freshness, now: datetime) -> Tile:
    """How long ago the newest record came in."""
    lag = freshness.lag_seconds(now)
    about = "Time since the newest record that the lake has, by its Kafka timestamp"
    if lag is None:
        return Tile("lag", "Lag", "–", "no records yet", QUIET, about)
    tone = GOOD if lag <= LIVE_SECONDS else WARN if lag <= 10 * LIVE_SECONDS else BAD
    ingested = f"ingested {freshness.ingested_at:%H:%M:%S} UTC" if freshness.ingested_at else ""
    return Tile("lag", "Lag", age_text(lag), ingested, tone, about)


def alerts_tile(alerts: Alerts | None) -> Tile:
    """Alerts that are not resolved."""
    about = "Alerts that are firing or acknowledged and not resolved"
    if alerts is None:
        return Tile("alerts", "Open alerts", "–", "no alert log", QUIET, about)
    note = f"{alerts.firing:,} firing, {alerts.acknowledged:,} acknowledged" if alerts.open else "none firing"
    tone = BAD if alerts.firing else WARN if alerts.acknowledged else GOOD
    return Tile("alerts", "Open alerts", f"{alerts.open:,}", note, tone, about)


def holds_tile(holds: Sequence[Hold]) -> Tile:
    """Promotions with rows that wait for a person."""
    about = "Promotions that a gate refused, with rows that wait for sluice gate approve or reject"
    rows = sum(hold.rows for hold in holds)
    note = f"{rows:,} rows wait" if holds else "nothing waits"
    return Tile("held", "Held batches", f"{len(holds):,}", note, BAD if holds else GOOD, about)

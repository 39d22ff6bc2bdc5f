"""The parts of the page below the summary; each draws what was read for it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import streamlit as st

from sluice.dashboard import blocks
from sluice.dashboard.alerts import Alerts
from sluice.dashboard.blocks import BAD, GOOD, QUIET, WARN, Badge, Moment
from sluice.dashboard.figures import activity_figure, decisions_figure, trend_figure
from sluice.dashboard.fleet import Device, Range
from sluice.dashboard.quality import Quality
from sluice.dashboard.refused import Reason
from sluice.dashboard.rows import Row
from sluice.dashboard.scope import Scope
from sluice.dashboard.text import age_text, local_text, utc_text
from sluice.dashboard.trends import Trend
from sluice.schemas import ALERT_ACKNOWLEDGED, ALERT_FIRING, ALERT_RESOLVED, ERROR, HOLD, PROMOTE, PROMOTE_WITH_WARNINGS
from sluice.serving.promotions import Hold
from sluice.serving.values import printable

MOST_LATEST = 2_000
_CHART = {"displayModeBar": False, "scrollZoom": False}
_VERDICT_TONES = {PROMOTE: GOOD, PROMOTE_WITH_WARNINGS: WARN, HOLD: BAD, ERROR: BAD}
_ALERT_TONES = {ALERT_FIRING: BAD, ALERT_ACKNOWLEDGED: WARN, ALERT_RESOLVED: QUIET}
_STATES = {True: "online", False: "offline", None: "unknown"}


def draw_activity(activity: Sequence[tuple[datetime, int]], scope: Scope, zone: str | None) -> None:
    """Events a minute."""
    st.html(blocks.heading("Events per minute", "by event time, UTC"))
    if activity:
        figure = activity_figure(activity, scope.since, scope.until, zone)
        st.plotly_chart(figure, config=_CHART, key="activity")
    else:
        st.html(blocks.note("No readings in this range."))


def draw_trends(trends: Sequence[Trend], ranges: dict[str, Range], scope: Scope, whose: str, zone: str | None) -> None:
    """A chart for each metric, up to three beside each other."""
    bucket = "minute" if scope.step.total_seconds() == 60 else "hour"
    rings = scope.devices is not None and len(scope.devices) == 1
    outside = "; red ring: readings out of range" if rings else ""
    legend = f"mean per {bucket} (UTC) within least and greatest; green: registered range; grey: no readings{outside}"
    st.html(blocks.heading(f"Trends of {whose}", legend))
    if not trends:
        st.html(blocks.note("No readings in this range."))
    width = 2 if len(trends) in (2, 4) else min(3, max(1, len(trends)))
    for first in range(0, len(trends), width):
        for place, column in enumerate(st.columns(width)[: len(trends) - first], first):
            trend = trends[place]
            with column, st.container(border=True, gap=None):
                unit = f" ({trend.unit})" if trend.unit else ""
                st.html(blocks.heading(f"{trend.metric}{unit}", _gaps(trend)))
                registered = ranges.get(trend.metric, (None, None))
                figure = trend_figure(trend, registered, scope.since, scope.until, zone, rings=rings)
                st.plotly_chart(figure, config=_CHART, key=f"trend {place}")


def _gaps(trend: Trend) -> str:
    gaps = trend.gaps()
    if not gaps:
        return "no gaps"
    longest = max((end - start).total_seconds() for start, end in gaps)
    return f"{len(gaps):,} gap{'s' if len(gaps) > 1 else ''}, the longest {age_text(longest)}"


def draw_latest(fleet: Sequence[Device], at: datetime, zone: str | None) -> None:
    """The newest reading of each device and metric; those that are offline first."""
    order = sorted(fleet, key=lambda device: (device.is_online(at) is not False, device.device_id))
    rows = [(device, latest) for device in order for latest in device.latest]
    shown = [
        {
            "device": printable(device.device_id),
            "state": _STATES[device.is_online(at)],
            "metric": printable(latest.metric),
            "value": latest.value,
            "quality": latest.quality_flag,
            "time (UTC)": utc_text(latest.event_time),
            "customer": printable(device.customer or ""),
            "site": printable(device.site or ""),
            _local(zone): local_text(latest.event_time, zone),
        }
        for device, latest in rows[:MOST_LATEST]
    ]
    _data_frame(shown, len(rows), "latest")


def _local(zone: str | None) -> str:
    return f"local ({printable(zone)})" if zone else "local"


def draw_hours(hours: Sequence[Row], most: int, zone: str | None) -> None:
    """Hour, device and metric."""
    shown = [
        {
            "hour (UTC)": utc_text(row["hour"])[:16],
            "device": printable(row["device_id"]),
            "metric": printable(row["metric"]),
            "unit": printable(row["unit"] or ""),
            "mean": row["mean"],
            "min": row["lowest"],
            "max": row["highest"],
            "readings": row["readings"],
            "out of range": row["out_of_range"],
            "complete %": row["completeness_percent"],
            _local(zone): local_text(row["hour"], zone),
        }
        for row in hours
    ]
    _data_frame(shown, len(shown) + (len(shown) >= most), "hours")


def _data_frame(rows: list[Row], there_are: int, name: str) -> None:
    if not rows:
        st.html(blocks.note("No readings in this range."))
        return
    if there_are > len(rows):
        st.html(blocks.note(f"The first {len(rows):,} rows; choose a customer, site or device for the others."))
    numbers: dict[Any, Any] = {
        column: st.column_config.NumberColumn(format="%.2f")
        for column in ("value", "mean", "min", "max", "complete %")
        if column in rows[0]
    }
    columns: dict[str, list[Any]] = {column: [row[column] for row in rows] for column in rows[0]}
    st.dataframe(columns, hide_index=True, column_config=numbers, key=f"frame {name}")


def draw_quality(quality: Quality | None) -> None:
    """The dimensions that the score is made of."""
    note = "" if quality is None else f"{quality.day:%d %B %Y} (UTC), {quality.devices:,} devices, weighted by records"
    st.html(blocks.heading("Quality", note))
    if quality is None:
        st.html(blocks.note("No scores yet; the gold job makes them."))
    else:
        st.html(blocks.bars([(name.capitalize(), share) for name, share in quality.dimensions.items()], "quality"))


def draw_reasons(reasons: Sequence[Reason], zone: str | None) -> None:
    """Quarantine by error code."""
    waiting = sum(reason.open_records for reason in reasons)
    st.html(
        blocks.heading("Quarantine by reason", f"{waiting:,} records wait; sluice quarantine shows and replays them")
    )
    if not reasons:
        st.html(blocks.note("Nothing was refused."))
        return
    rows = [
        (each.error_code, each.stage, each.open_records, each.settled_records, Moment(each.newest_at, zone))
        for each in reasons
    ]
    st.html(blocks.table(("reason", "stage", "open", "settled", "newest (UTC)"), rows, "quarantine"))


def draw_decisions(decisions: Sequence[Row], holds: Sequence[Hold], zone: str | None) -> None:
    """The timeline of promotions, what is held, and the newest decisions as a table."""
    st.html(
        blocks.heading(
            "Promotions", f"the newest {len(decisions):,} decisions of the gates, UTC; a larger dot is a larger batch"
        )
    )
    if not decisions:
        st.html(blocks.note("No gate has decided anything yet."))
        return
    st.plotly_chart(decisions_figure(decisions, zone), config=_CHART, key="decisions")
    if holds:
        st.html(blocks.heading("Held, waiting for a person", "sluice gate show ID tells more; then approve or reject"))
        held = [(hold.layer, hold.promotion_id, hold.rows, Moment(hold.since, zone), hold.why) for hold in holds]
        st.html(blocks.table(("layer", "promotion", "rows", "since (UTC)", "why"), held, "held"))
    rows = [
        (
            Moment(row["decided_at"], zone),
            row["layer"],
            Badge(str(row["verdict"]).replace("_", " ").lower(), _VERDICT_TONES.get(row["verdict"], QUIET)),
            *(
                row[name] or 0
                for name in ("rows_in", "rows_promoted", "rows_quarantined", "rows_duplicate", "rows_held")
            ),
            "" if row["score"] is None else f"{row['score']:.1f}",
            row["why"],
        )
        for row in decisions[:50]
    ]
    names = ("decided (UTC)", "layer", "verdict", "in", "promoted", "quarantined", "duplicates", "held", "score", "why")
    st.html(blocks.table(names, rows, "decisions"))


def draw_alerts(alerts: Alerts | None, zone: str | None) -> None:
    """The open alerts, then the newest of the others."""
    st.html(blocks.heading("Alerts"))
    if alerts is None or not alerts.newest:
        st.html(blocks.note("This lake has no alert log." if alerts is None else "No alerts."))
        return
    rows = [
        (
            Badge(row["status"], _ALERT_TONES.get(row["status"], QUIET)),
            row["severity"],
            row["rule_id"],
            row["subject"],
            row["text"],
            Moment(row["opened_at"], zone),
            Moment(row["resolved_at"], zone),
            row["acknowledged_by"],
        )
        for row in alerts.newest
    ]
    names = ("status", "severity", "rule", "subject", "what", "opened (UTC)", "resolved (UTC)", "acknowledged by")
    st.html(blocks.table(names, rows, "alerts"))

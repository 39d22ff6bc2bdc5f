"""Plotly figures of what was read: metrics over time, events a minute, decisions of the gates. Pure.

Every hover tells the time in UTC and, below it, in the visitor's time zone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sluice.dashboard.fleet import Range
from sluice.dashboard.text import local_text, number_text, plot_text, utc_text
from sluice.dashboard.trends import Point, Trend
from sluice.schemas import EMPTY, ERROR, HOLD, PROMOTE, PROMOTE_WITH_WARNINGS

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

LINE, BAND, REGISTERED, OUTSIDE, GAP = "#2563eb", "rgba(37,99,235,.16)", "#16a34a", "#dc2626", "rgba(120,120,120,.16)"
VERDICT_COLOURS = {
    PROMOTE: REGISTERED,
    PROMOTE_WITH_WARNINGS: "#d97706",
    HOLD: OUTSIDE,
    ERROR: "#7c3aed",
    EMPTY: "#94a3b8",
}
# So many gaps are shaded; of a device that sends every other minute the broken line says enough.
MOST_GAPS = 60
_HEIGHT = 220


def trend_figure(
    trend: Trend, registered: Range, since: datetime, until: datetime, zone: str | None, *, rings: bool
) -> Figure:
    """The mean of a metric as a line that breaks at gaps, its extremes as a band, its registered range shaded.

    Args:
        registered: least and greatest registered value; None for an open end.
        rings: mark buckets with readings out of that range; of many devices nearly every bucket has some.
    """
    figure = _empty_figure(_HEIGHT)
    for start, end in trend.gaps()[:MOST_GAPS]:
        figure.add_vrect(x0=start, x1=end, fillcolor=GAP, line_width=0, layer="below")
    _shade_range(figure, registered, trend)
    x, y = _outline(trend.runs())
    figure.add_scatter(x=x, y=y, fill="toself", fillcolor=BAND, line={"width": 0}, mode="lines", hoverinfo="skip")
    times, means, hovers = _broken_line(trend, zone)
    mode = "lines+markers" if len(trend.points) <= 40 or any(len(run) == 1 for run in trend.runs()) else "lines"
    figure.add_scatter(
        x=times,
        y=means,
        mode=mode,
        line={"color": LINE, "width": 2},
        marker={"size": 5},
        connectgaps=False,
        text=hovers,
        hovertemplate="%{text}<extra></extra>",
    )
    outside = [point for point in trend.points if rings and point.out_of_range]
    figure.add_scatter(
        x=[point.bucket for point in outside],
        y=[point.mean for point in outside],
        mode="markers",
        hoverinfo="skip",
        marker={"color": OUTSIDE, "size": 7, "symbol": "circle-open", "line": {"width": 2}},
    )
    figure.update_xaxes(range=[since, until])
    return figure


def _shade_range(figure: Figure, registered: Range, trend: Trend) -> None:
    low, high = registered
    lowest, highest = min(point.lowest for point in trend.points), max(point.highest for point in trend.points)
    margin = (highest - lowest) * 0.08 or max(abs(highest) * 0.02, 0.5)
    bottom, top = lowest - margin, highest + margin
    figure.update_yaxes(range=[bottom, top])
    if registered == (None, None):
        return
    figure.add_hrect(
        y0=bottom if low is None else max(low, bottom),
        y1=top if high is None else min(high, top),
        fillcolor=REGISTERED,
        opacity=0.07,
        line_width=0,
        layer="below",
    )
    for end in registered:
        if end is not None and bottom < end < top:
            figure.add_hline(y=end, line={"color": REGISTERED, "width": 1, "dash": "dot"})


def _outline(runs: Sequence[Sequence[Point]]) -> tuple[list[datetime | None], list[float | None]]:
    """The extremes of each stretch as a closed outline; None parts one from the next."""
    x: list[datetime | None] = []
    y: list[float | None] = []
    for run in runs:
        x += [*(point.bucket for point in run), *(point.bucket for point in reversed(run)), None]
        y += [*(point.highest for point in run), *(point.lowest for point in reversed(run)), None]
    return x, y


def _broken_line(trend: Trend, zone: str | None) -> tuple[list[datetime], list[float | None], list[str]]:
    times: list[datetime] = []
    means: list[float | None] = []
    hovers: list[str] = []
    for run in trend.runs():
        if times:
            times, means, hovers = [*times, times[-1] + trend.step], [*means, None], [*hovers, ""]
        times += [point.bucket for point in run]
        means += [point.mean for point in run]
        hovers += [_hover(point, trend.unit, zone) for point in run]
    return times, means, hovers


def _hover(point: Point, unit: str | None, zone: str | None) -> str:
    values = f"{number_text(point.mean)} {plot_text(unit)} ({number_text(point.lowest)} … {number_text(point.highest)})"
    outside = f", {point.out_of_range:,} out of range" if point.out_of_range else ""
    return f"{_times(point.bucket, zone)}<br><b>{values}</b><br>{point.readings:,} readings{outside}"


def _times(moment: datetime, zone: str | None) -> str:
    local = local_text(moment, zone)
    return f"{utc_text(moment)} UTC" + (f"<br>{plot_text(local)} {plot_text(zone)}" if local else "")


def activity_figure(
    activity: Sequence[tuple[datetime, int]], since: datetime, until: datetime, zone: str | None
) -> Figure:
    """Events a minute as bars; a minute without any has none."""
    figure = _empty_figure(170)
    hovers = [f"{_times(bucket, zone)}<br><b>{events:,} events</b>" for bucket, events in activity]
    figure.add_bar(
        x=[bucket for bucket, _ in activity],
        y=[events for _, events in activity],
        marker_color=LINE,
        text=hovers,
        textposition="none",
        hovertemplate="%{text}<extra></extra>",
    )
    figure.update_xaxes(range=[since, until])
    return figure


def decisions_figure(decisions: Sequence[dict[str, Any]], zone: str | None) -> Figure:
    """Promotions over time, a lane for each gate, coloured by verdict; a larger batch is a larger dot."""
    figure = _empty_figure(210)
    for verdict, colour in VERDICT_COLOURS.items():
        shown = [row for row in decisions if row["verdict"] == verdict]
        if shown:
            figure.add_scatter(
                x=[row["decided_at"] for row in shown],
                y=[row["layer"] for row in shown],
                mode="markers",
                name=verdict.replace("_", " ").lower(),
                text=[_decision_hover(row, zone) for row in shown],
                marker={"color": colour, "size": [_dot(row["rows_in"]) for row in shown], "opacity": 0.75},
                hovertemplate="%{text}<extra></extra>",
            )
    legend = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}
    figure.update_layout(showlegend=True, legend=legend, margin={"t": 30})
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=["gold", "silver"], range=[-0.5, 1.5])
    return figure


def _dot(rows: int | None) -> float:
    return 5.0 + 1.6 * math.log10(1 + (rows or 0))


def _decision_hover(row: dict[str, Any], zone: str | None) -> str:
    counts = f"{row['rows_in'] or 0:,} in, {row['rows_promoted'] or 0:,} promoted"
    held = f", {row['rows_held']:,} held" if row["rows_held"] else ""
    return (
        f"{_times(row['decided_at'], zone)}<br><b>{plot_text(row['verdict'])}</b> {plot_text(row['kind'])}"
        f"<br>{counts}{held}<br>{plot_text(row['promotion_id'])}"
    )


def _empty_figure(height: int) -> Figure:
    from plotly.graph_objects import Figure

    figure = Figure()
    figure.update_layout(
        height=height,
        margin={"l": 4, "r": 8, "t": 8, "b": 4},
        showlegend=False,
        hovermode="closest",
        xaxis={"type": "date", "automargin": True, "tickangle": 0, "nticks": 6},
        yaxis={"automargin": True},
        dragmode=False,
    )
    return figure

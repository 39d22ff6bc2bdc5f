"""What the figures draw: broken lines, bands, ranges, and hovers in two times."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tests.unit.serving.lake_builder import at, promotion

from sluice.dashboard.figures import GAP, OUTSIDE, REGISTERED, activity_figure, decisions_figure, trend_figure
from sluice.dashboard.trends import Point, Trend


def point(text: str, mean: float, out_of_range: int = 0) -> Point:
    return Point(at(text), 12, mean, mean - 1, mean + 1, out_of_range)


POINTS = (point("12:00:00", 10), point("12:01:00", 12), point("12:04:00", 50, 2))
TREND = Trend("temperature_celsius", "°C", POINTS, timedelta(minutes=1))


def drawn(rings: bool = True, registered: tuple[float | None, float | None] = (0.0, 45.0)) -> Any:
    since, until = at("11:58:00"), at("12:05:00")
    return trend_figure(TREND, registered, since, until, "Europe/Berlin", rings=rings)


def test_the_line_breaks_at_a_gap_and_nothing_is_drawn_across_it() -> None:
    _, line, _ = drawn().data
    assert list(zip(line.x, line.y, strict=True)) == [
        (at("12:00:00"), 10),
        (at("12:01:00"), 12),
        (at("12:02:00"), None),
        (at("12:04:00"), 50),
    ]
    assert line.connectgaps is False
    gaps = [(shape.x0, shape.x1) for shape in drawn().layout.shapes if shape.fillcolor == GAP]
    assert gaps == [(at("12:02:00"), at("12:04:00"))]


def test_the_band_is_an_outline_of_each_stretch() -> None:
    band = drawn().data[0]
    assert band.fill == "toself"
    assert list(band.y) == [11, 13, 11, 9, None, 51, 49, None]
    assert band.x[4] is None


def test_the_registered_range_is_shaded_where_it_is_in_sight_and_its_ends_are_lines() -> None:
    figure = drawn()
    (shade,) = (shape for shape in figure.layout.shapes if shape.fillcolor == REGISTERED)
    low, high = figure.layout.yaxis.range
    assert (low < 9, high > 51) == (True, True)
    assert (shade.y0, shade.y1) == (low, 45.0)
    assert [shape.y0 for shape in figure.layout.shapes if shape.type == "line"] == [45.0]
    assert [shape for shape in drawn(registered=(None, None)).layout.shapes if shape.fillcolor == REGISTERED] == []


def test_minutes_with_readings_out_of_range_have_a_ring_where_one_device_is_shown() -> None:
    assert (drawn().data[2].marker.color, list(drawn().data[2].x)) == (OUTSIDE, [at("12:04:00")])
    assert list(drawn(rings=False).data[2].x) == []


def test_a_hover_tells_utc_and_the_local_time() -> None:
    assert drawn().data[1].text[3] == (
        "2026-03-01 12:04:00 UTC<br>2026-03-01 13:04:00 +01:00 Europe/Berlin<br>"
        "<b>50 °C (49 … 51)</b><br>12 readings, 2 out of range"
    )
    bars = activity_figure([(at("12:00:00"), 6000)], at("12:00:00"), at("12:05:00"), None).data[0]
    assert bars.text == ("2026-03-01 12:00:00 UTC<br><b>6,000 events</b>",)


def test_decisions_stand_in_the_lane_of_their_gate_coloured_by_verdict() -> None:
    rows = [
        promotion(1, rows_in=1000, rows_promoted=990),
        promotion(2, layer="gold", verdict="HOLD", rows_held=5, kind="<b>x</b>", promotion_id="<a href=x>"),
    ]
    promoted, held = decisions_figure([dict(row) for row in rows], None).data
    assert (promoted.name, list(promoted.y), held.name, list(held.y)) == ("promote", ["silver"], "hold", ["gold"])
    assert held.text[0].endswith("<b>HOLD</b> &lt;b&gt;x&lt;/b&gt;<br>0 in, 0 promoted, 5 held<br>&lt;a href=x&gt;")


def test_a_metric_that_never_changes_still_has_a_height() -> None:
    flat = Trend("m", None, (Point(at("12:00:00"), 1, 0.0, 0.0, 0.0, 0),), timedelta(minutes=1))
    figure = trend_figure(flat, (None, None), at("12:00:00"), at("12:05:00"), None, rings=True)
    assert figure.layout.yaxis.range == (-0.5, 0.5)

"""Values that came with the data stand on the page as text, whatever they hold."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from sluice.dashboard import blocks
from sluice.dashboard.blocks import Badge, Moment, Tile
from sluice.dashboard.text import age_text, html_text, local_text, number_text, plot_text, utc_text

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ('"><img src=x onerror=alert(1)>', "&quot;&gt;&lt;img src=x onerror=alert(1)&gt;"),
        ("a\u202eb\x1b\n", r"a\u202eb\x1b\n"),
        (None, ""),
        (True, "true"),
    ],
)
def test_html_is_shown_and_not_carried_out(value: object, text: str) -> None:
    assert html_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ('<b>x</b> <a href="javascript:alert(1)">', '&lt;b&gt;x&lt;/b&gt; &lt;a href="javascript:alert(1)"&gt;'),
        ("%{x} &lt;", "%&#123;x} &amp;lt;"),
        ("x" * 256, "x" * 23 + "…" + "x" * 23),
    ],
)
def test_plotly_finds_no_tag_entity_or_template_in_a_label_and_no_long_one(value: str, text: str) -> None:
    assert plot_text(value) == text


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("Europe/Berlin", "2026-03-01 13:00:00 +01:00"),
        ("Asia/Kolkata", "2026-03-01 17:30:00 +05:30"),
        ("America/St_Johns", "2026-03-01 08:30:00 -03:30"),
        ("Nowhere/Land", ""),
        ("../../etc/passwd", ""),
        (None, ""),
    ],
)
def test_a_local_time_is_that_of_the_browsers_zone(zone: str | None, text: str) -> None:
    assert (utc_text(NOON), local_text(NOON, zone)) == ("2026-03-01 12:00:00", text)


def test_ages_and_numbers_are_for_people() -> None:
    assert [age_text(each) for each in (None, 0.4, 119, 120, 7_200, 172_800)] == [
        "–", "0 s", "119 s", "2 min", "2.0 h", "2.0 d"
    ]  # fmt: skip
    assert [number_text(each) for each in (None, 12_345.6, 20.123, -0.5)] == ["–", "12,346", "20.12", "-0.5"]


def test_a_table_holds_hostile_values_and_local_times_as_text() -> None:
    hostile = '"><img src=x onerror=alert(1)>'
    row = (Moment(NOON, "Europe/Berlin"), Moment(None, None), Badge(hostile, blocks.BAD), 12_000, hostile)
    markup = blocks.table([hostile, "b", "c", "d", "e"], [row], "x")
    escaped = "&quot;&gt;&lt;img src=x onerror=alert(1)&gt;"
    assert "<img" not in markup
    assert f"<th>{escaped}</th>" in markup
    assert '<td class="sl-time" title="2026-03-01 13:00:00 +01:00 Europe/Berlin">2026-03-01 12:00:00</td>' in markup
    assert '<td class="sl-time"></td>' in markup
    assert f'<span class="sl-badge sl-bad">{escaped}</span>' in markup
    assert '<td class="sl-number">12,000</td>' in markup
    assert f'<td title="{escaped}">{escaped}</td>' in markup


def test_tiles_bars_headings_and_steps_escape_what_they_show() -> None:
    hostile = "<i>x</i>"
    shown = (
        blocks.tiles([Tile("a", hostile, hostile, hostile, blocks.GOOD, hostile)]),
        blocks.bars([(hostile, 0.5), ("known of nothing", None)], "b"),
        blocks.heading(hostile, hostile),
        blocks.header(hostile, Badge(hostile, blocks.WARN), hostile, hostile),
        blocks.steps(hostile, hostile, [(hostile, hostile)]),
        blocks.note(hostile),
    )
    assert [markup for markup in shown if "<i>" in markup or "&lt;i&gt;x&lt;/i&gt;" not in markup] == []
    assert "width:50.0%" in shown[1]
    assert "not known" in shown[1]

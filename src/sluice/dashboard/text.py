"""Texts for the page: what came with the data can do nothing there, times are UTC with the local one beside. Pure."""

from __future__ import annotations

import html
from datetime import datetime, timezone
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sluice.serving.values import cell

_LONGEST = 48


def html_text(value: object) -> str:
    """A value as HTML that is nothing but text; characters that hide or reorder others are written out."""
    return html.escape(cell(value))


def plot_text(value: object) -> str:
    """A value for a label of Plotly, which reads tags, entities and `%{…}` in some; long ones are cut."""
    return html.escape(short(cell(value)), quote=False).replace("%{", "%&#123;")


def short(text: str) -> str:
    """The text, its middle left out where it is long."""
    half = (_LONGEST - 1) // 2
    return text if len(text) <= _LONGEST else f"{text[:half]}…{text[-half:]}"


def utc_text(moment: datetime | None) -> str:
    """`2026-01-31 12:00:00`; empty for none."""
    return "" if moment is None else moment.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S")


def local_text(moment: datetime | None, zone: str | None) -> str:
    """The moment as the visitor's clock has it, e.g. `2026-01-31 13:00:00 +01:00`; empty for none.

    Args:
        zone: the time zone that the browser named; one that nobody knows is left out.
    """
    found = _zone(zone)
    if moment is None or found is None:
        return ""
    local = moment.astimezone(found)
    offset = local.strftime("%z")
    return f"{local.strftime('%Y-%m-%d %H:%M:%S')} {offset[:3]}:{offset[3:5]}"


def _zone(name: str | None) -> ZoneInfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def age_text(seconds: float | None) -> str:
    """An age for people: 40 s, 12 min, 3.5 h, 2.1 d; a dash where it is not known."""
    if seconds is None:
        return "–"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7_200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} d"


def number_text(value: float | None) -> str:
    """A measured value with as many digits as a person reads; a dash where there is none."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"

"""Parts of the page as HTML: tiles, tables, notes. All that comes from data passes `html_text`; nothing is a script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sluice.dashboard.text import html_text, local_text, utc_text

# Tones of CSS, see static/dashboard.css.
GOOD, WARN, BAD, QUIET = "good", "warn", "bad", "quiet"
_STYLE = Path(__file__).parent / "static" / "dashboard.css"


@dataclass(frozen=True)
class Tile:
    """One figure of the summary.

    Attributes:
        name: of the figure, also the tile's id for programs: `tile-name`.
        note: a line below it.
        tone: GOOD, WARN, BAD or QUIET.
        about: what it is, on hover.
    """

    name: str
    label: str
    value: str
    note: str
    tone: str = QUIET
    about: str = ""


@dataclass(frozen=True)
class Moment:
    """A time in a table: UTC, and on hover the visitor's own."""

    at: datetime | None
    zone: str | None


@dataclass(frozen=True)
class Badge:
    """A word in a colour."""

    text: str
    tone: str


def style() -> str:
    """The page's style sheet as an element."""
    return f"<style>{_STYLE.read_text('utf-8')}</style>"


def tiles(shown: Sequence[Tile]) -> str:
    """The summary: as many tiles in a row as fit."""
    return f'<div class="sl-tiles">{"".join(map(_tile, shown))}</div>'


def _tile(tile: Tile) -> str:
    return (
        f'<div class="sl-tile sl-{tile.tone}" id="tile-{html_text(tile.name)}" title="{html_text(tile.about)}">'
        f'<div class="sl-label">{html_text(tile.label)}</div>'
        f'<div class="sl-value">{html_text(tile.value)}</div>'
        f'<div class="sl-note">{html_text(tile.note)}</div></div>'
    )


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], name: str) -> str:
    """A table that scrolls by itself where it is wider than the screen; numbers stand to the right."""
    numbers = [isinstance(value, int) for value in rows[0]] if rows else [False] * len(columns)
    head = "".join(
        f'<th class="sl-number">{html_text(column)}</th>' if number else f"<th>{html_text(column)}</th>"
        for column, number in zip(columns, numbers, strict=True)
    )
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return (
        f'<div class="sl-scroll" id="table-{html_text(name)}"><table class="sl-table">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(value: object) -> str:
    if isinstance(value, Moment):
        local = local_text(value.at, value.zone)
        hover = f' title="{html_text(f"{local} {value.zone}")}"' if local else ""
        return f'<td class="sl-time"{hover}>{html_text(utc_text(value.at))}</td>'
    if isinstance(value, Badge):
        return f'<td><span class="sl-badge sl-{value.tone}">{html_text(value.text)}</span></td>'
    if isinstance(value, int):
        return f'<td class="sl-number">{value:,}</td>'
    text = html_text(value)
    return f'<td title="{text}">{text}</td>'


def bars(shown: Sequence[tuple[str, float | None]], name: str) -> str:
    """Shares from 0 to 1 as bars with their percent; one that is not known has no bar."""
    return f'<div class="sl-bars" id="bars-{html_text(name)}">{"".join(_bar(*each) for each in shown)}</div>'


def _bar(label: str, share: float | None) -> str:
    percent = "not known" if share is None else f"{100 * share:.1f} %"
    tone = QUIET if share is None else GOOD if share > 0.95 else WARN if share >= 0.8 else BAD
    width = 0.0 if share is None else 100 * min(max(share, 0.0), 1.0)
    return (
        f'<div class="sl-bar"><span>{html_text(label)}</span><span class="sl-track">'
        f'<span class="sl-fill sl-{tone}" style="width:{width:.1f}%"></span></span><span>{percent}</span></div>'
    )


def header(lake: str, badge: Badge, note: str, hover: str) -> str:
    """The page's first line: what it shows, and how fresh that is."""
    return (
        f'<div class="sl-header"><h1>Sluice</h1><span class="sl-badge sl-{badge.tone}" id="freshness">'
        f'{html_text(badge.text)}</span><span class="sl-note" title="{html_text(hover)}">{html_text(note)}</span>'
        f'<span class="sl-note sl-lake" title="{html_text(lake)}">{html_text(lake)}</span></div>'
    )


def heading(text: str, note: str = "") -> str:
    """The title of a part of the page, with a quiet line below it."""
    below = f'<div class="sl-note">{html_text(note)}</div>' if note else ""
    return f'<div class="sl-heading"><h2>{html_text(text)}</h2>{below}</div>'


def note(text: str) -> str:
    """A quiet line."""
    return f'<div class="sl-note sl-empty">{html_text(text)}</div>'


def steps(title: str, fact: str, lines: Sequence[tuple[str, str]]) -> str:
    """What is wrong, and the commands that mend it with what each does."""
    listed = "".join(f"<li><code>{html_text(what)}</code><span>{html_text(why)}</span></li>" for what, why in lines)
    return f'<div class="sl-steps"><h2>{html_text(title)}</h2><p>{html_text(fact)}</p><ul>{listed}</ul></div>'

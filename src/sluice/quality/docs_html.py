"""The shell of a page of the Data Docs and its small parts. No script anywhere, and a policy that forbids all."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from urllib.parse import quote

from sluice.quality.docs_blocks import text
from sluice.schemas import EMPTY, ERROR, HOLD, PROMOTE, PROMOTE_WITH_WARNINGS

STYLE_SHEET = "static/docs.css"
# Marks a file as a page of ours, and says what it was made of.
SOURCE_MARK = "sluice-source"
# `file:` because not every browser counts a neighbouring file as 'self'.
_POLICY = "default-src 'none'; style-src 'self' file:; img-src data:; base-uri 'none'; form-action 'none'"
VERDICT_TEXTS = {
    PROMOTE: "every rule was met",
    PROMOTE_WITH_WARNINGS: "promoted; some rules were broken",
    HOLD: "the whole batch is held until a person approves or rejects it",
    EMPTY: "there was nothing to judge",
    ERROR: "the gate itself broke: nothing was promoted",
}


def page(title: str, body: str, *, source: str, depth: int = 0, trail: Iterable[tuple[str, str]] = ()) -> str:
    """A whole page.

    Args:
        source: what the page was made of, as `source_of` will find it in the file.
        depth: folders between the page and that of the Data Docs.
        trail: (text, address relative to the Data Docs) of the pages above this one.
    """
    up = "../" * depth
    steps = "".join(f'<a href="{up}{address(target)}">{text(name)}</a><span>/</span>' for name, target in trail)
    return (
        "<!DOCTYPE html>\n"
        f'<html lang="en"><head><meta charset="utf-8"><meta name="{SOURCE_MARK}" content="{text(source)}">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer">'
        f'<title>{text(title)}</title><link rel="stylesheet" href="{up}{STYLE_SHEET}"><link rel="icon" href="data:,">'
        "</head>\n<body>\n"
        f'<nav class="top"><b class="brand">sluice</b>{steps}<span class="here">{text(title)}</span></nav>\n'
        f"<main>\n{body}\n</main>\n"
        "<footer>Data Docs of Great Expectations, built by sluice docs. All times are UTC.</footer>\n"
        "</body></html>\n"
    )


def source_of(beginning: str) -> str | None:
    """What a page says it was made of, given its first characters; None for a file that is no page of ours."""
    _, found, rest = beginning.partition(f'<meta name="{SOURCE_MARK}" content="')
    return rest.partition('"')[0] if found else None


def address(path: str) -> str:
    """A relative address, safe in an attribute whatever the names in the path are."""
    return quote(path, safe="/")


def identifier(name: object, limit: int = 300) -> str:
    """A name as escaped text that may be folded at its underscores."""
    return text(name, limit).replace("_", "_<wbr>")


def link(label: str, path: str, up: str = "") -> str:
    """A link to a page of the Data Docs."""
    return f'<a href="{up}{address(path)}">{text(label)}</a>'


def verdict_badge(verdict: str) -> str:
    """A verdict in its colour."""
    return f'<span class="verdict v-{text(verdict)}">{text(verdict.replace("_", " "))}</span>'


def severity_badge(severity: str) -> str:
    """A severity in its colour."""
    known = severity if severity in {"critical", "warning", "info"} else "info"
    return f'<span class="badge badge-{known}">{text(severity)}</span>'


def number(value: object) -> str:
    """A number for people; a dash for None."""
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return text(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


def time(moment: datetime) -> str:
    """A moment in UTC, to the second."""
    shown = moment.strftime("%Y-%m-%d %H:%M:%S")
    return f'<time datetime="{moment.isoformat()}">{shown}</time>'


def table(names: Iterable[str], rows: Iterable[tuple[str, Iterable[str]]], classes: str) -> str:
    """A table; on a narrow screen each row becomes a card that repeats the columns' names.

    Args:
        names: of the columns; one that begins with # holds numbers.
        rows: the classes of the row, and its cells as HTML.
    """
    columns = [(name.removeprefix("#"), ' class="number"' if name.startswith("#") else "") for name in names]
    head = "".join(f'<th scope="col" data-name="{text(name)}"{style}>{text(name)}</th>' for name, style in columns)
    body = "".join(
        f'<tr class="{kind}">'
        + "".join(
            f'<td data-name="{text(name)}"{style}><div>{cell}</div></td>'
            for (name, style), cell in zip(columns, cells, strict=True)
        )
        + "</tr>\n"
        for kind, cells in rows
    )
    return f'<table class="{classes}"><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table>'

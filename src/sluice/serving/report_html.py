"""The quality report as one page of HTML: no script, no other file, no network; what came as data is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from sluice.schemas import DIMENSIONS
from sluice.serving.report import Report, devices_line, notes
from sluice.serving.values import cell, rfc3339

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLE = """
:root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --ink: #1c2430; --soft: #5d6878; --line: #dfe3e9;
  --good: #17743b; --warning: #8a5a00; --critical: #b3261e; --none: #566273; --bar: #1459b8; }
@media (prefers-color-scheme: dark) { :root { --page: #12161c; --card: #1a2028; --ink: #e4e8ee; --soft: #9aa5b4;
  --line: #2f3844; --good: #6fd596; --warning: #f0c060; --critical: #ff9a92; --none: #a6b1c0; --bar: #7fb2ff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif; }
main { max-width: 1100px; margin: 0 auto; padding: 24px 20px 40px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 32px 0 10px; }
p { margin: 0 0 8px; color: var(--soft); }
.top { display: flex; flex-wrap: wrap; gap: 14px; margin-top: 18px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 14px 18px; }
.score { flex: 0 0 190px; border-top: 4px solid var(--none); }
.score b { display: block; font-size: 46px; line-height: 1.15; }
.dimensions { flex: 1 1 380px; display: grid; grid-template-columns: max-content 1fr max-content; gap: 6px 12px;
  align-items: center; }
.track { background: var(--line); border-radius: 5px; height: 10px; overflow: hidden; }
.track i { display: block; height: 100%; background: var(--bar); }
.tiles { display: flex; flex-wrap: wrap; gap: 10px; margin-top: 14px; }
.tiles .card { flex: 1 1 100px; padding: 12px 14px; }
.tiles b { display: block; font-size: 22px; }
.tiles span, .score span { color: var(--soft); font-size: 13px; }
.good { color: var(--good); } .warning { color: var(--warning); } .critical { color: var(--critical); }
.score.good { border-top-color: var(--good); } .score.warning { border-top-color: var(--warning); }
.score.critical { border-top-color: var(--critical); } .score { color: inherit; }
.wide { overflow-x: auto; padding: 4px 0; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 5px 14px; border-bottom: 1px solid var(--line); vertical-align: top; }
tr:last-child td { border-bottom: 0; }
th { color: var(--soft); font-weight: 600; font-size: 13px; }
td:first-child { overflow-wrap: anywhere; min-width: 180px; }
.number { text-align: right; white-space: nowrap; }
@media (max-width: 640px) { th, td { padding: 4px 8px; } td:first-child { min-width: 110px; } }
"""


def report_page(report: Report) -> str:
    """The whole page."""
    title = f"Quality of {report.day}" + ("" if report.customer is None else f", {report.customer}")
    parts = [
        f"<h1>{_text(title)}</h1>",
        f"<p>Times and days are UTC. Made at {rfc3339(report.made_at.replace(microsecond=0))}.</p>",
        f'<div class="top">{_score(report)}{_dimensions(report)}</div>',
        *(f'<p class="warning">{_text(line)}</p>' for line in notes(report)),
        _tiles(report),
        "<h2>Why records were refused</h2>",
        _table(("error code", "#records"), report.quarantined_by_code.items(), "Nothing was refused."),
        "<h2>Rules that were broken most</h2>",
        _table(
            ("rule", "#readings promoted", "#records quarantined", "#devices"),
            ((rule.rule_id, rule.promoted, rule.quarantined, rule.devices) for rule in report.rules),
            "No rule was broken.",
        ),
        f"<h2>Devices, the worst first</h2><p>{_text(devices_line(report))}</p>",
        _table(_DEVICE_COLUMNS, _device_rows(report), "No device."),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body><main>\n"
        + "\n".join(parts)
        + "\n</main></body></html>\n"
    )


_DEVICE_COLUMNS = (
    "device",
    "customer",
    "#score",
    "band",
    "#received",
    "#promoted",
    "#quarantined",
    "#duplicates",
    "#out of range",
    "#late",
)


def _device_rows(report: Report) -> Iterable[Sequence[object]]:
    for each in report.devices:
        score = None if each.score is None else f"{each.score:.1f}"
        counts = (each.received, each.promoted, each.quarantined, each.duplicates, each.out_of_range, each.late)
        yield (each.device_id, each.customer, score, each.band, *counts)


def _score(report: Report) -> str:
    score = report.score.score if report.score else None
    if report.score is None or score is None:
        return '<div class="card score"><b>–</b><span>no score yet</span></div>'
    band = report.score.band
    return (
        f'<div class="card score {band}"><b class="{band}">{score:.1f}</b>'
        f'<strong class="{band}">{band}</strong><br><span>of 100: good above 95, warning from 80</span></div>'
    )


def _dimensions(report: Report) -> str:
    rows = []
    for name in DIMENSIONS:
        share = getattr(report.score, name) if report.score else None
        shown = "–" if share is None else f"{100 * share:.2f} %"
        bar = "" if share is None else f'<i style="width:{100 * share:.2f}%"></i>'
        rows.append(f'<span>{name}</span><span class="track">{bar}</span><span class="number">{shown}</span>')
    return f'<div class="card dimensions">{"".join(rows)}</div>'


def _tiles(report: Report) -> str:
    totals = report.totals
    tiles = {
        "received": totals.received,
        "promoted": totals.promoted,
        "quarantined": totals.quarantined,
        "duplicates": totals.duplicates,
        "held": totals.held,
        "minutes held": totals.held_minutes,
        "out of range": totals.out_of_range,
        "late": totals.late,
        "devices": report.device_count,
    }
    shown = (
        f'<div class="card"><b>{count:,}</b><span>{name}</span></div>'
        for name, count in tiles.items()
        if count is not None
    )
    return f'<div class="tiles">{"".join(shown)}</div>'


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> str:
    """A table whose columns that begin with # hold numbers."""
    styles = [' class="number"' if name.startswith("#") else "" for name in columns]
    head = "".join(f"<th{style}>{_text(name.lstrip('#'))}</th>" for name, style in zip(columns, styles, strict=True))
    body = "".join(
        "<tr>"
        + "".join(f"<td{style}>{_value(value)}</td>" for value, style in zip(row, styles, strict=True))
        + "</tr>\n"
        for row in rows
    )
    return f'<div class="card wide"><table><tr>{head}</tr>\n{body}</table></div>' if body else f"<p>{_text(empty)}</p>"


def _value(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else _text(value)


def _text(value: object) -> str:
    return html.escape(cell(value))

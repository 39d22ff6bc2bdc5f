"""`python -m benchmarks picture FILE.json …`: figures as pictures, one SVG a case, for the documentation.

Bars where variants are compared, lines where something changed over time. The same figures give the same file.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

FOLDER = Path("docs/pictures")
# What a case's bars show, of what its variants have; else their seconds.
_PREFERRED = ("events/s", "processor µs/event")
_COLOURS = ("#1f5c99", "#e07b39", "#4c9f70", "#8e5ea2", "#c2b04a", "#7f7f7f")
_NO_CASE = ("machine", "events")
_INCHES = 8.0


def main(arguments: list[str]) -> int:
    """Entry point; prints the pictures' paths."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks picture", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.json", help="what --output wrote")
    parser.add_argument("--to", type=Path, default=FOLDER, help=f"the folder of the pictures ({FOLDER})")
    chosen = parser.parse_args(arguments)
    for file in chosen.files:
        try:
            found = json.loads(file.read_text("utf-8"))
            cases = {name: series for name, series in found.items() if name not in _NO_CASE}
        except (OSError, ValueError, AttributeError) as error:
            parser.error(f"{file} does not hold figures: {error}")
        for name, series in cases.items():
            for path in draw(name, series, found.get("machine", {}), chosen.to):
                print(path)
    return 0


def draw(case: str, series: list[dict[str, Any]], machine: dict[str, Any], folder: Path) -> list[Path]:
    """Draws a case; returns the files written: one of bars, and one for each thing that changed over time."""
    folder.mkdir(parents=True, exist_ok=True)
    note = f"{machine.get('cores', '?')} cores, {machine.get('memory_gib', '?')} GiB, PySpark {machine.get('pyspark')}"
    written = [_draw_bars(case, series, note, folder / f"{case}.svg")]
    lines = {name for each in series for name in each.get("lines", {})}
    for name in sorted(lines):
        path = folder / f"{case}-{name.replace(' ', '-').lower()}.svg"
        written.append(_draw_lines(case, name, series, note, path))
    return written


def _draw_bars(case: str, series: list[dict[str, Any]], note: str, path: Path) -> Path:
    measure = next((name for name in _PREFERRED if all(name in each for each in series)), "seconds")
    figure, axes = _figure(f"{case}: {measure}, median and range", note, 0.9 + 0.45 * len(series))
    values = [each[measure] for each in series]
    middles = [statistics.median(runs) for runs in values]
    spread = [
        [middle - min(runs) for middle, runs in zip(middles, values, strict=True)],
        [max(runs) - middle for middle, runs in zip(middles, values, strict=True)],
    ]
    names = [each["name"] for each in series]
    bars = axes.barh(names, middles, xerr=spread, color=_COLOURS[0], ecolor="#333333", capsize=3, height=0.6)
    axes.bar_label(bars, [f"{middle:,.3g}" if middle < 100 else f"{middle:,.0f}" for middle in middles], padding=6)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    return _save(figure, path)


def _draw_lines(case: str, name: str, series: list[dict[str, Any]], note: str, path: Path) -> Path:
    figure, axes = _figure(f"{case}: {name}", note, 3.2)
    for number, each in enumerate(series):
        points = each.get("lines", {}).get(name)
        if points:
            axes.plot(*zip(*points, strict=True), color=_COLOURS[number % len(_COLOURS)], label=each["name"])
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    return _save(figure, path)


def _figure(title: str, note: str, height: float) -> tuple[Any, Any]:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # Text stays text, and nothing in the file depends on when it was written.
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "sluice", "font.size": 9})
    figure = Figure(figsize=(_INCHES, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel(note, fontsize=7, color="#666666")
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Any, path: Path) -> Path:
    figure.savefig(path, format="svg", metadata={"Date": None})
    return path

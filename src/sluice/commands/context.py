"""What every command shares: settings from the global options, and printing for people and programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from sluice.errors import UsageError
from sluice.settings import Settings, load_settings, parse_value


@dataclass
class Invocation:
    """The global options of one call of `sluice`.

    Attributes:
        config: the file given with --config.
        assignments: section.key=value texts given with --set.
    """

    config: Path | None = None
    assignments: list[str] = field(default_factory=list)

    def settings(self, **overrides: object) -> Settings:
        """The settings in force.

        Args:
            overrides: section__key=value from a command's own options; None is left out.
        """
        options: dict[str, object] = {}
        for assignment in self.assignments:
            key, equals, text = assignment.partition("=")
            if not equals:
                raise UsageError(
                    f"--set {assignment}: not of the form section.key=value", "e.g. --set lake.path=/data/lake"
                )
            options[key.strip()] = parse_value(text)
        options.update({key.replace("__", "."): value for key, value in overrides.items() if value is not None})
        return load_settings(self.config, options)


def invocation(ctx: typer.Context) -> Invocation:
    """The global options, wherever on the command line they stood."""
    found = ctx.find_object(Invocation)
    return found if found is not None else Invocation()


# Wider than any line: what is not a terminal gets each row of a table on a line of its own.
_UNFOLDED = 100_000
_NUMBERS = ("rows", "score", "gate_seconds")


def console() -> Console:
    """Standard output for people; plain when it is no terminal."""
    return Console(highlight=False, soft_wrap=True)


def progress_console() -> Console:
    """Standard error, for progress: standard output stays the result's."""
    return Console(stderr=True, highlight=False)


def print_json(value: Any) -> None:
    """Prints one JSON document to standard output."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def age_text(seconds: float | None) -> str:
    """An age for people: 40 s, 12 min, 3.5 h, 2.1 d; empty where it is not known."""
    if seconds is None:
        return ""
    for size, unit, most in ((1, "s", 120), (60, "min", 7200), (3600, "h", 172_800)):
        if seconds < most:
            return f"{seconds / size:.1f} {unit}" if size == 3600 else f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.1f} d"


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], numbers: Sequence[str] = _NUMBERS) -> None:
    """Prints a table to standard output.

    Args:
        numbers: beginnings of the names of columns that stand to the right.
    """
    from rich.table import Table
    from rich.text import Text

    from sluice.serving.values import cell

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column.startswith(tuple(numbers)) else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in row))
    screen = console()
    if not screen.is_terminal:
        screen.width = _UNFOLDED
    screen.print(table)


def say(text: str, err: bool = False) -> None:
    """One line that cannot do anything to a terminal."""
    from sluice.serving.values import printable

    typer.echo(printable(text), err=err)

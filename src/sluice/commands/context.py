"""What every command shares: settings from the global options, and printing for people and programs."""

from __future__ import annotations

import json
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

"""`sluice alerts`: the group of commands about alerts; what belongs to it adds itself."""

from __future__ import annotations

import typer

app = typer.Typer(
    name="alerts",
    help="Alerts: what is firing, who has taken notice.",
    no_args_is_help=True,
)


def register(parent: typer.Typer) -> None:
    """Adds `sluice alerts`."""
    parent.add_typer(app)

"""`sluice run`: the pipelines in one driver."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sluice.commands.context import invocation


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @app.command()
    def run(
        ctx: typer.Context,
        once: Annotated[bool, typer.Option("--once", help="Drain what is there, then exit.")] = False,
        layers: Annotated[
            str, typer.Option(help="Which layers, separated by commas.", metavar="LAYERS")
        ] = "bronze,silver,gold",
        candidate: Annotated[
            Path | None,
            typer.Option(
                help="A suite that judges silver's batches beside the real one, and only records.", metavar="FILE"
            ),
        ] = None,
    ) -> None:
        """Run the pipelines: Kafka to bronze, silver and gold; Ctrl-C ends between two micro-batches."""
        from sluice.pipelines.start import run_from_settings

        settings = invocation(ctx).settings(gate__candidate_path=str(candidate) if candidate else None)
        run_from_settings(settings, layers.split(","), once=once)

"""`sluice dashboard`: the lake on one page in a browser, without Spark."""

from __future__ import annotations

from typing import Annotated

import typer

from sluice.commands.context import invocation, say


def register(app: typer.Typer) -> None:
    """Adds `sluice dashboard`."""

    @app.command()
    def dashboard(
        ctx: typer.Context,
        host: Annotated[
            str | None, typer.Option(help="Address to listen at; others than loopback need a password.")
        ] = None,
        port: Annotated[int | None, typer.Option(min=1, max=65535, metavar="N", help="Port to listen at.")] = None,
    ) -> None:
        """Show the lake on a page in the browser until Ctrl-C; needs neither Java nor a running job."""
        from sluice.dashboard.server import prepare, serve

        settings = invocation(ctx).settings(dashboard__host=host, dashboard__port=port)
        started = prepare(settings)
        where = f"[{settings.dashboard.host}]" if ":" in settings.dashboard.host else settings.dashboard.host
        guarded = "with a password" if started.guard else "without a password"
        say(f"dashboard of {settings.lake.path} at http://{where}:{settings.dashboard.port} {guarded}; Ctrl-C stops it")
        serve(started)

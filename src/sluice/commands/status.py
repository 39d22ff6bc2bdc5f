"""`sluice status`: is everything running, and how far behind is it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sluice.commands.context import console, invocation, print_json
from sluice.errors import EXIT_NOT_ALL_RIGHT

if TYPE_CHECKING:
    from sluice.pipelines.status import LayerStatus, Status


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @app.command()
    def status(ctx: typer.Context, as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
        """Show the broker and each layer: running, lag, last verdict; exit 1 if one is not well."""
        from sluice.pipelines.status import read_status

        found = read_status(invocation(ctx).settings())
        if as_json:
            print_json(found.as_json())
        else:
            _print_status(found)
        if not found.is_well:
            raise typer.Exit(EXIT_NOT_ALL_RIGHT)


def _print_status(status: Status) -> None:
    from rich.table import Table

    broker = status.broker
    kind = "embedded" if broker.embedded else "configured"
    state = f"{kind} broker at {broker.bootstrap_servers}, topic {broker.topic}" if broker.up else broker.problem
    out = console()
    out.print(f"broker  {state}", markup=False)
    out.print(f"lake    {status.lake}", markup=False)
    table = Table(box=None, pad_edge=False)
    for name in ("layer", "running", "pid", "lag rows", "lag seconds", "last verdict", "open holds"):
        table.add_column(name, justify="right" if name.startswith(("lag", "pid", "open")) else "left")
    for layer in status.layers:
        table.add_row(*_cells(layer))
    out.print(table)
    if not status.is_well:
        out.print("not well: " + "; ".join(_complaints(status)), markup=False)


def _cells(layer: LayerStatus) -> list[str]:
    lag = "?" if layer.lag_rows is None else f"{layer.lag_rows:,}"
    seconds = "?" if layer.lag_seconds is None else f"{layer.lag_seconds:,.1f}"
    pid = str(layer.pid) if layer.pid else "-"
    running = "yes" if layer.running else "no"
    return [layer.layer, running, pid, lag, seconds, layer.last_verdict or "-", str(layer.open_holds)]


def _complaints(status: Status) -> list[str]:
    found = [] if status.broker.up else ["the broker does not answer (sluice up, or kafka.bootstrap_servers)"]
    behind = [layer.layer for layer in status.layers if layer.lag_rows and not layer.running]
    return found + ([f"{', '.join(behind)} behind and not running (sluice run)"] if behind else [])

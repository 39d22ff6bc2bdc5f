"""`sluice status`: is everything running, and how far behind is it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sluice.commands.context import age_text, console, invocation, print_json
from sluice.errors import EXIT_NOT_ALL_RIGHT

if TYPE_CHECKING:
    from sluice.pipelines.status import LayerStatus, Status


_UNFOLDED = 1_000


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @app.command()
    def status(ctx: typer.Context, as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
        """Show the broker and each layer: running, lag, last verdict, breaker, holds; exit 1 if one is not well."""
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

    from sluice.serving.values import printable

    broker = status.broker
    kind = "embedded" if broker.embedded else "configured"
    state = f"{kind} broker at {broker.bootstrap_servers}, topic {broker.topic}" if broker.up else broker.problem
    out = console()
    out.print(f"broker  {state}", markup=False)
    out.print(f"lake    {status.lake}", markup=False)
    table = Table(box=None, pad_edge=False)
    for name in (
        "layer",
        "running",
        "pid",
        "lag rows",
        "lag seconds",
        "last verdict",
        "breaker",
        "open holds",
    ):
        table.add_column(name, justify="right" if name.startswith(("lag", "pid", "open")) else "left")
    for layer in status.layers:
        table.add_row(*_cells(layer))
    if not out.is_terminal:
        # What is piped is not folded at the width of a screen that is not there.
        out.width = _UNFOLDED
    out.print(table)
    beside = (
        f"{each.name} {f'running, pid {each.pid}' if each.running else 'not running'}" for each in status.processes
    )
    out.print(f"beside  {'; '.join(beside)}", markup=False)
    if not status.is_well:
        out.print(printable("not well: " + "; ".join(status.complaints)), markup=False)


def _cells(layer: LayerStatus) -> list[str]:
    lag = "?" if layer.lag_rows is None else f"{layer.lag_rows:,}"
    seconds = "?" if layer.lag_seconds is None else f"{layer.lag_seconds:,.1f}"
    pid = str(layer.pid) if layer.pid else "-"
    running = "yes" if layer.running else "no"
    age = f" ({age_text(layer.oldest_hold_seconds)})" if layer.oldest_hold_seconds is not None else ""
    gate = [layer.last_verdict or "-", layer.breaker or "-", f"{layer.open_holds}{age}"]
    return [layer.layer, running, pid, lag, seconds, *gate]

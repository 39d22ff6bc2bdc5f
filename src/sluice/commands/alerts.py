"""`sluice alerts run`, and the group of commands about alerts: others add themselves."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from sluice.commands.context import invocation

app = typer.Typer(
    name="alerts", help="Alerts: what raises them, what is firing, who has taken notice.", no_args_is_help=True
)


class Mode(str, Enum):
    """How Spark runs the query."""

    real_time = "real_time"
    micro = "micro"


def register(parent: typer.Typer) -> None:
    """Adds `sluice alerts`."""
    parent.add_typer(app)


@app.command("run")
def run(
    ctx: typer.Context,
    mode: Annotated[
        Mode | None, typer.Option(help="micro: in micro-batches, where Spark has no real-time mode.")
    ] = None,
) -> None:
    """Judge each record by the rules of conf/alerts.yaml and send what they find to Kafka; Ctrl-C ends it."""
    from sluice.pipelines.alerts import run_alerts

    run_alerts(invocation(ctx).settings(alerts__mode=mode.value if mode else None))

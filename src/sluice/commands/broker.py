"""`sluice up` and `sluice down`: the embedded Kafka broker."""

from __future__ import annotations

from typing import Annotated

import typer

from sluice.commands.context import console, invocation, print_json, progress_console

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document instead of lines for people.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("up")(up)
    app.command("down")(down)


def up(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Start the embedded Kafka broker and create the topic; does nothing if they are there."""
    from sluice.embedded.broker import running_broker, start_broker

    settings = invocation(ctx).settings()
    was_up = running_broker(settings.broker.data_path) is not None
    if not was_up and not as_json:
        progress_console().print("starting the broker …")
    broker = start_broker(settings)
    if as_json:
        print_json(
            {
                "bootstrap_servers": broker.bootstrap_servers,
                "topic": settings.kafka.topic,
                "data_path": str(broker.data_path),
                "pid": broker.pid,
                "started": not was_up,
            }
        )
        return
    screen = console()
    screen.print(
        f"the broker {'was already' if was_up else 'is'} up: {broker.bootstrap_servers} (process {broker.pid})"
    )
    screen.print(f"  topic  {settings.kafka.topic}")
    screen.print(f"  data   {broker.data_path}")
    screen.print("  stop   sluice down")
    if (other := settings.kafka.bootstrap_servers) and other != broker.bootstrap_servers:
        screen.print(f"  note   kafka.bootstrap_servers is set to {other}: the commands use that one, not this one")


def down(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Stop the embedded Kafka broker; its data stay."""
    from sluice.embedded.broker import stop_broker

    data_path = invocation(ctx).settings().broker.data_path
    stopped = stop_broker(data_path)
    if as_json:
        print_json({"stopped": stopped, "data_path": str(data_path)})
        return
    console().print(f"the broker is down; its data stay in {data_path}" if stopped else "the broker was not up")

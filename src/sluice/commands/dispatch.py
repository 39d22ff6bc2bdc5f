"""`sluice dispatch`: signals become alerts, and alerts are delivered; `sluice dispatch replay`: what was given up."""

from __future__ import annotations

import signal
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from sluice.commands.context import invocation, print_json, say
from sluice.errors import EXIT_NOT_ALL_RIGHT

if TYPE_CHECKING:
    from sluice.alerting.running import Dispatch
    from sluice.settings import Settings

app = typer.Typer(name="dispatch", help="Keep the state of alerts and deliver them to channels.")


def register(parent: typer.Typer) -> None:
    """Adds `sluice dispatch`."""
    parent.add_typer(app)


@app.callback(invoke_without_command=True)
def dispatch(
    ctx: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Deliver what is there, then exit.")] = False,
    log: Annotated[bool, typer.Option("--log/--no-log", help="Write gold/alerts too.")] = True,
) -> None:
    """Keep the state of alerts and deliver them to channels; Ctrl-C ends it between two messages."""
    if ctx.invoked_subcommand is not None:
        return
    from sluice.pipelines.driver import start_logging

    start_logging()
    run = _dispatch_of(invocation(ctx).settings(), with_log=log)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: run.stop.set())
    run.run(once=once)


@app.command("replay")
def replay(
    ctx: typer.Context,
    channel: Annotated[str | None, typer.Option(help="Only this channel.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of lines for people.")] = False,
) -> None:
    """Deliver again what was given up, each message with the id it had; exit 1 if any fails again."""
    from sluice.alerting.replaying import replay_letters
    from sluice.pipelines.driver import start_logging

    start_logging()
    outcome = replay_letters(_dispatch_of(invocation(ctx).settings(), with_log=False), channel)
    if as_json:
        print_json({name: asdict(found) for name, found in outcome.items()})
    else:
        for name, found in outcome.items():
            unreadable = f", {found.unreadable:,} lines are unreadable" if found.unreadable else ""
            say(f"channel {name}: {found.delivered:,} delivered, {found.failed:,} failed again{unreadable}")
        if not outcome:
            say("nothing was given up")
    if any(found.failed or found.unreadable for found in outcome.values()):
        raise typer.Exit(EXIT_NOT_ALL_RIGHT)


def _dispatch_of(settings: Settings, *, with_log: bool) -> Dispatch:
    from sluice.alerting.running import Dispatch
    from sluice.pipelines.start import find_broker

    return Dispatch(settings, lambda: find_broker(settings), with_log=with_log)

"""`sluice recover`: a layer's checkpoint rebuilt from the tables, and what a person accepts of bronze's topic."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from sluice.commands.context import invocation, print_json, say
from sluice.errors import UsageError

if TYPE_CHECKING:
    from sluice.pipelines.recovery import Acceptance, Recovery


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @app.command()
    def recover(
        ctx: typer.Context,
        layer: Annotated[str, typer.Argument(help="bronze, silver or gold.", metavar="LAYER")],
        accept_new_topic: Annotated[
            bool, typer.Option("--accept-new-topic", help="Read the topic that is there now from its beginning.")
        ] = False,
        accept_gap: Annotated[
            bool, typer.Option("--accept-gap", help="Go on after records that are gone from the topic unread.")
        ] = False,
        by: Annotated[str, typer.Option("--by", help="Who accepts.")] = "",
        why: Annotated[str, typer.Option("--why", help="Why; it is kept.")] = "",
        force: Annotated[bool, typer.Option("--force", help="Also if nothing is found to be wrong.")] = False,
        as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of lines for people.")] = False,
    ) -> None:
        """Rebuild a layer's damaged or lost checkpoint from the tables; the old one is set aside, never deleted."""
        from sluice.pipelines.recovery import recover_layer

        accept = _acceptance(accept_new_topic, accept_gap, by.strip(), why.strip())
        recovery = recover_layer(invocation(ctx).settings(), layer, accept=accept, force=force)
        if as_json:
            print_json(asdict(recovery))
        else:
            _print(recovery)


def _acceptance(new_topic: bool, gap: bool, by: str, why: str) -> Acceptance | None:
    from sluice.pipelines.recovery import GAP, NEW_TOPIC, Acceptance

    if not new_topic and not gap:
        return None
    if new_topic and gap:
        raise UsageError(
            "--accept-new-topic and --accept-gap exclude each other", "a new topic is read from its beginning"
        )
    if not by or not why:
        raise UsageError("--by and --why must say something", "they are kept with what is accepted")
    return Acceptance(NEW_TOPIC if new_topic else GAP, by, why)


def _print(recovery: Recovery) -> None:
    layer = recovery.layer
    for line in recovery.damage:
        say(f"was wrong: {line}")
    if not recovery.rebuilt:
        say(f"the checkpoint of {layer} is whole; nothing was done")
        return
    for line in recovery.finished:
        say(f"finished:  {line}")
    for line in recovery.accepted:
        say(f"accepted:  {line}")
    if recovery.set_aside:
        say(f"set aside: {recovery.set_aside}")
    say(f"{layer} goes on {recovery.goes_on}: sluice run")

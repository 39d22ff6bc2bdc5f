"""`sluice gate approve` and `sluice gate reject`: what a person decides about rows that a gate holds."""

from __future__ import annotations

from typing import Annotated

import typer

from sluice.commands.context import console, invocation, print_json, progress_console
from sluice.commands.gate import AsJson, app
from sluice.errors import EXIT_NOT_ALL_RIGHT, UsageError
from sluice.schemas import APPROVE, REJECT

Promotion = Annotated[str, typer.Argument(help="Its promotion_id; sluice gate ls shows what is held.")]
By = Annotated[str, typer.Option("--by", help="Who decides.")]
Why = Annotated[str, typer.Option("--why", help="Why; it stands in the ledger.")]
Wait = Annotated[float, typer.Option("--wait-seconds", min=1, help="For the running job's answer.")]


@app.command(APPROVE)
def approve(
    ctx: typer.Context, promotion: Promotion, by: By, why: Why, wait: Wait = 300.0, as_json: AsJson = False
) -> None:
    """Let the held rows of a promotion in: parsed, judged by row and deduplicated anew; batch rules are overridden."""
    _decide(ctx, APPROVE, promotion, by, why, wait, as_json)


@app.command(REJECT)
def reject(
    ctx: typer.Context, promotion: Promotion, by: By, why: Why, wait: Wait = 300.0, as_json: AsJson = False
) -> None:
    """Keep the held rows of a promotion out for good; they stay in held."""
    _decide(ctx, REJECT, promotion, by, why, wait, as_json)


def _decide(
    ctx: typer.Context, action: str, promotion: str, by: str, why: str, wait_seconds: float, as_json: bool
) -> None:
    from sluice.pipelines.holds import decide_hold

    if not by.strip() or not why.strip():
        raise UsageError("--by and --why must say something", "they stand in the ledger")
    settings = invocation(ctx).settings()
    with progress_console().status(f"{action} {promotion}: waiting for the owner of the layer, or being it"):
        answer = decide_hold(settings, action, promotion, by.strip(), why.strip(), wait_seconds)
    if as_json:
        print_json({"promotion_id": promotion, "action": action, "done": answer.done, "message": answer.message})
    else:
        console().print(answer.message, markup=False)
    if not answer.done:
        raise typer.Exit(EXIT_NOT_ALL_RIGHT)

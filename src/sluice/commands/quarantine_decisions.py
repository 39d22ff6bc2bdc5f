"""`sluice quarantine replay` and `discard`: what a person decides about quarantined records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from sluice.commands.context import invocation, progress_console, say
from sluice.commands.quarantine import AsJson, Code, Device, Since, Stage, app, print_plain_json, selection_of
from sluice.errors import EXIT_NOT_ALL_RIGHT, UsageError
from sluice.schemas import DISCARD, REPLAY

if TYPE_CHECKING:
    from sluice.pipelines.quarantine_requests import Outcome
    from sluice.settings import Settings
    from sluice.tables.selection import Selection

Records = Annotated[list[str] | None, typer.Argument(metavar="[TOPIC:PARTITION:OFFSET]…", help="Only these.")]
Where = Annotated[Stage | None, typer.Option("--stage", help="Only what was refused there.")]
Wait = Annotated[float, typer.Option("--wait-seconds", min=1, help="For the running job's answer.")]
_COUNTS = ("rows_in", "rows_promoted", "rows_duplicate", "rows_quarantined")


@app.command(REPLAY)
def replay(
    ctx: typer.Context,
    records: Records = None,
    code: Code = None,
    device: Device = None,
    stage: Where = None,
    since: Since = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would happen; starts Spark.")] = False,
    by: Annotated[str, typer.Option("--by", help="Who asks for it.")] = "",
    why: Annotated[str, typer.Option("--why", help="Why; both stand in the ledger.")] = "",
    wait: Wait = 600.0,
    as_json: AsJson = False,
) -> None:
    """Let open records be read, judged and deduplicated anew, under today's contract, registry and suite.

    What passes becomes readings; what does not stays in quarantine, one attempt older. Without options: all of them.
    """
    selection = selection_of(code, device, stage, since, records)
    settings = invocation(ctx).settings()
    if dry_run:
        _rehearse(settings, selection, as_json)
    else:
        _decide(settings, REPLAY, selection, by, why, wait, as_json)


@app.command(DISCARD)
def discard(
    ctx: typer.Context,
    by: Annotated[str, typer.Option("--by", help="Who decides.")],
    why: Annotated[str, typer.Option("--why", help="Why; both stand in the ledger.")],
    records: Records = None,
    code: Code = None,
    device: Device = None,
    stage: Where = None,
    since: Since = None,
    everything: Annotated[bool, typer.Option("--all", help="Every open record there is.")] = False,
    wait: Wait = 600.0,
    as_json: AsJson = False,
) -> None:
    """Give open records up for good: they stay in quarantine with their bytes, and no replay takes them again."""
    selection = selection_of(code, device, stage, since, records)
    if not by.strip() or not why.strip():
        raise UsageError("--by and --why must say something", "they stand in the ledger")
    if selection.is_everything != everything:
        raise UsageError("say which records, or --all for every open one", "sluice quarantine ls shows what there is")
    _decide(invocation(ctx).settings(), DISCARD, selection, by, why, wait, as_json)


def _decide(
    settings: Settings, kind: str, selection: Selection, by: str, why: str, wait_seconds: float, as_json: bool
) -> None:
    from sluice.pipelines.quarantine_requests import decide_quarantined

    with progress_console().status(f"{kind}: waiting for the owner of silver, or being it"):
        outcome = decide_quarantined(settings, kind, selection, by.strip(), why.strip(), wait_seconds)
    if as_json:
        print_plain_json(_as_json(settings, kind, outcome))
    else:
        say(outcome.answer.message)
        if outcome.promotion_id:
            say(f"  sluice gate show {outcome.promotion_id}")
    if not outcome.answer.done:
        raise typer.Exit(EXIT_NOT_ALL_RIGHT)


def _as_json(settings: Settings, kind: str, outcome: Outcome) -> dict[str, Any]:
    from sluice.serving.lake import open_lake
    from sluice.serving.quarantine import read_outcome

    lake = open_lake(settings.lake.path)
    row, refused = read_outcome(lake, outcome.promotion_id) if outcome.promotion_id else ({}, {})
    counts = {name: row.get(name) or 0 for name in _COUNTS}
    answer = {"promotion_id": outcome.promotion_id, "done": outcome.answer.done, "message": outcome.answer.message}
    by_code = {"refused" if kind == REPLAY else "discarded": refused}
    return {"action": kind, "dry_run": False, **answer, **counts, **by_code}


def _rehearse(settings: Settings, selection: Selection, as_json: bool) -> None:
    from sluice.pipelines.quarantine_requests import rehearse_replay

    with progress_console().status("starting Spark and judging anew"):
        found = rehearse_replay(settings, selection)
    rows = found.rows
    if as_json:
        counts = {name: rows[name] for name in _COUNTS}
        print_plain_json({"action": REPLAY, "dry_run": True, **counts, "refused": dict(found.refused)})
        return
    refused = ", ".join(f"{count:,} {code}" for code, count in sorted(found.refused.items()))
    counted = f"{rows['rows_promoted']:,} would be promoted, {rows['rows_duplicate']:,} are duplicates"
    still = f"{rows['rows_quarantined']:,} still refused" + (f" ({refused})" if refused else "")
    say(f"{rows['rows_in']:,} would be replayed: {counted}, {still}")
    say("nothing was changed")

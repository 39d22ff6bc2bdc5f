"""`sluice replay`: part of silver or gold made anew from the layer below, under the rules of today."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sluice.commands.context import invocation, print_table, progress_console, say
from sluice.commands.gate import Layer
from sluice.commands.quarantine import print_plain_json
from sluice.errors import EXIT_NOT_ALL_RIGHT, UsageError

if TYPE_CHECKING:
    from sluice.pipelines.gold_replay import Rehearsal as GoldRehearsal
    from sluice.pipelines.replay import Rehearsal as SilverRehearsal
    from sluice.pipelines.replay_requests import Step
    from sluice.settings import Settings
    from sluice.tables.spans import Buckets, Span

_COUNTS = ("rows_in", "rows_promoted", "rows_quarantined", "rows_duplicate", "rows_held")
_BOUND = "A time (RFC 3339), or for silver TOPIC:PARTITION:OFFSET."


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @app.command()
    def replay(
        ctx: typer.Context,
        layer: Annotated[Layer, typer.Option(help="What to make anew: silver from bronze, gold from silver.")],
        start: Annotated[str | None, typer.Option("--from", help=_BOUND, metavar="FROM")] = None,
        end: Annotated[
            str | None, typer.Option("--to", help="As --from. A time is excluded, an offset included.", metavar="TO")
        ] = None,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would happen; starts Spark.")] = False,
        by: Annotated[str, typer.Option("--by", help="Who asks for it.")] = "",
        why: Annotated[str, typer.Option("--why", help="Why; both stand in the ledger.")] = "",
        wait: Annotated[float, typer.Option("--wait-seconds", min=1, help="For a running job's answer.")] = 600.0,
        as_json: Annotated[bool, typer.Option("--json")] = False,
    ) -> None:
        """Make a part of silver or gold anew from the layer below, as an undisturbed run under today's rules would.

        Silver: the bronze records of a time by Kafka, or of offsets in a partition; gold follows by itself. Gold: the
        minutes of a time.
        """
        part = _part_of(layer.value, start, end)
        settings = invocation(ctx).settings()
        if dry_run:
            _rehearse(settings, layer.value, part, as_json)
            return
        if not by.strip() or not why.strip():
            raise UsageError("--by and --why must say something", "they stand in the ledger; --dry-run needs neither")
        _carry_out(settings, layer.value, part, by.strip(), why.strip(), wait, as_json)


def _part_of(layer: str, start: str | None, end: str | None) -> Span | Buckets:
    from sluice.serving.spans import parse_buckets, parse_span

    return parse_span(start, end) if layer == "silver" else parse_buckets(start, end)


def _carry_out(
    settings: Settings, layer: str, part: Span | Buckets, by: str, why: str, wait_seconds: float, as_json: bool
) -> None:
    from sluice.pipelines.replay_requests import replay_layer

    with progress_console().status(f"replay: waiting for the owner of {layer}, or being it"):
        steps = replay_layer(settings, layer, part, by, why, wait_seconds)
    if as_json:
        print_plain_json(_as_json(layer, part, steps))
    else:
        for step in steps:
            say(f"{step.layer}: {step.answer.message}")
            if step.promotion_id:
                say(f"  sluice gate show {step.promotion_id}")
    if not all(step.answer.done for step in steps):
        raise typer.Exit(EXIT_NOT_ALL_RIGHT)


def _as_json(layer: str, part: Span | Buckets, steps: Sequence[Step]) -> dict[str, Any]:
    told = [
        {
            "layer": step.layer,
            "promotion_id": step.promotion_id,
            "done": step.answer.done,
            "message": step.answer.message,
            **{name: step.row.get(name) or 0 for name in _COUNTS},
        }
        for step in steps
    ]
    return {"action": "replay", "dry_run": False, "layer": layer, "part": str(part), "steps": told}


def _rehearse(settings: Settings, layer: str, part: Span | Buckets, as_json: bool) -> None:
    from sluice.pipelines.replay_requests import rehearse_gold, rehearse_silver
    from sluice.tables.spans import Span

    found: SilverRehearsal | GoldRehearsal
    with progress_console().status("starting Spark and judging anew"):
        found = rehearse_silver(settings, part) if isinstance(part, Span) else rehearse_gold(settings, part)
    if as_json:
        print_plain_json({"action": "replay", "dry_run": True, "layer": layer, "part": str(part), **asdict(found)})
        return
    rows = asdict(found)
    counted = _compared(rows["before"], rows["after"], "")
    counted += _compared(rows.get("refused_before", {}), rows.get("refused_after", {}), "  ")
    print_table(("place", "now", "then"), counted, ("now", "then"))
    if rows.get("beyond"):
        say(f"{rows['beyond']:,} of them are copies that lie beyond the range")
    if rows.get("deleted"):
        say(f"{rows['deleted']:,} minutes have no reading left and would be deleted")
    say("nothing was changed")


def _compared(before: Mapping[str, int], after: Mapping[str, int], indent: str) -> list[tuple[str, int, int]]:
    names = list(dict.fromkeys([*before, *after]))
    # Error codes come in any order, places in theirs.
    names = sorted(names) if indent else names
    return [(f"{indent}{name}", before.get(name, 0), after.get(name, 0)) for name in names]

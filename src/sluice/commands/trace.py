"""`sluice trace`: where an event has been, and why."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from sluice.commands.context import invocation

if TYPE_CHECKING:
    from sluice.serving.trace import Event, Trace

_MOST_MESSAGE = 400


class ReadAs(str, Enum):
    """How the text to trace is read."""

    id = "id"
    time = "time"
    coordinates = "coordinates"


def register(app: typer.Typer) -> None:
    """Adds `sluice trace`."""
    app.command("trace")(trace)


def trace(
    ctx: typer.Context,
    target: Annotated[str, typer.Argument(metavar="EVENT_ID|DEVICE@TIME|TOPIC:PARTITION:OFFSET")],
    as_: Annotated[ReadAs | None, typer.Option("--as", help="Read the text as this and nothing else.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Follow at most N records.")] = 20,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Show every place an event was in, which rule of which suite decided, and its gold minutes.

    The text is read as TOPIC[:GENERATION]:PARTITION:OFFSET if it can be, else as DEVICE@TIME, else as an event id;
    where nothing is found, the next reading is tried. Exit 1 if no table knows it.
    """
    from sluice.serving.lake import open_lake
    from sluice.serving.trace import as_json as as_plain
    from sluice.serving.trace import trace as trace_event
    from sluice.serving.values import plain, to_json

    lake = open_lake(invocation(ctx).settings().lake.path)
    answer = trace_event(lake, target, as_.value if as_ else None, limit)
    if as_json:
        typer.echo(to_json(plain(as_plain(answer))))
    else:
        _print(answer)


def _print(answer: Trace) -> None:
    for number, event in enumerate(answer.events):
        if number:
            typer.echo("")
        _print_event(event)
    for note in answer.notes:
        _say(f"note: {note}", err=True)


def _print_event(event: Event) -> None:
    from sluice.serving.story import minute_text, rule_text, story, values_text
    from sluice.serving.values import rfc3339

    _say(f"{_title(event)}: {event.state}")
    for step in story(event):
        moment = rfc3339(step.at) if step.at else "now" if step.is_now else "(time unknown)"
        _say(f"  {moment:<27} {step.what}")
    for rule in event.failed_rules:
        _say(f"  rule {rule['rule_id']} failed for {rule['coordinates']} in {rule['promotion_id']}")
        _say(f"    saw   {values_text(rule)}")
        _say(f"    rule  {rule_text(rule)}")
        if rule["suite_hash"]:
            _say(f"    suite {rule['suite']} {rule['suite_hash']}")
    for row in event.minutes:
        _say(f"  gold {minute_text(row)}")
    for row in event.held_minutes:
        broke = ", ".join(row["failed_rules"] or ()) or "its batch"
        _say(f"  gold held ({row['status']}, {row['promotion_id']}, broke {broke}) {minute_text(row)}")
    _print_promotions(event)
    _print_message(event)


def _title(event: Event) -> str:
    from sluice.serving.values import cell

    if event.key is None:
        return f"record {event.records[0].coordinates}"
    return f"event {event.key['event_id']} of {event.key['device_id']} at {cell(event.key['event_time'])}"


def _print_promotions(event: Event) -> None:
    for row in event.promotions:
        hashes = ", ".join(f"{kind} {row[f'{kind}_hash'][:12]}" for kind in _KINDS if row[f"{kind}_hash"])
        why = f"; {row['why']}" if row["why"] else ""
        by = f" by {row['decided_by']}" if row["decided_by"] else ""
        _say(f"  promotion {row['promotion_id']}: {row['kind']}, {row['verdict']}{by}; {hashes or 'no hashes'}{why}")


_KINDS = ("suite", "contract", "registry")


def _print_message(event: Event) -> None:
    from sluice.schemas import BRONZE_EVENTS
    from sluice.serving.values import readable_bytes

    row = event.records[0].row(BRONZE_EVENTS)
    if row is not None and row["value"] is not None:
        text = readable_bytes(bytes(row["value"][:_MOST_MESSAGE]))
        _say(f"  message {text}{'…' if len(row['value']) > _MOST_MESSAGE else ''}")


def _say(text: str, err: bool = False) -> None:
    """One line that cannot do anything to a terminal."""
    from sluice.serving.values import printable

    typer.echo(printable(text), err=err)

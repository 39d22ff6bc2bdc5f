"""`sluice trace`: where an event has been, and why."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sluice.commands.context import invocation, progress_console, say

if TYPE_CHECKING:
    from sluice.pipelines.rejudge import JudgedRecord
    from sluice.serving.trace import Event, Trace
    from sluice.settings import Settings

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
    suite: Annotated[
        Path | None, typer.Option(help="Also what this suite would do with it; starts Spark.", metavar="FILE")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Show every place an event was in, which rule of which suite decided, and its gold minutes.

    The text is read as TOPIC[:GENERATION]:PARTITION:OFFSET if it can be, else as DEVICE@TIME, else as an event id;
    where nothing is found, the next reading is tried. Exit 1 if no table knows it. --suite changes nothing in the lake.
    """
    from sluice.serving.lake import open_lake
    from sluice.serving.trace import as_json as as_plain
    from sluice.serving.trace import trace as trace_event
    from sluice.serving.values import plain, to_json

    settings = invocation(ctx).settings()
    lake = open_lake(settings.lake.path)
    answer = trace_event(lake, target, as_.value if as_ else None, limit)
    judged = _judge(settings, suite, answer) if suite else None
    if as_json:
        shown = (
            {"candidate": {"suite": str(suite), "records": [vars(each) for each in judged]}}
            if judged is not None
            else {}
        )
        typer.echo(to_json(plain({**as_plain(answer), **shown})))
        return
    _print(answer)
    for each in judged or ():
        _print_judged(each, str(suite))


def _judge(settings: Settings, suite: Path, answer: Trace) -> list[JudgedRecord]:
    from sluice.pipelines.rejudge import judge_records
    from sluice.schemas import BRONZE_EVENTS

    records = [record for event in answer.events for record in event.records if record.row(BRONZE_EVENTS)]
    with progress_console().status(f"judging {len(records)} records by {suite}"):
        return judge_records(settings, suite, [record.coordinates for record in records])


def _print_judged(record: JudgedRecord, suite: str) -> None:
    from sluice.serving.values import cell

    outcome = f"accepted as {record.quality_flag}" if record.quality_flag else f"refused, {record.error_code}"
    say(f"under {suite}: {record.coordinates} {outcome}")
    if record.error_detail and not record.broken_rules:
        say(f"  {record.error_detail}")
    for rule in record.broken_rules:
        arguments = ", ".join(f"{name}={cell(value)}" for name, value in rule["kwargs"].items())
        say(f"  {rule['severity']} rule {rule['rule_id']}")
        say("    saw   " + ", ".join(f"{name}={cell(value)}" for name, value in rule["values"].items()))
        say(f"    rule  {rule['type']}({arguments})")


def _print(answer: Trace) -> None:
    for number, event in enumerate(answer.events):
        if number:
            typer.echo("")
        _print_event(event)
    for note in answer.notes:
        say(f"note: {note}", err=True)


def _print_event(event: Event) -> None:
    from sluice.serving.story import minute_text, rule_text, story, values_text
    from sluice.serving.values import rfc3339

    say(f"{_title(event)}: {event.state}")
    for step in story(event):
        moment = rfc3339(step.at) if step.at else "now" if step.is_now else "(time unknown)"
        say(f"  {moment:<27} {step.what}")
    for rule in event.failed_rules:
        say(f"  rule {rule['rule_id']} failed for {rule['coordinates']} in {rule['promotion_id']}")
        say(f"    saw   {values_text(rule)}")
        say(f"    rule  {rule_text(rule)}")
        if rule["suite_hash"]:
            say(f"    suite {rule['suite']} {rule['suite_hash']}")
    for row in event.minutes:
        say(f"  gold {minute_text(row)}")
    for row in event.held_minutes:
        broke = ", ".join(row["failed_rules"] or ()) or "its batch"
        say(f"  gold held ({row['status']}, {row['promotion_id']}, broke {broke}) {minute_text(row)}")
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
        decided = f"{row['kind']}, {row['verdict'] or 'no verdict'}{by}"
        say(f"  promotion {row['promotion_id']}: {decided}; {hashes or 'no hashes'}{why}")


_KINDS = ("suite", "contract", "registry")


def _print_message(event: Event) -> None:
    from sluice.schemas import BRONZE_EVENTS
    from sluice.serving.values import readable_bytes

    row = event.records[0].row(BRONZE_EVENTS)
    if row is not None and row["value"] is not None:
        text = readable_bytes(bytes(row["value"][:_MOST_MESSAGE]))
        say(f"  message {text}{'…' if len(row['value']) > _MOST_MESSAGE else ''}")

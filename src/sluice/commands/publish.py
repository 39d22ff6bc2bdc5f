"""`sluice publish`: gold in PostgreSQL or SQLite, for programs that ask a database."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from sluice.commands.context import invocation, print_json, say
from sluice.errors import EXIT_NOT_ALL_RIGHT, UsageError

if TYPE_CHECKING:
    from sluice.pipelines.publish import Publishing


def register(app: typer.Typer) -> None:
    """Adds `sluice publish`."""
    app.command("publish")(publish)


def publish(
    ctx: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Publish what is there, then exit; the default.")] = False,
    every: Annotated[
        float | None, typer.Option("--every", metavar="SECONDS", min=0.1, help="Go on until Ctrl-C or SIGTERM.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Compare all rows; replace what another lake has published there.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON; with --every one line for each pass.")] = False,
) -> None:
    """Bring gold's minutes, latest readings and devices to PostgreSQL, or to a SQLite file.

    PostgreSQL's DSN stands in SLUICE_PUBLISH_DSN or in the file publish.dsn_path (mode 0600); without one the rows go
    to the SQLite file publish.path. Only what changed is written; a pass that is killed leaves the one before it.
    Exit 1: rows that the database cannot hold stand in its table sluice_refused. 3: lake or database are not there.
    """
    from sluice.pipelines.driver import start_logging
    from sluice.pipelines.publish import publish_from_settings

    if once and every is not None:
        raise UsageError("--once and --every exclude each other", "give one of them")
    start_logging()
    refused = 0

    def told(found: Publishing) -> None:
        nonlocal refused
        refused = found.refused
        if not as_json:
            _print(found)
        elif every is None:
            print_json(_described(found))
        else:
            typer.echo(json.dumps(_described(found)))

    publish_from_settings(invocation(ctx).settings(), told, every_seconds=every, again=again)
    if refused:
        raise typer.Exit(EXIT_NOT_ALL_RIGHT)


def _described(found: Publishing) -> dict[str, object]:
    tables = [asdict(table) for table in found.tables]
    return {"store": found.store, "tables": tables, "missing": list(found.missing)}


def _print(found: Publishing) -> None:
    from sluice.pipelines.publish import in_one_line

    say(f"to {found.store}")
    for table in found.tables:
        say(f"  {in_one_line(table)}")
    for name in found.missing:
        say(f"  the lake has no {name} yet")
    if found.refused:
        say(f"{found.refused:,} rows cannot be held there: they stand in sluice_refused, with the reason", err=True)

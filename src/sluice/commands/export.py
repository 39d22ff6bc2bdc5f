"""`sluice export`: tables as Parquet or CSV, a file per day and customer; and whether they are still what they were."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import date
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sluice.commands.context import invocation, print_json, print_table, say
from sluice.errors import EXIT_NOT_ALL_RIGHT, ExportInvalid

if TYPE_CHECKING:
    from sluice.serving.export.exporting import Exported
    from sluice.serving.export.wish import Wish
    from sluice.settings import Settings

_app = typer.Typer(
    help="Tables as files for other people, a file per day and customer, and whether they are still what they were."
)
_MEBIBYTE = 1024 * 1024
_COLUMNS = ("table", "version", "days", "unchanged", "written", "removed", "files", "rows", "MiB", "seconds")


class Form(str, Enum):
    """What the files are."""

    parquet = "parquet"
    csv = "csv"


def register(app: typer.Typer) -> None:
    """Adds `sluice export`."""
    app.add_typer(_app, name="export")


@_app.callback(invoke_without_command=True)
def export(
    ctx: typer.Context,
    table: Annotated[
        list[str] | None, typer.Option("--table", help="May be repeated; gold.readings_1min unless given.")
    ] = None,
    day: Annotated[str | None, typer.Option("--day", metavar="DATE", help="One UTC day.")] = None,
    first: Annotated[str | None, typer.Option("--from", metavar="DATE", help="The first day.")] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="DATE", help="The last day, included.")] = None,
    customer: Annotated[str | None, typer.Option("--customer", metavar="NAME", help="One customer alone.")] = None,
    form: Annotated[Form | None, typer.Option("--format", help="As export.format says unless given.")] = None,
    output: Annotated[Path | None, typer.Option("--output", metavar="DIR", help="As export.path says.")] = None,
    every: Annotated[
        float | None,
        typer.Option("--every", metavar="SECONDS", min=0.1, help="Go on until Ctrl-C or SIGTERM."),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Read all days; mends files that were changed or damaged.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON; with --every one line for each pass.")] = False,
) -> None:
    """Export a table's days to DIR/<table>/day=…/customer=…/part.parquet (or .csv), with a manifest and checksums.

    Only days that changed since are read, and only files that come out otherwise are written. Each file appears whole;
    a killed export is finished by the next one.
    """
    if ctx.invoked_subcommand is not None:
        return
    from sluice.pipelines.driver import start_logging
    from sluice.pipelines.export import export_from_settings

    settings = invocation(ctx).settings(export__path=output, export__format=form.value if form else None)
    days = (_date("--day", day), _date("--day", day)) if day else (_date("--from", first), _date("--to", last))
    if day and (first or last):
        raise ExportInvalid("--day excludes --from and --to", "give one of them")
    if days[0] and days[1] and days[0] > days[1]:
        raise ExportInvalid(f"--from {first} lies after --to {last}", "the last day is included")
    wishes = _wishes(settings, table or ["gold.readings_1min"], days, customer, again)
    start_logging()

    def told(done: list[Exported]) -> None:
        if not as_json:
            _print(done)
        elif every is None:
            print_json([asdict(each) for each in done])
        else:
            typer.echo(json.dumps([asdict(each) for each in done]))

    export_from_settings(settings, wishes, told, every_seconds=every)


def _date(option: str, text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise ExportInvalid(f"{option} {text}: not a date", "e.g. 2026-03-01") from None


def _wishes(
    settings: Settings, names: list[str], days: tuple[date | None, date | None], customer: str | None, again: bool
) -> list[Wish]:
    from sluice.serving.export.tables import find_table
    from sluice.serving.export.wish import Wish

    how = settings.export
    if customer == "":
        raise ExportInvalid("--customer is empty", "name a customer, or leave the option out for all")
    return [
        Wish(find_table(name), how.path, how.format, how.escape_formulas, *days, customer, again)
        for name in dict.fromkeys(names)
    ]


def _print(done: list[Exported]) -> None:
    rows = [
        (
            *(each.table, each.table_version, each.days, each.days_unchanged, each.written, each.removed, each.files),
            *(each.rows, f"{each.bytes / _MEBIBYTE:,.1f}", f"{each.seconds:.1f}"),
        )
        for each in done
    ]
    print_table(_COLUMNS, rows, _COLUMNS[1:])
    for each in done:
        say(f"{each.table} in {each.folder}")


@_app.command("verify")
def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What --output was, or a table's folder in it.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of lines for people.")] = False,
) -> None:
    """Compare every file of an export with its manifest: exit 0 all as written, 1 something differs, 2 no export."""
    from sluice.serving.export.verify import verify_export

    found = verify_export(folder)
    if as_json:
        print_json([asdict(each) for each in found])
    else:
        for each in found:
            for difference in each.differences:
                say(f"{each.table}: {difference}")
            state = f"{len(each.differences)} differ" if each.differences else "all as written"
            say(f"{each.table} version {each.table_version}: {each.files:,} files, {each.rows:,} rows: {state}")
    if any(each.differences for each in found):
        if not as_json:
            say("`sluice export --again` to the same folder writes what is missing or differs", err=True)
        raise typer.Exit(EXIT_NOT_ALL_RIGHT)

"""`sluice query`: ready-made and free queries on the lake's tables, without starting Spark."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from sluice.commands.context import console, invocation, print_json, progress_console
from sluice.errors import QueryInvalid
from sluice.settings import Settings

if TYPE_CHECKING:
    from sluice.serving.queries import Parameter, Query
    from sluice.serving.readonly import Answer

# A table is for eyes: rows beyond this are left out, and that is said. CSV and JSON have all rows.
ROWS_IN_A_TABLE = 100
_UNFOLDED = 100_000
_PLAN_COLUMNS = ("explain_key", "explain_value")


class Format(str, Enum):
    """How an answer is printed."""

    table = "table"
    csv = "csv"
    json = "json"


def register(app: typer.Typer) -> None:
    """Adds `sluice query`."""
    app.command("query")(query)


def query(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="A ready-made query; see --list.", metavar="[NAME]")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Show the ready-made queries.")] = False,
    sql: Annotated[str | None, typer.Option("--sql", help="A statement of your own; it can only read.")] = None,
    param: Annotated[list[str] | None, typer.Option(help="A value for $KEY.", metavar="KEY=VALUE")] = None,
    format_: Annotated[Format, typer.Option("--format", help="How to print the answer.")] = Format.table,
    json_: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False,
    limit: Annotated[
        int | None, typer.Option(min=0, help=f"At most N rows; 0: all. A table shows {ROWS_IN_A_TABLE} unless told.")
    ] = None,
) -> None:
    """Ask the lake, with a ready-made query or with SQL; needs neither Java nor a running job."""
    settings = invocation(ctx).settings()
    if (name is not None) + (sql is not None) + list_ != 1:
        raise QueryInvalid("give one of NAME, --list and --sql", "`sluice query --list` shows the names")
    wanted = Format.json if json_ else format_
    if list_:
        _print_list(settings, wanted)
    else:
        _print_answer(_ask(settings, name, sql, _assignments(param or [])), wanted, limit)


def _assignments(texts: list[str]) -> dict[str, str]:
    given = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise QueryInvalid(f"--param {text}: not of the form KEY=VALUE", "e.g. --param device_id=sensor-0001")
        given[key.strip()] = value
    return given


def _ask(settings: Settings, name: str | None, sql: str | None, given: dict[str, str]) -> Answer:
    from sluice.serving.lake import open_lake
    from sluice.serving.queries import bind_parameters, find_query, load_queries
    from sluice.serving.readonly import run_read_only

    if name is None:
        return run_read_only(open_lake(settings.lake.path), sql or "", given or None)
    chosen = find_query(load_queries(settings.queries.path), name)
    values = bind_parameters(chosen, given)
    return run_read_only(open_lake(settings.lake.path), chosen.sql, values or None, chosen.optional)


def _print_list(settings: Settings, wanted: Format) -> None:
    from sluice.serving.queries import load_queries

    queries = load_queries(settings.queries.path).values()
    if wanted is Format.json:
        print_json([_described(found) for found in queries])
        return
    columns = ("name", "about", "parameters")
    rows = [(found.name, found.about, ", ".join(_signature(item) for item in found.parameters)) for found in queries]
    _print_rows(columns, rows, wanted)


def _described(found: Query) -> dict[str, object]:
    from sluice.serving.values import plain

    parameters = [
        {
            "name": item.name,
            "type": item.kind,
            "required": item.required,
            "default": plain(item.default),
            "about": item.about,
        }
        for item in found.parameters
    ]
    return {"name": found.name, "title": found.title, "about": found.about, "parameters": parameters}


def _signature(parameter: Parameter) -> str:
    from sluice.serving.values import plain

    return parameter.name if parameter.default is None else f"{parameter.name}={plain(parameter.default)}"


def _print_answer(answer: Answer, wanted: Format, limit: int | None) -> None:
    if wanted is Format.table and answer.columns == _PLAN_COLUMNS:
        _print_plan(answer)
        return
    shown = ROWS_IN_A_TABLE if limit is None and wanted is Format.table else limit
    rows = answer.rows()
    _print_rows(answer.columns, itertools.islice(rows, shown or None), wanted)
    if limit is None and next(rows, None) is not None:
        progress_console().print(f"the first {ROWS_IN_A_TABLE} rows; --limit 0 shows all")


def _print_plan(answer: Answer) -> None:
    from sluice.serving.values import printable

    for row in answer.rows():
        for line in str(row[-1]).splitlines():
            typer.echo(printable(line))


def _print_rows(columns: tuple[str, ...], rows: Iterable[tuple[object, ...]], wanted: Format) -> None:
    from sluice.serving.values import csv_lines, json_lines

    if wanted is Format.table:
        _print_table(columns, rows)
        return
    lines: Iterator[str] = (csv_lines if wanted is Format.csv else json_lines)(columns, rows)
    for line in lines:
        typer.echo(line)


def _print_table(columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from sluice.serving.values import cell, printable

    table = Table(box=None, pad_edge=False, header_style="bold")
    kinds: list[type] = []
    texts = []
    for row in rows:
        texts.append([Text(cell(value)) for value in row])
        kinds = [type(value) for value in row]
    for place, column in enumerate(columns):
        number = bool(kinds) and kinds[place] in (int, float)
        table.add_column(Text(printable(column)), justify="right" if number else "left", overflow="fold")
    for text in texts:
        table.add_row(*text)
    screen = console()
    if not screen.is_terminal:
        # What is piped is not folded at the width of a screen that is not there.
        screen.width = _UNFOLDED
    screen.print(table)

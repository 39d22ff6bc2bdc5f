"""`sluice query`: ready-made and free queries on the lake's tables, without starting Spark."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sluice.commands.context import console, invocation, print_json, progress_console
from sluice.errors import OutputInvalid, QueryInvalid
from sluice.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.console import Console
    from rich.text import Text

    from sluice.serving.lake import OpenLake
    from sluice.serving.queries import Parameter, Query
    from sluice.serving.readonly import Answer
    from sluice.serving.versions import Version

# A table is for eyes: rows beyond this are left out, and that is said. CSV and JSON have all rows.
ROWS_IN_A_TABLE = 100
_UNFOLDED = 100_000
_PLAN_COLUMNS = ("explain_key", "explain_value")


class Format(str, Enum):
    """How an answer is printed."""

    table = "table"
    csv = "csv"
    json = "json"
    parquet = "parquet"


def register(app: typer.Typer) -> None:
    """Adds `sluice query`."""
    app.command("query")(query)


def query(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="A ready-made query; see --list.", metavar="[NAME]")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Show the ready-made queries.")] = False,
    sql: Annotated[str | None, typer.Option("--sql", help="A statement of your own; it can only read.")] = None,
    param: Annotated[list[str] | None, typer.Option(help="A value for $KEY.", metavar="KEY=VALUE")] = None,
    as_of_: Annotated[
        str | None,
        typer.Option(
            "--as-of", help="The tables as they were at a time; or the one table, at a version.", metavar="VERSION|TIME"
        ),
    ] = None,
    format_: Annotated[
        Format | None, typer.Option("--format", help="How to print the answer; table unless told.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(help="Write the answer to a .csv, .json or .parquet file.", metavar="FILE", dir_okay=False),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=0, help=f"At most N rows; 0: all. A table shows {ROWS_IN_A_TABLE} unless told.")
    ] = None,
) -> None:
    """Ask the lake, with a ready-made query or with SQL; needs neither Java nor a running job."""
    settings = invocation(ctx).settings()
    if (name is not None) + (sql is not None) + list_ != 1:
        raise QueryInvalid("give one of NAME, --list and --sql", "`sluice query --list` shows the names")
    wanted = _format(Format.json if json_ else format_, output)
    if list_:
        _print_list(settings, wanted)
        return
    question = _question(settings, name, sql, _assignments(param or []), as_of_)
    if output is not None:
        _write_answer(question, wanted, limit, output)
    else:
        _print_answer(question.answer(), wanted, limit)


def _format(asked: Format | None, output: Path | None) -> Format:
    """How the answer is to be told: as asked, else as the file's name ends."""
    if output is None:
        if asked is Format.parquet:
            raise OutputInvalid("Parquet is not for a terminal", "add --output FILE.parquet")
        return asked or Format.table
    found = asked or next((each for each in Format if output.suffix.lower() == f".{each.value}"), None)
    if found in (None, Format.table):
        raise OutputInvalid(
            f"--output {output}: the name tells no format", "end it in .csv, .json or .parquet, or add --format"
        )
    return found


@dataclass(frozen=True)
class Question:
    """What is asked of which lake, as of when."""

    lake: OpenLake
    sql: str
    values: dict[str, object] | None
    optional: tuple[str, ...]
    as_of: Version | None

    def answer(self) -> Answer:
        """Columns and rows."""
        from sluice.serving.readonly import run_read_only

        return run_read_only(self.lake, self.sql, self.values, self.optional, self.as_of)

    def batches(self) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        """The same with DuckDB's types."""
        from sluice.serving.readonly import read_batches

        return read_batches(self.lake, self.sql, self.values, self.optional, self.as_of)


def _assignments(texts: list[str]) -> dict[str, str]:
    given = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise QueryInvalid(f"--param {text}: not of the form KEY=VALUE", "e.g. --param device_id=sensor-0001")
        given[key.strip()] = value
    return given


def _question(
    settings: Settings, name: str | None, sql: str | None, given: dict[str, str], as_of_: str | None
) -> Question:
    from sluice.serving.lake import open_lake
    from sluice.serving.queries import bind_parameters, find_query, load_queries, parse_as_of

    as_of = None if as_of_ is None else parse_as_of(as_of_)
    if name is None:
        return Question(open_lake(settings.lake.path), sql or "", dict(given) or None, (), as_of)
    chosen = find_query(load_queries(settings.queries.path), name)
    values = bind_parameters(chosen, given, as_of)
    return Question(open_lake(settings.lake.path), chosen.sql, values or None, chosen.optional, as_of)


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


def _write_answer(question: Question, wanted: Format, limit: int | None, path: Path) -> None:
    from sluice.serving.answer_files import write_lines, write_parquet
    from sluice.serving.values import csv_lines, json_lines

    if wanted is Format.parquet:
        schema, batches = question.batches()
        rows = write_parquet(path, schema, _first_rows(batches, limit))
    else:
        answer, rows = question.answer(), 0

        def counted() -> Iterator[tuple[object, ...]]:
            nonlocal rows
            for row in itertools.islice(answer.rows(), limit or None):
                rows += 1
                yield row

        write_lines(path, (csv_lines if wanted is Format.csv else json_lines)(answer.columns, counted()))
    progress_console().print(f"{rows:,} rows in {path}", markup=False, soft_wrap=True)


def _first_rows(batches: Iterator[pa.RecordBatch], limit: int | None) -> Iterator[pa.RecordBatch]:
    left = limit or None
    for batch in batches:
        yield batch if left is None else batch[:left]
        left = None if left is None else left - batch.num_rows
        if left is not None and left <= 0:
            return


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

    from sluice.serving.values import printable, table_cell

    table = Table(box=None, pad_edge=False, header_style="bold")
    kinds: list[type] = []
    texts = []
    for row in rows:
        texts.append([Text(table_cell(value)) for value in row])
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
    names = [printable(column) for column in columns]
    if texts and len("  ".join(names)) > screen.width:
        _print_records(screen, names, texts)
    else:
        screen.print(table)
    if not texts:
        progress_console().print("no rows")


def _print_records(screen: Console, names: list[str], rows: list[list[Text]]) -> None:
    """A line for each value: columns whose very names do not fit beside each other would be a few letters wide."""
    from rich.text import Text

    width = max(len(name) for name in names)
    for place, row in enumerate(rows):
        if place:
            screen.print()
        for name, text in zip(names, row, strict=True):
            screen.print(Text.assemble((name.ljust(width), "bold"), "  ", text))

"""`sluice import`: history from files into Kafka, a file or standard output."""

from __future__ import annotations

import enum
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sluice.commands.context import console, invocation, progress_console
from sluice.commands.sinks import SinkKind, Stop, check_sink_options, open_sink, print_summary_json, stop_on_signals
from sluice.errors import InputInvalid
from sluice.settings import Settings

if TYPE_CHECKING:
    from sluice.simulator.sinks import Sink
    from sluice.sources.mapping import EventMapping, Message
    from sluice.sources.rows import Row, RowFile

# Rows looked at before the first is sent.
ROWS_CHECKED = 100
_SHOW_EVERY = 1000
EPILOG = (
    "CSV and SQLite: every row becomes an event. Without --map the columns named like fields of the contract are "
    "taken. JSON lines go as they are, unless there is a --map. Numbers keep their digits, times become UTC; of a "
    "local time that occurs twice the first is taken, one that does not occur moves forward, and both are counted. "
    "A value that cannot be converted goes on as text and a broken row as it is: silver quarantines them with the "
    "reason. The same file gives the same bytes again, so a second import only adds duplicates, which silver drops."
)


class FormatKind(str, enum.Enum):
    """How a file is read."""

    csv = "csv"
    jsonl = "jsonl"
    sqlite = "sqlite"


@dataclass
class Counts:
    """What was sent so far.

    Attributes:
        rows: rows sent, which is messages.
        as_they_are: of those, the ones with something that could not be converted.
    """

    rows: int = 0
    as_they_are: int = 0


@dataclass(frozen=True)
class Source:
    """A file that has been checked.

    Attributes:
        file: the file.
        mapping: how its rows become events; None sends lines as they are.
    """

    file: RowFile
    mapping: EventMapping | None


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("import", help="Send the history in files.", epilog=EPILOG)(import_files)


def import_files(
    ctx: typer.Context,
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="CSV, SQLite or JSON lines.")],
    maps: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="COLUMN=FIELD", help="A column and the field it feeds; may be repeated."),
    ] = None,
    device: Annotated[str | None, typer.Option(metavar="NAME", help="The device of all rows.")] = None,
    time_zone: Annotated[
        str | None, typer.Option(metavar="ZONE", help="IANA name, for times without an offset.")
    ] = None,
    format_kind: Annotated[
        FormatKind | None, typer.Option("--format", help="How to read the files; default by their suffix.")
    ] = None,
    table: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of a SQLite database; default the only one.")
    ] = None,
    sink: Annotated[SinkKind, typer.Option(help="Where to.")] = SinkKind.kafka,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="The file of --sink file; replaced.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Checks all files first, then sends their rows in order and prints what was sent."""
    from sluice.sources.times import TimeReader, find_zone

    check_sink_options(sink, out)
    settings = invocation(ctx).settings()
    zone = find_zone(time_zone) if time_zone is not None else None
    kind = format_kind.value if format_kind else None
    if device is not None and not device:
        raise InputInvalid("--device is empty", "e.g. --device machine-1")
    sources = [_check(path, kind, table, maps or [], device, settings, TimeReader(zone)) for path in files]
    if any(source.mapping is None for source in sources) and (device is not None or zone is not None):
        raise InputInvalid("JSON lines go as they are: --device and --time-zone need a --map", "add --map column=field")
    if out is not None and any(out.resolve() == path.resolve() for path in files):
        raise InputInvalid(f"--out {out} is one of the files to import", "choose another --out")
    times = TimeReader(zone)
    counts = Counts()
    with open_sink(sink, out, settings) as (opened, target), stop_on_signals() as stop:
        began = time.monotonic()
        with _progress(sum(source.file.size for source in sources)) as show:
            _send_all(sources, times, opened, counts, stop, show)
            opened.close()
        seconds = time.monotonic() - began
    summary = {
        "sink": sink.value,
        "target": target,
        "stopped": stop.asked,
        "files": [str(path) for path in files],
        "events": counts.rows,
        "sent_as_they_are": counts.as_they_are,
        "ambiguous_times": times.ambiguous,
        "shifted_times": times.shifted,
        "seconds": round(seconds, 3),
        "events_per_second": round(counts.rows / seconds) if seconds > 0 else None,
    }
    _print_summary(summary, as_json, sink is SinkKind.stdout)


def _check(
    path: Path, kind: str | None, table: str | None, maps: list[str], device: str | None, settings: Settings, times: Any
) -> Source:
    from sluice.sources.mapping import check_times, contract_fields, parse_assignments, resolve_mapping
    from sluice.sources.rows import open_rows

    file = open_rows(path, kind, table)
    if file.columns is None and not maps:
        return Source(file, None)
    mapping = resolve_mapping(
        str(path), file.columns, parse_assignments(maps), device, contract_fields(settings.contract.path)
    )
    first_rows = list(itertools.islice(file.read(mapping.columns), ROWS_CHECKED))
    if file.columns is None and first_rows:
        _check_json_columns(path, mapping, first_rows)
    check_times(str(path), mapping, first_rows, times)
    return Source(file, mapping)


def _check_json_columns(path: Path, mapping: EventMapping, rows: list[Row]) -> None:
    for place, column in enumerate(mapping.columns):
        if all(row.cells is None or row.cells[place] is None for row in rows):
            raise InputInvalid(f"{path}: none of the first {len(rows)} lines has {column!r}", "mend the --map")


def _messages(source: Source, times: Any) -> Iterator[tuple[Message, int]]:
    from sluice.sources.mapping import RowMapper, message_of_line

    if source.mapping is None:
        for row in source.file.read(("device_id", "id")):
            yield message_of_line(row), row.progress
        return
    mapper = RowMapper(source.mapping, times)
    for row in source.file.read(source.mapping.columns):
        yield mapper.message(row), row.progress


def _send_all(
    sources: list[Source], times: Any, sink: Sink, counts: Counts, stop: Stop, show: Callable[[int, int], None]
) -> None:
    finished = 0
    for source in sources:
        for message, progress in _messages(source, times):
            if stop.asked:
                return
            sink.send(message.key, message.value)
            counts.rows += 1
            counts.as_they_are += not message.is_whole
            if counts.rows % _SHOW_EVERY == 0:
                show(finished + progress, counts.rows)
        finished += source.file.size


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int, int], None]]:
    screen = progress_console()
    if not screen.is_terminal:
        yield lambda done, rows: None  # noqa: ARG005
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.fields[rows]:,} events"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, TimeRemainingColumn(), console=screen, transient=True) as bar:
        task = bar.add_task("events", total=total, rows=0)
        yield lambda done, rows: bar.update(task, completed=done, rows=rows)


def _print_summary(summary: dict[str, Any], as_json: bool, to_stderr: bool) -> None:
    if as_json:
        print_summary_json(summary, to_stderr)
        return
    screen = progress_console() if to_stderr else console()
    speed = f" ({summary['events_per_second']:,} events/s)" if summary["events_per_second"] else ""
    screen.print(f"sent {summary['events']:,} events to {summary['target']} in {summary['seconds']:.1f} s{speed}")
    for name, text in (
        ("sent_as_they_are", "with something that could not be converted, sent as they are"),
        ("ambiguous_times", "times that occur twice in the time zone, the first taken"),
        ("shifted_times", "times that do not occur in the time zone, moved forward"),
    ):
        if summary[name]:
            screen.print(f"  {summary[name]:,} {text}")

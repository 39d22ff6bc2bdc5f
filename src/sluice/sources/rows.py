"""Rows of CSV, SQLite and JSON-lines files, in order; knows nothing of events.

Nothing in a file stops the reading: a row that is not what its file promises comes out as one that cannot be split.
"""

from __future__ import annotations

import csv
import json
import math
import sqlite3
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sluice.errors import InputInvalid

SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".db": "sqlite",
    ".sqlite": "sqlite",
    ".sqlite3": "sqlite",
}
MAX_LINE_BYTES = 32 * 1024 * 1024
_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


class Number(str):
    """The digits of a JSON number, as they were written."""

    __slots__ = ()


class Row(NamedTuple):
    """One row of a file.

    Attributes:
        cells: text, Number, any other JSON value, or None where there is nothing; in the order asked for. None
            instead of a sequence: the row cannot be split into its columns.
        raw: the row as one message: the line of a JSON-lines file, else the row's text as a JSON string.
        progress: how much of the file has been read with it, in the file's unit.
    """

    cells: Sequence[Any] | None
    raw: bytes
    progress: int


@dataclass(frozen=True)
class RowFile:
    """A file whose rows can be read.

    Attributes:
        path: where it is.
        columns: their names; None where each row brings its own.
        size: how much there is to read, in bytes, or in rows of a database.
        read: rows with the cells of these columns.
    """

    path: Path
    columns: tuple[str, ...] | None
    size: int
    read: Callable[[Sequence[str]], Iterator[Row]]


def open_rows(path: Path, kind: str | None, table: str | None) -> RowFile:
    """The file, looked at but not yet read.

    Args:
        path: the file.
        kind: csv, sqlite or jsonl; None goes by the suffix.
        table: of a database; None is the only one.

    Raises:
        InputInvalid: the file is missing or not of its kind, or has no header or no such table.
    """
    kind = kind or SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise InputInvalid(f"{path}: cannot tell the format from the name", "add --format csv, jsonl or sqlite")
    if table is not None and kind != "sqlite":
        raise InputInvalid(f"{path} is {kind}: --table goes with SQLite only", "leave out --table")
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise InputInvalid(f"cannot read {path}: {error.strerror}", "check the path and its permissions") from None
    if kind == "sqlite":
        return _open_sqlite(path, table, start)
    if start.startswith(_UTF16_MARKS):
        raise InputInvalid(f"{path} is UTF-16, not UTF-8", "convert it first, e.g. with iconv -f UTF-16 -t UTF-8")
    if kind == "csv":
        return RowFile(path, _csv_header(path), size, lambda columns: _csv_rows(path, columns))
    return RowFile(path, None, size, lambda columns: _jsonl_rows(path, columns))


def lines_of(path: Path) -> Iterator[tuple[bytes, int]]:
    """Each line without its ending and without the file's byte-order mark, and the bytes read so far.

    Raises:
        InputInvalid: a line is longer than MAX_LINE_BYTES.
    """
    done = number = 0
    with path.open("rb") as file:
        while line := file.readline(MAX_LINE_BYTES + 3):
            number += 1
            if len(line) > MAX_LINE_BYTES + 2:
                raise InputInvalid(f"{path}: line {number} is longer than {MAX_LINE_BYTES:,} bytes", "is it one line?")
            if not done:
                line = line.removeprefix(_UTF8_MARK)
            done = file.tell()
            yield line.removesuffix(b"\n").removesuffix(b"\r"), done


def _csv_records(path: Path) -> Generator[tuple[list[str], int], None, None]:
    csv.field_size_limit(MAX_LINE_BYTES)
    progress = 0

    def texts() -> Iterator[str]:
        nonlocal progress
        for line, done in lines_of(path):
            progress = done
            yield line.decode("utf-8", "surrogateescape") + "\n"

    try:
        for cells in csv.reader(texts()):
            if cells:
                yield cells, progress
    except csv.Error as error:
        raise InputInvalid(f"{path} is not a CSV file: {error}", f"look near byte {progress:,}") from None


def _csv_header(path: Path) -> tuple[str, ...]:
    with closing(_csv_records(path)) as records:
        first = next(records, None)
    if first is None:
        raise InputInvalid(f"{path} is empty: it has no header", "the first line must name the columns")
    header = tuple(name.strip() for name in first[0])
    if all(not name or name[:1] in "+-.0123456789" for name in header):
        raise InputInvalid(
            f"{path} has no header: its first line is {','.join(header)[:80]}", "the first line must name the columns"
        )
    return header


def _csv_rows(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    records = _csv_records(path)
    header = [name.strip() for name in next(records)[0]]
    places = [header.index(column) for column in columns]
    for cells, progress in records:
        if len(cells) == len(header):
            yield Row([cells[place] for place in places], b"", progress)
        else:
            yield Row(None, to_json(",".join(cells)), progress)


def _open_sqlite(path: Path, table: str | None, start: bytes) -> RowFile:
    if start != b"SQLite format 3\x00":
        raise InputInvalid(f"{path} is not a SQLite database", "name its format with --format")
    with _connection(path) as database:
        names = [row[0] for row in database.execute(_TABLES)]
        if table is None and len(names) == 1:
            table = names[0]
        if table is None or table not in names:
            what = "several tables" if table is None else f"no table {table}"
            raise InputInvalid(f"{path} has {what}", f"--table with one of: {', '.join(names) or '(there is none)'}")
        quoted = _quote(table)
        columns = tuple(found[0] for found in database.execute(f"SELECT * FROM {quoted} LIMIT 0").description)  # noqa: S608
        count = int(database.execute(f"SELECT count(*) FROM {quoted}").fetchone()[0])  # noqa: S608
    return RowFile(path, columns, count, lambda wanted: _sqlite_rows(path, quoted, wanted))


_TABLES = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"


def _connection(path: Path) -> closing[sqlite3.Connection]:
    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    database.text_factory = lambda found: found.decode("utf-8", "surrogateescape")
    return closing(database)


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _sqlite_rows(path: Path, table: str, columns: Sequence[str]) -> Iterator[Row]:
    select = f"SELECT {', '.join(map(_quote, columns))} FROM {table}"  # noqa: S608 (names are quoted)
    with _connection(path) as database:
        try:
            try:
                found = database.execute(f"{select} ORDER BY rowid")
            except sqlite3.OperationalError:
                # A view, or a table WITHOUT ROWID, which is stored in the order of its key.
                found = database.execute(select)
            for number, values in enumerate(found, start=1):
                yield Row([_sqlite_cell(value) for value in values], b"", number)
        except sqlite3.Error as error:
            raise InputInvalid(f"{path}: {error}", "check the database, e.g. with PRAGMA integrity_check") from None


def _sqlite_cell(value: object) -> object:
    if isinstance(value, (int, float)):
        return Number(repr(value)) if math.isfinite(value) else str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return value


def _jsonl_rows(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    for line, progress in lines_of(path):
        if not line.strip():
            continue
        document = parse_json(line)
        cells = [document.get(column) for column in columns] if isinstance(document, dict) else None
        yield Row(cells, line, progress)


def parse_json(line: bytes) -> Any:
    """The JSON value in a line, its numbers as Number; None where there is none, or an object names a field twice."""
    try:
        return json.loads(line.decode(), parse_float=Number, parse_int=Number, object_pairs_hook=_object)
    except (ValueError, RecursionError):
        return None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field stands twice")
    return found


def to_json(value: object) -> bytes:
    """The value as JSON; bytes that were no UTF-8 in the file stay what they were."""
    return to_bytes(json_text(value))


def to_bytes(text: str) -> bytes:
    """The text as the bytes it was read from; a lone surrogate escaped in JSON becomes bytes that are no UTF-8."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


_encode = json.JSONEncoder(ensure_ascii=False).encode


def json_text(value: object) -> str:
    """The value as JSON text, a Number with the digits it was written with."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join([f"{_encode(key)}:{json_text(inner)}" for key, inner in value.items()]) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(json_text, value)) + "]"
    return _encode(value)

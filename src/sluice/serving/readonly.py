"""SQL from anywhere on the lake, locked down: one reading statement, no files, no network, no settings.

DuckDB is closed after the mentioned tables have been registered: external access off, configuration locked.
The kind of statement is checked as well, so that the refusal says what is allowed.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb

from sluice.errors import LakeMissing, QueryInvalid, SluiceError
from sluice.schemas import TABLES
from sluice.serving.as_of import snapshot
from sluice.serving.empty_tables import empty_view
from sluice.serving.lake import OpenLake, Parameters
from sluice.serving.values import printable
from sluice.serving.versions import Version
from sluice.tables.reading import connect

if TYPE_CHECKING:
    import pyarrow as pa

_READING = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
_ALLOWED = "one SELECT, WITH, FROM, VALUES, DESCRIBE, SUMMARIZE, SHOW or EXPLAIN statement"
_ROWS_AT_ONCE = 10_000
# DuckDB's own SHOW TABLES lists one schema, and the lake's tables lie in four.
_SHOW_TABLES = re.compile(r"\s*show\s+tables\s*;?\s*", re.IGNORECASE)
_ALL_TABLES = "SELECT schema || '.' || name AS name FROM (SHOW ALL TABLES)"
_UNKNOWN_TABLE = re.compile(r"Table with name (.+?) does not exist")
# A value does not fit, which only the rows or the parameters can tell.
_VALUES = (duckdb.ConversionException, duckdb.InvalidInputException, duckdb.OutOfRangeException)
# DuckDB 2 and, on Python 3.10, DuckDB 1.5.
_FILE_GONE = re.compile(r"(reading the Arrow source failed|get_next failed\(\)): \w*(IO|FileNotFound)\w*")


@dataclass
class Answer:
    """The columns of an answer, and its rows as Python values; the rows can be taken once.

    Attributes:
        columns: the names; a repeated one carries a number (`a`, `a_2`), so that they are unique.
        types: DuckDB's names of the types.
    """

    columns: tuple[str, ...]
    types: tuple[str, ...]
    _result: duckdb.DuckDBPyConnection
    _catalogue: tuple[str, ...]

    def rows(self) -> Iterator[tuple[object, ...]]:
        """The rows in order, a chunk at a time in memory.

        Raises:
            QueryInvalid: a value does not fit the query, e.g. a text that is no number.
            SluiceError: a file of the lake went away meanwhile.
        """
        while True:
            try:
                chunk = self._result.fetchmany(_ROWS_AT_ONCE)
            except duckdb.Error as error:
                raise explain(error, "", self._catalogue) from None
            if not chunk:
                return
            yield from chunk


def run_read_only(
    lake: OpenLake,
    text: str,
    parameters: Parameters | None = None,
    optional: Sequence[str] = (),
    as_of: Version | None = None,
) -> Answer:
    """The answer to a statement that may only read the lake's tables.

    Args:
        lake: the lake.
        text: DuckDB SQL, one statement.
        parameters: values for `$name` or `?`; bound, never pasted into the text.
        optional: tables that read as empty while they do not exist.
        as_of: a moment: each table at its newest version then; or the version of the one table it reads.

    Raises:
        QueryInvalid: the text is not one reading statement, or DuckDB cannot carry it out, or a version was given and
            it reads more than one table.
        LakeMissing: it reads a table that no job has created yet, or that has no such version.
    """
    connection, text = _closed_around(lake, text, optional, as_of)
    catalogue = tuple(lake.tables())
    try:
        result = connection.execute(text, parameters)
    except duckdb.Error as error:
        raise explain(error, text, catalogue) from None
    described = [(column[0], str(column[1])) for column in result.description or ()]
    return Answer(_unique([name for name, _ in described]), tuple(kind for _, kind in described), result, catalogue)


def read_batches(
    lake: OpenLake,
    text: str,
    parameters: Parameters | None = None,
    optional: Sequence[str] = (),
    as_of: Version | None = None,
) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """As `run_read_only`, as Arrow batches with DuckDB's own types."""
    import pyarrow as pa

    connection, text = _closed_around(lake, text, optional, as_of)
    catalogue = tuple(lake.tables())
    try:
        reader = connection.sql(text, params=parameters).to_arrow_reader(_ROWS_AT_ONCE)
    except duckdb.Error as error:
        raise explain(error, text, catalogue) from None
    names = _unique(reader.schema.names)
    schema = pa.schema([field.with_name(name) for field, name in zip(reader.schema, names, strict=True)])

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            for batch in reader:
                yield batch.rename_columns(names)
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            raise explain(error, text, catalogue) from None

    return schema, batches()


def _closed_around(
    lake: OpenLake, text: str, optional: Sequence[str], as_of: Version | None
) -> tuple[duckdb.DuckDBPyConnection, str]:
    """A locked session in which the tables of a statement can be read, and the statement to carry out there."""
    connection = connect()
    check_reading(connection, text)
    if _SHOW_TABLES.fullmatch(text):
        text = _ALL_TABLES
    tables = lake.mentioned(text) if as_of is None else snapshot(lake, text, as_of, optional)
    lake.register(connection, tables)
    present = lake.tables() if as_of is None else tables
    for name in set(optional) - set(present):
        connection.execute(empty_view(name))
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection, text


def check_reading(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    """Refuses everything but one statement that reads.

    Raises:
        QueryInvalid: not valid SQL, several statements, or one that could change something.
    """
    try:
        statements = connection.extract_statements(text)
    except duckdb.Error as error:
        raise explain(error, text, ()) from None
    if len(statements) != 1:
        count = "no statement" if not statements else f"{len(statements)} statements"
        raise QueryInvalid(f"the SQL holds {count}", f"give {_ALLOWED}")
    if statements[0].type not in _READING:
        raise QueryInvalid(f"{statements[0].type.name} is not allowed: queries only read", f"give {_ALLOWED}")


def explain(error: Exception, text: str, catalogue: tuple[str, ...]) -> SluiceError:
    """The error of DuckDB as one of ours: one line without control characters, and near names where one is wrong."""
    message = str(error)
    unknown = _UNKNOWN_TABLE.search(message)
    if unknown:
        return _unknown_table(unknown[1], text, catalogue)
    if _FILE_GONE.search(message):
        return LakeMissing("a file of the lake went away while it was read", "run the query again")
    fact, _, _ = message.partition("\n\nLINE ")
    fact = printable(" ".join(fact.split()))
    if isinstance(error, duckdb.PermissionException):
        return QueryInvalid(fact, "queries read the lake's tables and nothing else")
    if isinstance(error, _VALUES):
        return QueryInvalid(fact, "give another value with --param; in SQL of your own try_cast gives null instead")
    return QueryInvalid(fact, "`sluice query --sql 'DESCRIBE silver.readings'` shows a table's columns")


def _unknown_table(written: str, text: str, catalogue: tuple[str, ...]) -> SluiceError:
    # DuckDB names the schema only where it does not know that either.
    name = written.strip('"').lower()
    words = {word.lower() for word in re.findall(r"\w+", text)}
    for table in TABLES:
        mentioned = table.layer in words and name in (table.name, table.full_name)
        if mentioned and table.full_name not in catalogue:
            return LakeMissing(
                f"the lake has no table {table.full_name} yet",
                f"the {table.layer} job creates it: `sluice run --once`",
            )
    near = _near(name, catalogue)
    shown = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(catalogue)}"
    return QueryInvalid(f"there is no table {printable(name)}", shown)


def _near(name: str, catalogue: tuple[str, ...]) -> list[str]:
    short = name.split(".")[-1]
    exact = [full for full in catalogue if full.split(".")[1] == short]
    by_table = [
        full
        for match in difflib.get_close_matches(short, [full.split(".")[1] for full in catalogue], n=3)
        for full in catalogue
        if full.split(".")[1] == match
    ]
    return list(dict.fromkeys([*exact, *difflib.get_close_matches(name, catalogue, n=2), *by_table]))[:3]


def _unique(names: list[str]) -> tuple[str, ...]:
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        unique.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return tuple(unique)

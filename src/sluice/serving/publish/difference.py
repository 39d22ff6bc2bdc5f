"""What a store lacks of a table: rows that are new or other than at the version it holds, and keys that went.

Exact whatever rewrote the files: rows of files that only one of the versions has are compared with each other, so that
those which a MERGE or a compaction merely moved are no difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from sluice.serving.publish.tables import StoreTable
from sluice.tables.changes import NetFiles
from sluice.tables.reading import connect, open_files

Row = tuple[Any, ...]
Portions = Iterator[list[Row]]
_ROWS_AT_ONCE = 10_000


@dataclass(frozen=True)
class Difference:
    """What makes a store's table equal to a version of the lake's; both iterators can be taken once.

    Attributes:
        rows: in portions; times as microseconds since 1970.
        gone: keys, in portions, whose row is no longer there; empty where all rows are given.
        whole: `rows` are all that the table holds, so that what the store has beside them goes.
    """

    rows: Portions
    gone: Portions
    whole: bool


def whole_table(table: StoreTable, paths: Sequence[Path], kept_from: datetime | None) -> Difference:
    """All rows of a version.

    Args:
        paths: its files.
        kept_from: rows dated before it are left out.
    """
    scanner = _scanner(table, paths, kept_from)
    return Difference(_portions(scanner.to_batches()), iter(()), True)


def between(table: StoreTable, files: NetFiles, kept_from: datetime | None) -> Difference:
    """The rows in which two versions differ.

    Args:
        files: those by which they differ.
        kept_from: rows dated before it are left out.
    """
    connection = connect()
    for name, paths in zip(("added", "removed"), files, strict=True):
        connection.register("scanned", _scanner(table, paths, kept_from))
        connection.execute(f"CREATE TABLE {name} AS FROM scanned")
        connection.unregister("scanned")
    keys = ", ".join(f'"{name}"' for name in table.key)
    rows = connection.cursor().execute("FROM added EXCEPT FROM removed")
    gone = connection.cursor().execute(
        f"SELECT {keys} FROM removed EXCEPT SELECT {keys} FROM added"  # noqa: S608 (our own names)
    )
    return Difference(_fetched(rows), _fetched(gone), False)


def given_rows(rows: Sequence[Row]) -> Difference:
    """All rows of a table, as they are."""
    return Difference(iter([list(rows)] if rows else []), iter(()), True)


def _scanner(table: StoreTable, paths: Sequence[Path], kept_from: datetime | None) -> Any:
    import pyarrow.compute as pc

    # As numbers: neither DuckDB nor Python knows every moment that 64 bits hold.
    columns = {
        name: pc.field(name).cast(pa.int64()) if kind == "timestamp" else pc.field(name) for name, kind in table.columns
    }
    chosen = None
    if kept_from is not None and table.dated_by:
        chosen = pc.field(table.dated_by) >= pa.scalar(kept_from, pa.timestamp("us", tz="UTC"))
    return open_files(paths, table.arrow_schema).scanner(columns=columns, filter=chosen, batch_size=_ROWS_AT_ONCE)


def _portions(batches: Iterator[pa.RecordBatch]) -> Portions:
    for batch in batches:
        if batch.num_rows:
            yield list(zip(*(column.to_pylist() for column in batch.columns), strict=True))


def _fetched(result: duckdb.DuckDBPyConnection) -> Portions:
    while rows := result.fetchmany(_ROWS_AT_ONCE):
        yield rows

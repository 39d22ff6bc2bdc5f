"""Tables as lists of files: what an audit knows of a table at one version before it reads a row of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from sluice.errors import BooksUnreadable, SluiceError
from sluice.schemas import Table
from sluice.serving.empty_tables import duckdb_type
from sluice.serving.lake import OpenLake
from sluice.tables.reading import add_actions

RESTORE = "restore the table from a backup; its history is in _delta_log"
# What a file without statistics is taken to hold, by its size.
_ROW_BYTES = 40


@dataclass(frozen=True)
class BookFile:
    """One file of a table.

    Attributes:
        rows: in it; estimated where its statistics do not say.
        day: of its partition, in days since 1970-01-01; None in a table without partitions.
        last_offset: the greatest of its rows; None where its statistics do not say.
    """

    path: str
    rows: int
    day: int | None
    last_offset: int | None


@dataclass(frozen=True)
class Chunk:
    """A part of a table: some of its days, and of them one of so many shares of its devices."""

    days: tuple[int, ...]
    share: int = 0
    shares: int = 1


@dataclass(frozen=True)
class Pages:
    """A table at one version."""

    table: Table
    version: int
    files: tuple[BookFile, ...]


def open_pages(lake: OpenLake, table: Table) -> Pages | SluiceError | None:
    """A table at its newest version; why it cannot be opened; or None where no job has created it."""
    if table.full_name not in lake.tables():
        return None
    try:
        delta = lake.delta(table.full_name)
        return Pages(table, delta.version(), tuple(book_files(delta, lake.path / table.relative_path)))
    except SluiceError as error:
        return BooksUnreadable(error.message, error.hint)
    except (DeltaError, OSError, ValueError, pa.ArrowException) as error:
        return BooksUnreadable(f"{table.full_name} cannot be read: {first_line(error)}", RESTORE)


def book_files(delta: DeltaTable, folder: Path) -> Iterator[BookFile]:
    """The files of a Delta table at the version it is opened at."""
    features = delta.protocol().reader_features
    if features:
        names = ", ".join(sorted(features))
        raise BooksUnreadable(f"{folder} uses {names}, which an audit cannot read", "rewrite the table without it")
    actions = add_actions(delta)
    names = actions.column_names
    partition = next((name for name in names if name.startswith("partition.")), "")
    # Numbers, not dates: a broker can stamp records later than the year 9999.
    days = actions[partition].cast(pa.int32()).to_pylist() if partition else [None] * len(actions)
    offsets = actions["max.offset"].to_pylist() if "max.offset" in names else [None] * len(actions)
    columns = [actions[name].to_pylist() for name in ("path", "num_records", "size_bytes")]
    for path, rows, size, day, offset in zip(*columns, days, offsets, strict=True):
        yield BookFile(str(folder / unquote(path)), size // _ROW_BYTES if rows is None else rows, day, offset)


def source_of(table: Table, files: Iterable[BookFile]) -> str:
    """What stands after FROM to read the table's columns, its partition column aside, from some of its files."""
    listed = list(files)
    if listed and table.partition_by:
        # Spark writes it into the files, compaction does not; what the first file has DuckDB wants to find in all.
        return f"(SELECT COLUMNS(lambda name: name <> '{table.partition_by}') FROM {source_in(listed)})"  # noqa: S608
    if listed:
        return source_in(listed)
    columns = (f'NULL::{duckdb_type(kind)} AS "{name}"' for name, kind in table.columns if name != table.partition_by)
    return f"(SELECT {', '.join(columns)} WHERE false)"


def source_in(files: Iterable[BookFile]) -> str:
    """What stands after FROM to read files, at least one."""
    paths = ", ".join("'" + file.path.replace("'", "''") + "'" for file in files)
    return f"read_parquet([{paths}], hive_partitioning = false)"


def first_line(error: Exception) -> str:
    """The first line of what an error says, else its kind."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

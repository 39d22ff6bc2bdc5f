"""Rows of large tables without reading the large rest: files are chosen by their statistics, then read by DuckDB.

Delta keeps minimum and maximum of some columns per file (schemas.py: `statistics`) and the partition column's
value. A file that cannot hold a wanted value is not opened, and of the others only the columns asked for are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import duckdb
import pyarrow as pa
from deltalake import DeltaTable

from sluice.errors import LakeMissing
from sluice.schemas import Table
from sluice.serving.empty_tables import empty_view
from sluice.serving.lake import OpenLake
from sluice.tables.reading import add_actions, connect

Wanted = Mapping[str, Collection[Any]]
# Delta cuts texts in its statistics off at 32 characters; shorter ones are whole.
_WHOLE_TEXT = 32
# Delta writes times in its statistics in whole milliseconds, rounded down.
_ROUNDED = timedelta(milliseconds=1)
_BATCH_ROWS = 20_000
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class DataFile:
    """One file of a table, and what is known of its rows without opening it.

    Attributes:
        bounds: per column the least and the greatest value; a column without statistics is absent.
    """

    path: Path
    size_bytes: int
    modified: int
    bounds: Mapping[str, tuple[Any, Any]]

    def may_hold(self, wanted: Wanted) -> bool:
        """Whether a row could have, in each of the columns, one of its wanted values."""
        return all(self._may_hold(column, values) for column, values in wanted.items())

    def _may_hold(self, column: str, values: Collection[Any]) -> bool:
        if column not in self.bounds:
            return True
        low, high = self.bounds[column]
        if isinstance(low, str) and any(len(text) >= _WHOLE_TEXT for text in (low, high, *values)):
            return True
        return any(low <= value <= high for value in values)


class TableFiles:
    """The tables of an open lake by their files; each table stays at the version it was first asked for."""

    def __init__(self, lake: OpenLake) -> None:
        self._lake = lake
        self._existing = frozenset(lake.tables())
        self._connection = connect()
        # DuckDB draws it on standard output, which is the answer's. In Jupyter without ipywidgets it is off, and even
        # switching it off is an error.
        if self._connection.execute("SELECT current_setting('enable_progress_bar')").fetchall() == [(True,)]:
            self._connection.execute("SET enable_progress_bar = false")
        self._files: dict[str, tuple[DataFile, ...]] = {}
        self._views: set[str] = set()

    def files(self, table: Table) -> tuple[DataFile, ...]:
        """All files of the table, those written last first; none where no job has created it."""
        name = table.full_name
        if name not in self._files:
            found = list_files(self._lake, table) if name in self._existing else ()
            self._files[name] = tuple(sorted(found, key=lambda file: (-file.modified, str(file.path))))
        return self._files[name]

    def query(self, text: str, parameters: Mapping[str, object], tables: Collection[Table]) -> list[dict[str, Any]]:
        """The rows of one SELECT over whole tables, named `layer.name`, for small ones; an absent one is empty.

        Raises:
            LakeMissing: a file went away while it was read.
        """
        for table in tables:
            self._create_view(table)
        result = self._execute(text, parameters)
        names = [column[0] for column in result.description or ()]
        return [dict(zip(names, row, strict=True)) for row in _fetch(result)]

    def _create_view(self, table: Table) -> None:
        if table.full_name in self._views:
            return
        self._views.add(table.full_name)
        paths = ", ".join("'" + str(file.path).replace("'", "''") + "'" for file in self.files(table))
        if not paths:
            self._connection.execute(empty_view(table.full_name))
            return
        source = f"read_parquet([{paths}], hive_partitioning = false, union_by_name = true)"
        self._connection.execute(f"CREATE SCHEMA IF NOT EXISTS {table.layer}")
        self._connection.execute(f"CREATE VIEW {table.full_name} AS SELECT * FROM {source}")  # noqa: S608 (our own names)

    def rows(
        self,
        table: Table,
        where: str,
        parameters: Mapping[str, object],
        wanted: Wanted,
        *,
        columns: Sequence[str] = (),
        limit: int | None = None,
    ) -> list[dict[str, Any]]:
        """The rows that fulfil a condition, in the order of their coordinates.

        Args:
            where: SQL over the table's columns, without its partition column.
            parameters: values for `$name` in it.
            wanted: values one of which a row must have for `where` to hold; chooses the files.
            columns: those to read; empty takes all, and one that a file lacks is null.
            limit: at most so many rows.

        Raises:
            LakeMissing: a file went away while it was read.
        """
        chosen = [str(file.path) for file in self.files(table) if file.may_hold(wanted)]
        if not chosen:
            return []
        listed = ", ".join(f'"{name}"' for name in columns) or "*"
        order = 'ORDER BY topic, topic_generation, partition, "offset"' if "offset" in table.column_names else ""
        sql = f"SELECT {listed} FROM {_source(whole=not columns)} WHERE {where} {order}"  # noqa: S608 (our own names)
        sql += "" if limit is None else f" LIMIT {limit}"
        result = self._execute(sql, {**parameters, "files": chosen})
        names = [column[0] for column in result.description or ()]
        empty = dict.fromkeys(columns or (name for name in table.column_names if name != table.partition_by))
        return [{**empty, **dict(zip(names, row, strict=True))} for row in _fetch(result)]

    def batches(self, files: Sequence[DataFile], columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Columns of whole files, a batch at a time in memory.

        Raises:
            LakeMissing: a file went away while it was read.
        """
        if files:
            listed = ", ".join(f'"{name}"' for name in columns)
            paths = [str(file.path) for file in files]
            sql = f"SELECT {listed} FROM {_source(whole=False)}"  # noqa: S608 (our own names)
            try:
                yield from self._connection.sql(sql, params={"files": paths}).to_arrow_reader(_BATCH_ROWS)
            except duckdb.IOException:
                raise _gone() from None

    def _execute(self, sql: str, parameters: Mapping[str, object]) -> duckdb.DuckDBPyConnection:
        try:
            return self._connection.execute(sql, dict(parameters))
        except duckdb.IOException:
            raise _gone() from None


def list_files(lake: OpenLake, table: Table) -> Iterator[DataFile]:
    """The files of a table's newest version."""
    return data_files(lake.delta(table.full_name), lake.path / table.relative_path)


def data_files(table: DeltaTable, folder: Path) -> Iterator[DataFile]:
    """The files of the version that a table, lying in a folder, is opened at."""
    actions = add_actions(table)
    columns = {name: _values(actions[name]) for name in actions.column_names}
    for values in zip(*columns.values(), strict=True):
        action = dict(zip(columns, values, strict=True))
        path = Path(unquote(action["path"]))
        modified = action["modification_time"]
        yield DataFile(folder / path, action["size_bytes"], _milliseconds(modified), _bounds(action))


def _values(column: pa.ChunkedArray) -> list[Any]:
    values: list[Any]
    if not pa.types.is_timestamp(column.type):
        values = column.to_pylist()
        return values
    values = column.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_pylist()
    try:
        return [None if each is None else _EPOCH + timedelta(microseconds=each) for each in values]
    except OverflowError:
        # Times that brokers stamped beyond the year 9999 are no Python values; such a column chooses no files.
        return [None] * len(values)


def _milliseconds(moment: Any) -> int:
    return int(moment.timestamp() * 1000) if isinstance(moment, datetime) else int(moment)


def _bounds(action: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    bounds = {}
    for key, value in action.items():
        kind, _, column = key.partition(".")
        if kind == "partition" and value is not None:
            bounds[column] = (value, value)
        if kind == "min" and value is not None and action.get(f"max.{column}") is not None:
            bounds[column] = (_in_utc(value), _upper(_in_utc(action[f"max.{column}"])))
    return bounds


def _in_utc(value: Any) -> Any:
    return value.replace(tzinfo=timezone.utc) if isinstance(value, datetime) and value.tzinfo is None else value


def _upper(value: Any) -> Any:
    if not isinstance(value, datetime):
        return value
    return value + _ROUNDED if value.year < datetime.max.year else datetime.max.replace(tzinfo=timezone.utc)


def _source(*, whole: bool) -> str:
    # Matching columns by name reads every file's footer, so only where all columns are wanted.
    return f"read_parquet($files, hive_partitioning = false, union_by_name = {str(whole).lower()})"


def _fetch(result: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    try:
        return result.fetchall()
    except duckdb.IOException:
        raise _gone() from None


def _gone() -> LakeMissing:
    return LakeMissing("a file of the lake went away while it was read", "run the command again")

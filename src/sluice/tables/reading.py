"""Delta tables read without Spark: their log, as Arrow datasets, and by DuckDB."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Sequence
from operator import and_
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
from deltalake import DeltaTable

if TYPE_CHECKING:
    import pyarrow.dataset


def add_actions(table: DeltaTable) -> pa.Table:
    """A row for each file of the version a table is opened at, with its path, size, partition and statistics."""
    # Not pa.table(): it looks whether it was given a pandas frame, and imports pandas for that.
    return pa.RecordBatchReader.from_stream(table.get_add_actions(flatten=True)).read_all()


def open_dataset(table: DeltaTable, folder: str | Path) -> pyarrow.dataset.FileSystemDataset:
    """A Delta table as an Arrow dataset whose filters lose no row; nothing is read until something asks for rows.

    Args:
        folder: where the table lies.
    """
    # They bring pandas with them, which takes a fifth of a second.
    import pyarrow.dataset
    import pyarrow.fs

    # Spark may write times as INT96; read as nanoseconds, as Arrow does unless told, years after 2262 wrap around.
    spark_times = pyarrow.dataset.ParquetReadOptions(coerce_int96_timestamp_unit="us")
    files = pyarrow.fs.SubTreeFileSystem(str(folder), pyarrow.fs.LocalFileSystem())
    return _with_safe_bounds(table.to_pyarrow_dataset(filesystem=files, parquet_read_options=spark_times))


def open_files(paths: Sequence[Path], schema: pa.Schema) -> pyarrow.dataset.Dataset:
    """Some files of a Delta table as an Arrow dataset, without its partition columns; reads times as `open_dataset`.

    Args:
        schema: the columns to read; one that a file lacks is null there.
    """
    import pyarrow.dataset

    spark_times = pyarrow.dataset.ParquetReadOptions(coerce_int96_timestamp_unit="us")
    form = pyarrow.dataset.ParquetFileFormat(read_options=spark_times)
    if not paths:
        return pyarrow.dataset.dataset(schema.empty_table())
    return pyarrow.dataset.dataset([str(path) for path in paths], schema=schema, format=form)


def connect() -> duckdb.DuckDBPyConnection:
    """A DuckDB session in memory: times in UTC, no Python variables as tables, no extensions from anywhere."""
    connection = duckdb.connect(
        config={
            "python_enable_replacements": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "temp_directory": str(Path(tempfile.gettempdir()) / "sluice-duckdb"),
        }
    )
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def _with_safe_bounds(dataset: pyarrow.dataset.FileSystemDataset) -> pyarrow.dataset.FileSystemDataset:
    """The dataset without the bounds of files of which deltalake knows only one end.

    It takes the other for null, and nothing compares with null: filters would leave out the rows of such a file. Ends
    are missing where a time lies beyond the years that the log's JSON can tell.
    """
    import pyarrow.dataset

    fragments = list(dataset.get_fragments())
    unsafe = [place for place, each in enumerate(fragments) if "null[" in str(each.partition_expression)]
    if not unsafe:
        return dataset
    for place in unsafe:
        known = fragments[place]
        keys = pyarrow.dataset.get_partition_keys(known.partition_expression)
        true = pyarrow.dataset.scalar(True)
        bounds = functools.reduce(and_, [pyarrow.dataset.field(key) == value for key, value in keys.items()], true)
        fragments[place] = dataset.format.make_fragment(known.path, known.filesystem, partition_expression=bounds)
    return pyarrow.dataset.FileSystemDataset(fragments, dataset.schema, dataset.format, dataset.filesystem)

"""Frames of many rows appended to Delta tables: Spark writes the files, deltalake commits them.

Spark's own Delta writer counts statistics row by row, which takes as long as writing the rows, and plans several jobs
around each commit. The files' own footers hold the same statistics.
"""

from __future__ import annotations

import json
import shutil
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import deltalake
from deltalake.transaction import AddAction, RemoveAction
from pyarrow import parquet
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from sluice.schemas import Table
from sluice.tables.delta import Transaction
from sluice.tables.lake import Lake
from sluice.tables.rows import mark_of

# Spark leaves folders with such names out of every listing, and so do VACUUM and its likes.
_STAGING = "_staging"
_NO_PARTITION = "__HIVE_DEFAULT_PARTITION__"
_OPTIONS = {
    # A table has one writer: nobody else renames in its staging folder.
    "mapreduce.fileoutputcommitter.algorithm.version": "2",
    "mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
}


def append_many(frame: DataFrame, lake: Lake, table: Table, transaction: Transaction) -> None:
    """Appends the rows once, however often the batch is replayed.

    A death before the commit leaves files that no version names, as Spark's own writer does; those that are still
    staged go with the next append.

    Args:
        frame: the columns of the table, of its types or such as can be cast to them.
    """
    folder = Path(lake.table_path(table))
    target = deltalake.DeltaTable(folder)
    done = mark_of(target, table, transaction)
    if done is None:
        return
    staging = folder / _STAGING
    shutil.rmtree(staging, ignore_errors=True)
    columns = [F.col(name).cast(kind).alias(name) for name, kind in table.columns]
    writer = frame.select(*columns).write.options(**_OPTIONS)
    if table.partition_by:
        writer = writer.partitionBy(table.partition_by)
    writer.parquet(str(staging))
    # A frame without rows leaves a file without rows.
    found = {path: parquet.read_metadata(path) for path in sorted(staging.rglob("*.parquet"))}
    actions: list[AddAction | RemoveAction] = [
        _publish(path, folder, known, table) for path, known in found.items() if known.num_rows
    ]
    target.create_write_transaction(
        actions, "append", target.schema(), table.partition_by or None, commit_properties=done
    )
    shutil.rmtree(staging, ignore_errors=True)


def _publish(path: Path, folder: Path, known: parquet.FileMetaData, table: Table) -> AddAction:
    """Moves a staged file to its place, and gives what the log says of it."""
    place = path.relative_to(folder / _STAGING)
    (folder / place).parent.mkdir(exist_ok=True)
    path.rename(folder / place)
    status = (folder / place).stat()
    values: dict[str, str | None] = {}
    if table.partition_by:
        text = unquote(place.parent.name.partition("=")[2])
        values[table.partition_by] = None if text == _NO_PARTITION else text
    stats = json.dumps(_statistics(known, table), separators=(",", ":"))
    return AddAction(str(place), status.st_size, values, int(status.st_mtime * 1000), True, stats)


def _statistics(known: parquet.FileMetaData, table: Table) -> dict[str, Any]:
    """What Delta's log keeps of a file, from its footer; without the bounds that JSON cannot tell.

    https://github.com/delta-io/delta/blob/master/PROTOCOL.md#per-file-statistics
    """
    found: dict[str, Any] = {"numRecords": known.num_rows, "minValues": {}, "maxValues": {}, "nullCount": {}}
    places = {known.schema.column(place).path: place for place in range(known.num_columns)}
    for name in table.statistics:
        if name not in places:
            continue
        groups = [known.row_group(group).column(places[name]) for group in range(known.num_row_groups)]
        told = [group.statistics for group in groups]
        if any(each is None or not each.has_null_count for each in told):
            continue
        found["nullCount"][name] = sum(each.null_count for each in told)
        bounds = _bounds(groups)
        if bounds is not None:
            found["minValues"][name], found["maxValues"][name] = bounds
    return found


def _bounds(groups: list[parquet.ColumnChunkMetaData]) -> tuple[Any, Any] | None:
    """The least and the greatest value of a column; None where one is unknown, or beyond Python's years."""
    told = [group.statistics for group in groups if group.statistics.null_count < group.num_values]
    if not told or not all(each.has_min_max for each in told):
        return None
    try:
        return _told(min(each.min for each in told)), _told(max(each.max for each in told))
    except (OverflowError, ValueError):
        return None


def _told(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return value.isoformat() if isinstance(value, date) else value

"""Rows that replace others by their key, written without Spark: for few of them, among few.

The rows that stand at the times of the new ones, or all where the key has no time, are read, joined in DuckDB, and put
in place of themselves in one commit. Not deltalake's own merge: it writes texts as Arrow's string views, by which
Arrow's datasets cannot be filtered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import deltalake
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
from pyspark.sql import DataFrame

from sluice.schemas import Table
from sluice.tables.delta import Transaction, Upsert, meeting
from sluice.tables.lake import Lake
from sluice.tables.reading import connect, open_dataset
from sluice.tables.rows import arrow_schema, collected, in_columns, mark_of

# The files that are read and written anew, packed as they lie there.
_MOST_BYTES = 64 * 1024 * 1024
_MOST_TIMES = 1000

_JOINED = """
SELECT target.* FROM target WHERE NOT EXISTS (SELECT 1 FROM source WHERE {met} AND {update})
UNION ALL
SELECT source.* FROM source WHERE NOT EXISTS (SELECT 1 FROM target WHERE {met} AND NOT {update})
"""


def upsert_collected(frame: DataFrame, lake: Lake, table: Table, how: Upsert, transaction: Transaction) -> bool:
    """As `delta.upsert`, for the columns of the table and rows that fit into memory.

    Returns:
        False where nothing was done, because too much would have to be read and written anew.
    """
    target = deltalake.DeltaTable(lake.table_path(table))
    done = mark_of(target, table, transaction)
    if done is None:
        return True
    rows = collected(frame, table)
    if not rows.num_rows:
        return True
    reach = _reach_of(rows, table, how)
    dataset = open_dataset(target, lake.table_path(table))
    if reach is None or _size(dataset, reach) > _MOST_BYTES:
        return False
    _write_merged(target, dataset, rows, table, how, reach, done)
    return True


def upsert_rows(rows: Iterable[Mapping[str, Any]], lake: Lake, table: Table, how: Upsert) -> None:
    """Puts rows in place of those they meet, without a transaction of its own: for rows that may be written again.

    Args:
        rows: times with a zone; columns that are not given are null. They are written some at a time.
        how: its keys hold a time, by which the files are found that are written anew.
    """
    every = in_columns(rows, table)
    for start in range(0, every.num_rows, _MOST_TIMES):
        some = every.slice(start, _MOST_TIMES)
        reach = _reach_of(some, table, how)
        if reach is None:
            raise ValueError(f"{table.full_name}: a row without the time of its key")
        target = deltalake.DeltaTable(lake.table_path(table))
        _write_merged(target, open_dataset(target, lake.table_path(table)), some, table, how, reach, None)


def _write_merged(
    target: deltalake.DeltaTable,
    dataset: pyarrow.dataset.FileSystemDataset,
    rows: pa.Table,
    table: Table,
    how: Upsert,
    reach: Reach,
    done: deltalake.CommitProperties | None,
) -> None:
    known = dataset.to_table(columns=list(table.column_names), filter=reach.chosen)
    merged = _merged(known, rows, how).cast(arrow_schema(table))
    deltalake.write_deltalake(target, merged, mode="overwrite", predicate=reach.predicate, commit_properties=done)


@dataclass(frozen=True)
class Reach:
    """The part of a table in which rows can be met.

    Attributes:
        predicate: SQL for deltalake; None for all of the table.
        chosen: the same for Arrow.
    """

    predicate: str | None
    chosen: pc.Expression | None


def _reach_of(rows: pa.Table, table: Table, how: Upsert) -> Reach | None:
    """Where the given rows can meet others; None where they have too many times to be named."""
    times = [key for key in how.keys if pa.types.is_timestamp(rows.schema.field(key).type)]
    if not times:
        return Reach(None, None)
    moments = rows[times[0]].unique()
    if len(moments) > _MOST_TIMES or moments.null_count:
        return None
    listed = ", ".join(f"'{moment:%Y-%m-%dT%H:%M:%S.%fZ}'" for moment in moments.to_pylist())
    predicate = f"{times[0]} IN ({listed})"
    time, ends = pc.field(times[0]), pc.min_max(moments)
    # The ends are told too, since Arrow leaves no file out for a list.
    chosen = (time >= ends["min"]) & (time <= ends["max"]) & time.isin(moments)
    if table.partition_by:
        days = rows[table.partition_by].unique()
        dates = ", ".join(f"'{day}'" for day in days.to_pylist())
        predicate = f"{table.partition_by} IN ({dates}) AND {predicate}"
        chosen = pc.field(table.partition_by).isin(days) & chosen
    return Reach(predicate, chosen)


def _size(dataset: pyarrow.dataset.FileSystemDataset, reach: Reach) -> int:
    """Bytes of the files that may hold rows within reach, as their statistics tell."""
    paths = [fragment.path for fragment in dataset.get_fragments(filter=reach.chosen)]
    return sum(file.size for file in dataset.filesystem.get_file_info(paths))


def _merged(known: pa.Table, rows: pa.Table, how: Upsert) -> pa.Table:
    """The known rows, those that are met replaced, and the others."""
    connection = connect()
    try:
        connection.register("target", known)
        connection.register("source", rows)
        joined = _JOINED.format(met=meeting(how.keys), update=f"({how.update_when or 'true'})")
        return connection.sql(joined).to_arrow_table()
    finally:
        connection.close()

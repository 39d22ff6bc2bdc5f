"""Rows that replace others by their key, written without Spark: for few of them, among few.

The rows that stand at the times of the new ones, or all where the key has no time, are read, joined in DuckDB, and put
in place of themselves in one commit. Not deltalake's own merge: it writes texts as Arrow's string views, by which
Arrow's datasets cannot be filtered.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import deltalake
import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
from pyspark.sql import DataFrame

from sluice.schemas import Table
from sluice.tables.delta import Transaction, Upsert
from sluice.tables.lake import Lake
from sluice.tables.rows import arrow_schema, collected, write_once

# The files that are read and written anew, packed as they lie there.
_MOST_BYTES = 64 * 1024 * 1024
_MOST_TIMES = 1000
# Spark may write times as INT96, which Arrow takes for nanoseconds unless told.
_SPARK_TIMES = pyarrow.dataset.ParquetReadOptions(coerce_int96_timestamp_unit="us")

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
    rows = collected(frame, table)
    reach = _reach_of(rows, table, how)
    if reach is None or _size(deltalake.DeltaTable(lake.table_path(table)), reach) > _MOST_BYTES:
        return False

    def write(target: deltalake.DeltaTable, done: deltalake.CommitProperties) -> None:
        dataset = target.to_pyarrow_dataset(parquet_read_options=_SPARK_TIMES)
        known = dataset.to_table(columns=list(table.column_names), filter=reach.chosen)
        merged = _merged(known, rows, how).cast(arrow_schema(table))
        deltalake.write_deltalake(target, merged, mode="overwrite", predicate=reach.predicate, commit_properties=done)

    if rows.num_rows:
        write_once(write, lake, table, transaction)
    return True


@dataclass(frozen=True)
class Reach:
    """The part of a table in which rows can be met.

    Attributes:
        predicate: SQL for deltalake; None for all of the table.
        chosen: the same for Arrow.
        time: the column of the key that bounds it, with its least and greatest value; None for none.
    """

    predicate: str | None
    chosen: pc.Expression | None
    time: tuple[str, pa.Scalar, pa.Scalar] | None


def _reach_of(rows: pa.Table, table: Table, how: Upsert) -> Reach | None:
    """Where the given rows can meet others; None where they have too many times to be named."""
    times = [key for key in how.keys if pa.types.is_timestamp(rows.schema.field(key).type)]
    if not times or not rows.num_rows:
        return Reach(None, None, None)
    moments = rows[times[0]].unique()
    if len(moments) > _MOST_TIMES or moments.null_count:
        return None
    ends = pc.min_max(moments)
    listed = ", ".join(f"'{moment:%Y-%m-%dT%H:%M:%S.%fZ}'" for moment in _python(moments))
    predicate, chosen = f"{times[0]} IN ({listed})", pc.field(times[0]).isin(moments)
    if table.partition_by:
        days = rows[table.partition_by].unique()
        dates = ", ".join(f"'{day}'" for day in days.to_pylist())
        predicate = f"{table.partition_by} IN ({dates}) AND {predicate}"
        chosen = pc.field(table.partition_by).isin(days) & chosen
    return Reach(predicate, chosen, (times[0], ends["min"], ends["max"]))


def _python(moments: pa.Array) -> list[datetime]:
    found: list[datetime] = moments.to_pylist()
    return found


def _size(target: deltalake.DeltaTable, reach: Reach) -> int:
    """Bytes of the files that may hold rows within reach, as their statistics tell."""
    files = pa.RecordBatchReader.from_stream(target.get_add_actions(flatten=True)).read_all()
    if reach.time and f"min.{reach.time[0]}" in files.column_names:
        name, low, high = reach.time
        starts_before = pc.less_equal(files[f"min.{name}"].cast(high.type), high)
        ends_after = pc.greater_equal(files[f"max.{name}"].cast(low.type), low)
        files = files.filter(pc.fill_null(pc.and_(starts_before, ends_after), True))
    return pc.sum(files["size_bytes"]).as_py() or 0


def _merged(known: pa.Table, rows: pa.Table, how: Upsert) -> pa.Table:
    """The known rows, those that are met replaced, and the others."""
    connection = duckdb.connect(config={"python_enable_replacements": "false"})
    try:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("target", known)
        connection.register("source", rows)
        met = " AND ".join(f'target."{key}" IS NOT DISTINCT FROM source."{key}"' for key in how.keys)
        update = f"({how.update_when or 'true'})"
        return connection.sql(_JOINED.format(met=met, update=update)).to_arrow_table()
    finally:
        connection.close()

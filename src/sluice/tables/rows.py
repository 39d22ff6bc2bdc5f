"""Delta tables without Spark: creating them, and writing few rows."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import deltalake
import pyarrow as pa
from pyspark.sql import DataFrame

from sluice.errors import LakeTooNew
from sluice.schemas import LAYER_TABLES, Table
from sluice.tables.delta import Transaction
from sluice.tables.lake import Lake

logger = logging.getLogger("sluice")

_ARROW_TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "binary": pa.binary(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "array<string>": pa.list_(pa.string()),
    "map<string,bigint>": pa.map_(pa.string(), pa.int64()),
    "array<struct<key:string,value:binary>>": pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())])),
}
_PROPERTIES = {
    # All four readers (Spark, DuckDB, Polars, deltalake) must be able to open every table.
    "delta.enableDeletionVectors": "false",
    # One commit a second: a checkpoint of the log every 100 keeps its cost below that of the commits.
    "delta.checkpointInterval": "100",
    "delta.logRetentionDuration": "interval 30 days",
    "delta.deletedFileRetentionDuration": "interval 7 days",
}


def arrow_schema(table: Table) -> pa.Schema:
    """A table's columns as Arrow types."""
    return pa.schema([(name, _ARROW_TYPES[kind]) for name, kind in table.columns])


def create_tables(lake: Lake, layer: str) -> None:
    """Creates the tables that the layer's job owns, where they are absent, and brings those of an older Sluice up.

    Raises:
        LakeTooNew: a table has a column of another type than this version writes.
    """
    for table in LAYER_TABLES[layer]:
        create_table(lake, table)
        migrate_table(lake, table)


def create_table(lake: Lake, table: Table) -> None:
    """Creates a table where it is absent; Spark would plan and run a job for each."""
    if not lake.has_table(table):
        deltalake.DeltaTable.create(
            lake.table_path(table),
            arrow_schema(table),
            partition_by=table.partition_by or None,
            configuration=_properties(table),
        )


def migrate_table(lake: Lake, table: Table) -> None:
    """Adds the columns and the statistics that a table made by an older Sluice lacks; its rows are null there.

    Raises:
        LakeTooNew: a column has another type than this version writes.
    """
    target = deltalake.DeltaTable(lake.table_path(table))
    found = {field.name: field for field in target.schema().fields}
    wanted = deltalake.Schema.from_arrow(arrow_schema(table)).fields
    if changed := [field.name for field in wanted if field.name in found and found[field.name].type != field.type]:
        raise LakeTooNew(
            f"{table.full_name} in {lake.path} has another type in {', '.join(changed)} than this version writes",
            "install the version of Sluice that wrote it, or set lake.path to another folder",
        )
    if new := [field for field in wanted if field.name not in found]:
        target.alter.add_columns(new)
        logger.info("%s: columns added to the lake: %s", table.full_name, ", ".join(field.name for field in new))
    known = target.metadata().configuration
    if stale := {key: value for key, value in _properties(table).items() if known.get(key) != value}:
        target.alter.set_table_properties(stale)


def _properties(table: Table) -> dict[str, str]:
    return {**_PROPERTIES, "delta.dataSkippingStatsColumns": ",".join(table.statistics)}


def append_rows(rows: Iterable[Mapping[str, Any]], lake: Lake, table: Table, transaction: Transaction) -> None:
    """Appends a few rows once, however often it is repeated; in a hundredth of the time that Spark takes.

    Args:
        rows: times with a zone; columns that are not given are null.

    Raises:
        ValueError: a row has a column that the table lacks.
    """
    target = deltalake.DeltaTable(lake.table_path(table))
    if done := mark_of(target, table, transaction):
        deltalake.write_deltalake(target, in_columns(rows, table), mode="append", commit_properties=done)


def append_collected(frame: DataFrame, lake: Lake, table: Table, transaction: Transaction) -> None:
    """Appends the rows of a frame once, however often the batch is replayed; they must fit into memory.

    Args:
        frame: the columns of the table.
    """
    target = deltalake.DeltaTable(lake.table_path(table))
    if done := mark_of(target, table, transaction):
        deltalake.write_deltalake(target, collected(frame, table), mode="append", commit_properties=done)


def mark_of(target: deltalake.DeltaTable, table: Table, transaction: Transaction) -> deltalake.CommitProperties | None:
    """What a commit carries so that its transaction is known as done; None where it is done already."""
    app_id = transaction.app_id(table)
    known = target.transaction_version(app_id)
    if known is not None and known >= transaction.version:
        return None
    return deltalake.CommitProperties(app_transactions=[deltalake.Transaction(app_id, transaction.version)])


def collected(frame: DataFrame, table: Table) -> pa.Table:
    """The rows of a frame, in the columns of a table."""
    rows = frame.toArrow().select(table.column_names).cast(arrow_schema(table))
    # Copied, since Spark sends texts in empty lists without their offsets, on which deltalake's writer panics.
    return rows.take(pa.array(range(rows.num_rows), pa.int64()))


def replace_days(rows: Iterable[Mapping[str, Any]] | pa.Table, lake: Lake, table: Table, days: Iterable[date]) -> None:
    """Puts the rows in place of whole days of a table that is partitioned by day, in one commit.

    Args:
        rows: of those days; a day without rows is empty afterwards. An Arrow table has the columns of the table.
    """
    listed = ", ".join(f"'{day}'" for day in sorted(days))
    deltalake.write_deltalake(
        lake.table_path(table),
        rows if isinstance(rows, pa.Table) else in_columns(rows, table),
        mode="overwrite",
        predicate=f"{table.partition_by} IN ({listed})",
    )


def replace_values(
    rows: pa.Table, lake: Lake, table: Table, column: str, values: Collection[str] | None = None
) -> None:
    """Puts the rows in place of all that have one of some values in a column, in one commit.

    Args:
        rows: in the columns of the table.
        values: few; None for the whole table.
    """
    quoted = ", ".join("'" + value.replace("'", "''") + "'" for value in values or ())
    predicate = None if values is None else f"{column} IN ({quoted})"
    deltalake.write_deltalake(lake.table_path(table), rows, mode="overwrite", predicate=predicate)


def in_columns(rows: Iterable[Mapping[str, Any]], table: Table) -> pa.Table:
    """Rows in the columns of a table.

    Raises:
        ValueError: a row has a column that the table lacks.
    """
    complete = []
    for row in rows:
        if unknown := set(row) - set(table.column_names):
            raise ValueError(f"{table.full_name} has no {', '.join(sorted(unknown))}")
        complete.append({name: _entries(value) for name, value in row.items()})
    return pa.Table.from_pylist(complete, arrow_schema(table))


def _entries(value: Any) -> Any:
    return list(value.items()) if isinstance(value, Mapping) else value


def read_rows(lake: Lake, table: Table, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Columns of a table's rows; for tables that fit into memory."""
    rows: list[dict[str, Any]] = (
        deltalake.DeltaTable(lake.table_path(table)).to_pyarrow_table(columns=list(columns)).to_pylist()
    )
    return rows

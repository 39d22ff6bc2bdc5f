"""Frames into Delta tables, once: their rows are written by Spark where they are many, by deltalake where they are few.

Spark plans and runs jobs for any write, about a second of it however few the rows are; collected and written by
deltalake they take a tenth of that. Each knows the other's transactions.
"""

from __future__ import annotations

from pyspark.sql import DataFrame

from sluice.schemas import Table
from sluice.tables import delta, rows
from sluice.tables.delta import Transaction, Upsert
from sluice.tables.lake import Lake
from sluice.tables.many_rows import append_many
from sluice.tables.small_upsert import upsert_collected

# Rows of short texts and numbers, of which this many surely fit into memory.
FEW_ROWS = 50_000


def append(frame: DataFrame, lake: Lake, table: Table, transaction: Transaction, *, is_few: bool) -> None:
    """Appends the rows, however often the batch is replayed.

    Args:
        frame: the columns of the table.
        is_few: whether its rows surely fit into memory.
    """
    write = rows.append_collected if is_few else append_many
    write(frame, lake, table, transaction)


def upsert(frame: DataFrame, lake: Lake, table: Table, how: Upsert, transaction: Transaction, *, is_few: bool) -> None:
    """Replaces rows whose key is there and adds the others, however often the batch is replayed.

    Args:
        frame: the columns of the table.
        is_few: whether its rows surely fit into memory.
    """
    if not (is_few and upsert_collected(frame, lake, table, how, transaction)):
        delta.upsert(frame, lake, table, how, transaction)

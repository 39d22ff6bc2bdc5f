"""The tables of an operational store: what they are called, their columns, keys and indexes. Data only.

Columns follow schemas.py, so that what gold gets the store has too; a column of a nested type, and the one that the
Delta table is partitioned by, stay in the lake.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from sluice.schemas import GOLD_LATEST_READINGS, GOLD_READINGS_1MIN, Columns, Table

# What a store can hold, by Spark's name of the type; times are read as microseconds since 1970.
ARROW_TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "binary": pa.binary(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}


@dataclass(frozen=True)
class StoreTable:
    """One table of the store.

    Attributes:
        name: in the store.
        source: the Delta table it is made of.
        columns: (name, Spark SQL type), those of the key among them.
        key: the primary key; never null.
        indexes: further columns, or groups of them, that rows are looked for by.
        dated_by: the column that says how old a row is, for retention; empty where none goes.
    """

    name: str
    source: str
    columns: Columns
    key: tuple[str, ...]
    indexes: tuple[tuple[str, ...], ...] = ()
    dated_by: str = ""

    @property
    def column_names(self) -> tuple[str, ...]:
        """The columns' names in order."""
        return tuple(name for name, _ in self.columns)

    @property
    def values(self) -> tuple[str, ...]:
        """The columns beside the key."""
        return tuple(name for name in self.column_names if name not in self.key)

    @property
    def arrow_schema(self) -> pa.Schema:
        """The columns as Arrow types."""
        return pa.schema([(name, ARROW_TYPES[kind]) for name, kind in self.columns])


def _columns_of(table: Table) -> Columns:
    return tuple((name, kind) for name, kind in table.columns if kind in ARROW_TYPES and name != table.partition_by)


READINGS_1MIN = StoreTable(
    "readings_1min",
    GOLD_READINGS_1MIN.full_name,
    _columns_of(GOLD_READINGS_1MIN),
    ("device_id", "metric", "bucket"),
    (("bucket",),),
    "bucket",
)
# Its name leaves `latest_readings` to the view that knows the devices.
READINGS_LATEST = StoreTable(
    "readings_latest",
    GOLD_LATEST_READINGS.full_name,
    _columns_of(GOLD_LATEST_READINGS),
    ("device_id", "metric"),
    (("event_time",),),
)
DEVICES = StoreTable(
    "devices",
    "gold.devices",
    (
        ("device_id", "string"),
        ("customer", "string"),
        ("site", "string"),
        ("latitude", "double"),
        ("longitude", "double"),
        ("expected_interval_seconds", "double"),
        ("metric", "string"),
        ("unit", "string"),
        ("min", "double"),
        ("max", "double"),
        ("valid_from", "timestamp"),
        ("valid_to", "timestamp"),
    ),
    ("device_id", "metric", "valid_from"),
    (("customer", "site"),),
)
STORE_TABLES = (DEVICES, READINGS_1MIN, READINGS_LATEST)

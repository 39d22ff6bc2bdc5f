"""Tables that no job has created yet, as DuckDB views without rows but with the right columns. Pure."""

from __future__ import annotations

import re

from sluice.schemas import TABLES

_COLUMNS = {table.full_name: table.columns for table in TABLES}
_NESTED = re.compile(r"(array|map|struct)<(.*)>")
_TYPES = {
    "string": "VARCHAR",
    "int": "INTEGER",
    "bigint": "BIGINT",
    "double": "DOUBLE",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
    "binary": "BLOB",
}


def empty_view(name: str) -> str:
    """The SQL that creates a table of schemas.py, e.g. `gold.held`, as a view without rows."""
    layer, table = name.split(".")
    columns = ", ".join(f'NULL::{duckdb_type(kind)} AS "{column}"' for column, kind in _COLUMNS[name])
    return f"CREATE SCHEMA IF NOT EXISTS {layer}; CREATE VIEW {layer}.{table} AS SELECT {columns} WHERE false"


def duckdb_type(spark_type: str) -> str:
    """DuckDB's name of a Spark SQL type of schemas.py; nested types go one level of comma deep."""
    found = _NESTED.fullmatch(spark_type)
    if found is None:
        return _TYPES[spark_type]
    kind, inside = found.groups()
    if kind == "array":
        return f"{duckdb_type(inside)}[]"
    if kind == "map":
        return f"MAP({', '.join(duckdb_type(part) for part in inside.split(','))})"
    fields = (field.split(":") for field in inside.split(","))
    return "STRUCT(" + ", ".join(f'"{name}" {duckdb_type(each)}' for name, each in fields) + ")"

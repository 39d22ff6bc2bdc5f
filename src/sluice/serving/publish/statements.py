"""The SQL by which a store's tables are made and changed, in the dialects of PostgreSQL and SQLite. Pure.

All names are our own; values are always bound.
"""

# ruff: noqa: S608 (our own names; values are bound)

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sluice.serving.publish.tables import StoreTable

PROGRESS = "sluice_progress"
REFUSED = "sluice_refused"
PROGRESS_COLUMNS = (
    ("table_name", "string"),
    ("source", "string"),
    ("source_id", "string"),
    ("version", "bigint"),
    ("kept_from", "timestamp"),
    ("published_at", "timestamp"),
    ("written_by", "string"),
)
REFUSED_COLUMNS = (("table_name", "string"), ("row_key", "string"), ("row_json", "string"), ("reason", "string"))
BOOKS = {
    PROGRESS: (PROGRESS_COLUMNS, ("table_name",)),
    REFUSED: (REFUSED_COLUMNS, ("table_name", "row_key")),
}


@dataclass(frozen=True)
class Dialect:
    """How a database writes what differs.

    Attributes:
        prefix: stands before the name of a table or view, with its dot.
        temporary: the same for temporary tables.
        types: by Spark's name of a type.
        mark: of a bound value.
        distinct: compares two rows, null being equal to null.
    """

    prefix: str
    temporary: str
    types: Mapping[str, str]
    mark: str
    distinct: str


def quoted(names: Sequence[str], before: str = "") -> str:
    """A list of column names."""
    return ", ".join(f'{before}"{name}"' for name in names)


def create_table(dialect: Dialect, name: str, columns: Sequence[tuple[str, str]], key: Sequence[str]) -> str:
    """A table where it is absent."""
    lines = [f'"{column}" {dialect.types[kind]}{" NOT NULL" if column in key else ""}' for column, kind in columns]
    return f'CREATE TABLE IF NOT EXISTS {dialect.prefix}"{name}" ({", ".join(lines)}, PRIMARY KEY ({quoted(key)}))'


def add_column(dialect: Dialect, table: str, column: str, kind: str) -> str:
    """A column that a table of an older version lacks."""
    return f'ALTER TABLE {dialect.prefix}"{table}" ADD COLUMN "{column}" {dialect.types[kind]}'


def create_index(dialect: Dialect, table: StoreTable, columns: Sequence[str], schema: str = "") -> str:
    """An index where it is absent; its name says its columns."""
    name = f'{schema}"{table.name}_by_{"_".join(columns)}"'
    return f'CREATE INDEX IF NOT EXISTS {name} ON {dialect.prefix}"{table.name}" ({quoted(columns)})'


def staging(table: StoreTable) -> str:
    """The name of the temporary table that rows are brought into."""
    return f"sluice_new_{table.name}"


def staging_gone(table: StoreTable) -> str:
    """The name of the temporary table that keys of deleted rows are brought into."""
    return f"sluice_gone_{table.name}"


def upsert(dialect: Dialect, table: StoreTable) -> str:
    """Brings the new rows into the table; those that are there as they are stay untouched and uncounted."""
    target = f'{dialect.prefix}"{table.name}"'
    sets = ", ".join(f'"{name}" = excluded."{name}"' for name in table.values)
    now, then = quoted(table.values, f'"{table.name}".'), quoted(table.values, "excluded.")
    return (
        f"INSERT INTO {target} ({quoted(table.column_names)}) "
        f"SELECT {quoted(table.column_names)} FROM {dialect.temporary}{staging(table)} WHERE true "
        f"ON CONFLICT ({quoted(table.key)}) DO UPDATE SET {sets} WHERE ({now}) {dialect.distinct} ({then})"
    )


def delete_gone(dialect: Dialect, table: StoreTable) -> str:
    """Deletes the rows whose keys were brought."""
    return _delete(dialect, table, "EXISTS", staging_gone(table))


def delete_others(dialect: Dialect, table: StoreTable) -> str:
    """Deletes the rows that are not among those that were brought."""
    return _delete(dialect, table, "NOT EXISTS", staging(table))


def _delete(dialect: Dialect, table: StoreTable, which: str, staged: str) -> str:
    met = " AND ".join(f's."{name}" = "{table.name}"."{name}"' for name in table.key)
    return (
        f'DELETE FROM {dialect.prefix}"{table.name}" '
        f"WHERE {which} (SELECT 1 FROM {dialect.temporary}{staged} s WHERE {met})"
    )


def delete_older(dialect: Dialect, table: StoreTable) -> str:
    """Deletes the rows that are dated before a bound time."""
    return f'DELETE FROM {dialect.prefix}"{table.name}" WHERE "{table.dated_by}" < {dialect.mark}'


def select_progress(dialect: Dialect) -> str:
    """What is known of a table by its bound name."""
    names = quoted([name for name, _ in PROGRESS_COLUMNS][1:])
    return f'SELECT {names} FROM {dialect.prefix}"{PROGRESS}" WHERE table_name = {dialect.mark}'


def save_progress(dialect: Dialect) -> str:
    """Notes what is known of a table; all columns bound."""
    names = [name for name, _ in PROGRESS_COLUMNS]
    sets = ", ".join(f'"{name}" = excluded."{name}"' for name in names[1:])
    marks = ", ".join([dialect.mark] * len(names))
    return (
        f'INSERT INTO {dialect.prefix}"{PROGRESS}" ({quoted(names)}) VALUES ({marks}) '
        f"ON CONFLICT (table_name) DO UPDATE SET {sets}"
    )


def forget_progress(dialect: Dialect) -> str:
    """Makes a table, by its bound name, one that was never published."""
    return f'DELETE FROM {dialect.prefix}"{PROGRESS}" WHERE table_name = {dialect.mark}'


def select_refused(dialect: Dialect) -> str:
    """The keys of the rows that stand refused of a table, by its bound name."""
    return f'SELECT row_key FROM {dialect.prefix}"{REFUSED}" WHERE table_name = {dialect.mark}'


def forget_refused(dialect: Dialect) -> str:
    """Takes one refused row off; table name and key bound."""
    return f'DELETE FROM {dialect.prefix}"{REFUSED}" WHERE table_name = {dialect.mark} AND row_key = {dialect.mark}'


def save_refused(dialect: Dialect) -> str:
    """Notes a refused row; all columns bound."""
    marks = ", ".join([dialect.mark] * len(REFUSED_COLUMNS))
    return f'INSERT INTO {dialect.prefix}"{REFUSED}" VALUES ({marks}) ON CONFLICT DO NOTHING'

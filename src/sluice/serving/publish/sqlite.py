"""The store in a SQLite file, for where there is no PostgreSQL: the same tables, keys and views.

Times are texts, RFC 3339 in UTC with microseconds, which sort as they follow each other and which SQLite's functions
read. NaN, which SQLite does not have, is null.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from sluice.errors import DiskFull, StoreDown, StoreLocked, StoreRefused
from sluice.serving.publish import statements
from sluice.serving.publish.carrying import carry_over
from sluice.serving.publish.difference import Difference, Row
from sluice.serving.publish.statements import BOOKS, Dialect
from sluice.serving.publish.store import Counts, Progress, missing_columns
from sluice.serving.publish.tables import STORE_TABLES, StoreTable
from sluice.serving.publish.views import sqlite_views
from sluice.serving.values import printable

_TYPES = {
    "string": "TEXT",
    "binary": "BLOB",
    "int": "INTEGER",
    "bigint": "INTEGER",
    "double": "REAL",
    "timestamp": "TEXT",
}
_DIALECT = Dialect("", "temp.", _TYPES, "?", "IS NOT")
_BUSY_SECONDS = 30.0


class SqliteStore:
    """Gold in a SQLite file; see `Store`."""

    dialect = _DIALECT
    takes_nul = True

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: int) -> None:
        self._path = path
        self._connection = connection
        self._lock = lock

    @classmethod
    def open(cls, path: Path) -> SqliteStore:
        """Opens or creates the file, and keeps other publishers out.

        Raises:
            StoreDown: it cannot be opened.
            StoreLocked: another process publishes to it.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StoreDown(f"SQLite {path}: {error.strerror}", "check publish.path and its permissions") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with _naming(path):
                connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
                # Readers are not kept waiting by a transaction, nor it by them.
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
        except BlockingIOError:
            os.close(lock)
            raise StoreLocked(f"another process publishes to {path}", "let it do the work, or stop it first") from None
        except BaseException:
            os.close(lock)
            raise
        return cls(path, connection, lock)

    @property
    def name(self) -> str:
        """The path."""
        return f"SQLite {self._path}"

    def naming_errors(self) -> Any:
        """Turns errors of sqlite3 into ours."""
        return _naming(self._path)

    def prepare(self, retention_days: int | None) -> None:  # noqa: ARG002 (nothing there deletes by itself)
        """Makes tables, indexes and views."""
        with self._transaction():
            for name, (columns, key) in BOOKS.items():
                self._make_table(name, columns, key)
            for table in STORE_TABLES:
                if self._make_table(table.name, table.columns, table.key):
                    self._connection.execute(statements.forget_progress(_DIALECT), [table.name])
                for index in table.indexes:
                    self._connection.execute(statements.create_index(_DIALECT, table, index))
            for name, select in sqlite_views().items():
                self._make_view(name, f'CREATE VIEW "{name}" AS {select}')

    def _make_table(self, name: str, columns: Any, key: Any) -> bool:
        found = {row[1]: row[2] for row in self._connection.execute(f'PRAGMA table_info("{name}")')}
        if not found:
            self._connection.execute(statements.create_table(_DIALECT, name, columns, key))
            return False
        kinds = dict(columns)
        wanted = [(column, _TYPES[kind]) for column, kind in columns]
        missing = missing_columns(self.name, name, wanted, found)
        for column, _ in missing:
            self._connection.execute(statements.add_column(_DIALECT, name, column, kinds[column]))
        return bool(missing)

    def _make_view(self, name: str, text: str) -> None:
        found = self._connection.execute("SELECT type, sql FROM sqlite_master WHERE name = ?", [name]).fetchone()
        if found == ("view", text):
            return
        if found is not None and found[0] != "view":
            raise StoreRefused(f"{self.name} has a {found[0]} {name}", "publish to another file (publish.path)")
        self._connection.execute(f'DROP VIEW IF EXISTS "{name}"')
        self._connection.execute(text)

    def progress(self, table: StoreTable) -> Progress | None:
        """What was last published of a table."""
        row = self._connection.execute(statements.select_progress(_DIALECT), [table.name]).fetchone()
        return Progress(row[0], row[1], row[2], _parse(row[3])) if row else None

    def publish(self, table: StoreTable, difference: Difference | None, progress: Progress, now: datetime) -> Counts:
        """Carries over a difference in one transaction."""
        with self._transaction():
            return carry_over(self, table, difference, progress, now)

    def execute(self, text: str, values: Sequence[Any] = ()) -> int:
        """Carries a statement out; how many rows it changed."""
        return self._connection.execute(text, _stored(values)).rowcount

    def rows(self, text: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The answer to a query."""
        return self._connection.execute(text, _stored(values)).fetchall()

    def fill(self, staging: str, table: StoreTable, columns: tuple[str, ...], rows: Iterable[Row]) -> None:
        """Makes a temporary table, in place of that of an earlier transaction, and brings rows into it."""
        kinds = dict(table.columns)
        described = ", ".join(f'"{name}" {_TYPES[kinds[name]]}' for name in columns)
        self._connection.execute(f"DROP TABLE IF EXISTS temp.{staging}")
        key = statements.quoted(table.key)
        self._connection.execute(f"CREATE TEMPORARY TABLE {staging} ({described}, PRIMARY KEY ({key}))")
        marks = ", ".join("?" * len(columns))
        self._connection.executemany(f"INSERT INTO temp.{staging} VALUES ({marks})", map(_stored, rows))  # noqa: S608

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def close(self) -> None:
        """Closes the file and lets go of the lock."""
        self._connection.close()
        os.close(self._lock)


def _stored(row: Sequence[Any]) -> Row:
    return tuple(_text(value) if isinstance(value, datetime) else value for value in row)


def _text(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _parse(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text.replace("Z", "+00:00"))


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if "full" in str(error):
            raise DiskFull(f"{path}") from None
        raise StoreDown(f"SQLite {path}: {printable(str(error))}", "check who else has the file open") from None
    except sqlite3.Error as error:
        raise StoreRefused(
            f"SQLite {path}: {printable(str(error))}", "publish to another file (publish.path)"
        ) from None

"""The store in PostgreSQL: rows by COPY into a temporary table, then one upsert, in a transaction with the progress."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from sluice.errors import StoreDown, StoreLocked, StoreRefused
from sluice.sections import PublishSettings
from sluice.serving.publish import statements
from sluice.serving.publish.carrying import carry_over
from sluice.serving.publish.difference import Difference, Row
from sluice.serving.publish.statements import BOOKS, Dialect
from sluice.serving.publish.store import Counts, Progress, missing_columns
from sluice.serving.publish.tables import STORE_TABLES, StoreTable
from sluice.serving.publish.timescale import timescale_statements
from sluice.serving.publish.views import postgres_views
from sluice.serving.values import printable

_TYPES = {
    "string": "text",
    "binary": "bytea",
    "int": "integer",
    "bigint": "bigint",
    "double": "double precision",
    "timestamp": "timestamp with time zone",
}
_CONNECT_SECONDS = 10
# A publisher that was killed while it waited for a lock would otherwise hold its own until it got the other.
_SESSION = ("SET TIME ZONE 'UTC'", "SET client_connection_check_interval = '1s'")
_PATIENCE_SECONDS, _POLL_SECONDS = 2.5, 0.1
_LONGEST_ERROR = 500


class PostgresStore:
    """Gold in a PostgreSQL database; see `Store`."""

    takes_nul = False

    def __init__(self, connection: psycopg.Connection[Any], settings: PublishSettings, password: str) -> None:
        self._connection = connection
        self._settings = settings
        self._password = password
        self._schema = f'"{settings.schema_name}"'
        prefix = f"{self._schema}."
        self.dialect = Dialect(prefix, "pg_temp.", _TYPES, "%s", "IS DISTINCT FROM")

    @classmethod
    def open(cls, dsn: str, settings: PublishSettings) -> PostgresStore:
        """Connects, and keeps other publishers out.

        Args:
            dsn: as libpq takes it; it has been parsed before.

        Raises:
            StoreDown: nobody answers, or not to this user.
            StoreLocked: another process publishes to the same schema.
        """
        given = psycopg.conninfo.conninfo_to_dict(dsn)
        password = str(given.get("password") or "")
        defaults = {"application_name": "sluice publish", "connect_timeout": _CONNECT_SECONDS}
        with _naming("PostgreSQL", password):
            connection = psycopg.connect(dsn, autocommit=True, **{**defaults, **given})  # type: ignore[arg-type]
        store = cls(connection, settings, password)
        try:
            with store.naming_errors():
                store._own()
        except BaseException:
            connection.close()
            raise
        return store

    @property
    def name(self) -> str:
        """Database, host and port."""
        info = self._connection.info
        return printable(f"PostgreSQL database {info.dbname} at {info.host}:{info.port}")

    def naming_errors(self) -> Any:
        """Turns errors of psycopg into ours, without the password."""
        return _naming(self.name if not self._connection.closed else "PostgreSQL", self._password)

    def _own(self) -> None:
        for text in _SESSION:
            self._connection.execute(text)
        digest = hashlib.sha256(f"sluice publish {self._settings.schema_name}".encode()).digest()
        key = int.from_bytes(digest[:8], "big", signed=True)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        # The server may still be about to find out that a publisher before this one was killed.
        while not self.rows("SELECT pg_try_advisory_lock(%s)", [key])[0][0]:
            if time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
                continue
            raise StoreLocked(
                f"another process publishes to the schema {self._settings.schema_name} of the {self.name}",
                "let it do the work, or stop it first",
            )

    def prepare(self, retention_days: int | None) -> None:
        """Makes schema, tables, indexes and views, and TimescaleDB's policies where the extension is installed."""
        with self._connection.transaction():
            self.execute(f"CREATE SCHEMA IF NOT EXISTS {self._schema}")
            for name, (columns, key) in BOOKS.items():
                self._make_table(name, columns, key)
            for table in STORE_TABLES:
                if self._make_table(table.name, table.columns, table.key):
                    self.execute(statements.forget_progress(self.dialect), [table.name])
                for index in table.indexes:
                    self.execute(statements.create_index(self.dialect, table, index))
            for name, select in postgres_views(self.dialect.prefix).items():
                self.execute(f'CREATE OR REPLACE VIEW {self.dialect.prefix}"{name}" AS {select}')
        if self.rows("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'"):
            settings = self._settings
            with self._connection.transaction():
                for text in timescale_statements(
                    self._schema, settings.chunk_days, settings.compress_after_days, retention_days
                ):
                    self.execute(text)

    def _make_table(self, name: str, columns: Any, key: Any) -> bool:
        """Returns: whether an older table got columns, so that its rows lack their values."""
        found = dict(
            self.rows(
                "SELECT column_name, data_type FROM information_schema.columns "
                "WHERE table_schema = %s AND table_name = %s",
                [self._settings.schema_name, name],
            )
        )
        if not found:
            self.execute(statements.create_table(self.dialect, name, columns, key))
            return False
        wanted = [(column, _TYPES[kind]) for column, kind in columns]
        kinds = dict(columns)
        missing = missing_columns(f"the {self.name}", name, wanted, found)
        for column, _ in missing:
            self.execute(statements.add_column(self.dialect, name, column, kinds[column]))
        return bool(missing)

    def progress(self, table: StoreTable) -> Progress | None:
        """What was last published of a table."""
        rows = self.rows(statements.select_progress(self.dialect), [table.name])
        return Progress(*rows[0][:4]) if rows else None

    def publish(self, table: StoreTable, difference: Difference | None, progress: Progress, now: datetime) -> Counts:
        """Carries over a difference in one transaction."""
        with self._connection.transaction():
            return carry_over(self, table, difference, progress, now)

    def fill(self, staging: str, table: StoreTable, columns: tuple[str, ...], rows: Iterable[Row]) -> None:
        """Makes a temporary table, gone after the transaction, and copies rows into it."""
        kinds = dict(table.columns)
        described = ", ".join(f'"{name}" {_TYPES[kinds[name]]}' for name in columns)
        self.execute(f"CREATE TEMPORARY TABLE {staging} ({described}) ON COMMIT DROP")
        with self._connection.cursor() as cursor:
            text = f"COPY pg_temp.{staging} FROM STDIN (FORMAT BINARY)"
            with cursor.copy(sql.SQL(text)) as copy:
                copy.set_types([_COPY_TYPES[kinds[name]] for name in columns])
                for row in rows:
                    copy.write_row(row)
        # Without it the planner takes a staging table of millions of rows for a small one.
        self.execute(f"ANALYZE pg_temp.{staging}")

    def execute(self, text: str, values: Sequence[Any] = ()) -> int:
        """Carries a statement out; how many rows it changed."""
        return self._connection.execute(sql.SQL(text), values or None).rowcount

    def rows(self, text: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The answer to a query."""
        return self._connection.execute(sql.SQL(text), values or None).fetchall()

    def close(self) -> None:
        """Ends the session, and with it its lock."""
        # Closing alone would leave the lock until the server has seen to it.
        with suppress(psycopg.Error):
            self._connection.execute("SELECT pg_advisory_unlock_all()")
        self._connection.close()


_COPY_TYPES = {**_TYPES, "int": "int4", "bigint": "int8", "double": "float8", "timestamp": "timestamptz"}


@contextmanager
def _naming(name: str, password: str) -> Iterator[None]:
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise StoreDown(f"{name}: {_told(error, password)}", "check that it runs and lets this user in") from None
    except psycopg.Error as error:
        raise StoreRefused(f"{name} refuses: {_told(error, password)}", "see docs/publish.md, what it needs") from None


def _told(error: psycopg.Error, password: str) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    if password:
        text = text.replace(password, "…")
    return printable(text)[:_LONGEST_ERROR]

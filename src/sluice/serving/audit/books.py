"""The tables of one lake for an audit: each at one version, read by DuckDB straight from its files.

The order of opening is the reverse of that of writing, so what a later table lacks an earlier one cannot speak of:
ledgers first, then what they tell of, each table before the one it was made from, bronze last. What was written in
between belongs to promotions that the ledger did not know, and is known by that.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb

from sluice.errors import BooksUnreadable, SluiceError
from sluice.schemas import (
    BRONZE_EVENTS,
    GOLD_ALERTS,
    GOLD_DEVICES,
    GOLD_HELD,
    GOLD_LATEST_READINGS,
    GOLD_READINGS_1DAY,
    GOLD_READINGS_1HOUR,
    GOLD_READINGS_1MIN,
    LAYER_TABLES,
    LEDGERS,
    OPS_GOLD_PROMOTIONS,
    OPS_SILVER_PROMOTIONS,
    REBUILD,
    SILVER_DUPLICATES,
    SILVER_HELD,
    SILVER_QUARANTINE,
    SILVER_READINGS,
    UPSTREAM,
    Table,
)
from sluice.serving.audit.findings import FIRST, Finding, Named
from sluice.serving.audit.pages import RESTORE, BookFile, Chunk, Pages, first_line, open_pages, source_of
from sluice.serving.lake import OpenLake
from sluice.tables.coverage import DEVICES, ROLLUPS, read_coverage
from sluice.tables.lake import Lake
from sluice.tables.reading import connect
from sluice.tables.requests import pending_requests

# What is derived from tables of its own layer; a lake of an older Sluice lacks it until the next start.
_DERIVED = (GOLD_READINGS_1DAY, GOLD_READINGS_1HOUR, GOLD_DEVICES)
_OPENED = (
    *_DERIVED,
    GOLD_ALERTS,
    OPS_GOLD_PROMOTIONS,
    GOLD_HELD,
    GOLD_READINGS_1MIN,
    GOLD_LATEST_READINGS,
    OPS_SILVER_PROMOTIONS,
    SILVER_HELD,
    SILVER_QUARANTINE,
    SILVER_DUPLICATES,
    SILVER_READINGS,
    BRONZE_EVENTS,
)
# Beyond it DuckDB works on in its temporary directory.
_MEMORY = "2GB"
# What DuckDB says of files, not of SQL.
_OF_FILES = (duckdb.IOException, duckdb.InvalidInputException, duckdb.OutOfMemoryException)
_NO_COLUMN = re.compile(r"column .* not found|does not have a column")


class Books:
    """The tables of a lake, each at one version, and the DuckDB session that reads them.

    Attributes:
        lake: the lake.
        scoped: whether only a part of the records is looked at.
        replaying: parts of gold that were to be made anew when the tables were about to be opened, as their requests
            say.
        rolled_up, registered: what hours and days, and devices, were made of when the tables were about to be opened.
        connection: views `layer.name` of the tables are made in it by `show`.
    """

    def __init__(self, lake: OpenLake) -> None:
        self.lake = lake
        self.scoped = False
        self.connection = connect()
        self.connection.execute("SET enable_progress_bar = false")
        self.connection.execute("SET preserve_insertion_order = false")
        self.connection.execute(f"SET memory_limit = '{_MEMORY}'")
        # Of its own: what two processes put into one directory gets mixed up.
        self._room = tempfile.TemporaryDirectory(prefix="sluice-audit-")
        self.connection.execute("SET temp_directory = ?", [self._room.name])
        # Before any table: what is asked for later has not touched what is opened now.
        self.replaying = asked_of_gold(lake.path)
        self.rolled_up, self.registered = (read_coverage(Lake(lake.path), name) for name in (ROLLUPS, DEVICES))
        self._pages: dict[Table, Pages | SluiceError | None] = {table: open_pages(lake, table) for table in _OPENED}
        # Once more, after all others: what a table holds of a promotion that even these do not know is unfinished.
        self._later = {table: open_pages(lake, table) for table in LEDGERS.values()}
        self._require_whole()

    @property
    def versions(self) -> dict[str, int]:
        """The version of each table that exists and can be opened, by its full name."""
        return {table.full_name: pages.version for table, pages in self._pages.items() if isinstance(pages, Pages)}

    def has(self, *tables: Table) -> bool:
        """Whether all of the tables exist."""
        return all(self._pages[table] is not None for table in tables)

    def pages(self, table: Table) -> Pages | None:
        """The table at its version; None where no job has created it.

        Raises:
            BooksUnreadable: it is there and cannot be opened.
        """
        return _raised(self._pages[table])

    def later_ledger(self, table: Table) -> Pages | None:
        """A ledger as it was after all other tables had been opened; raises as `pages`."""
        return _raised(self._later[table])

    def files(self, table: Table, days: Collection[int] | None = None) -> list[BookFile]:
        """The table's files, or those of some of its days."""
        pages = self.pages(table)
        found = pages.files if pages else ()
        return [file for file in found if days is None or file.day in days]

    def chunks(self, table: Table, most_rows: int, days: Collection[int] | None = None) -> Iterator[Chunk]:
        """The table in parts of about `most_rows`: some days, or where a day has more, a share of its devices.

        Args:
            days: only these; None for all.
        """
        rows: dict[int, int] = {}
        for file in self.files(table, days):
            if file.day is not None:
                rows[file.day] = rows.get(file.day, 0) + file.rows
        some: list[int] = []
        size = 0
        for day in sorted(rows):
            if some and size + rows[day] > most_rows:
                yield Chunk(tuple(some))
                some, size = [], 0
            if rows[day] > most_rows:
                shares = -(-rows[day] // most_rows)
                yield from (Chunk((day,), share, shares) for share in range(shares))
            else:
                some.append(day)
                size += rows[day]
        if some:
            yield Chunk(tuple(some))

    def source(self, table: Table, chunk: Chunk) -> str:
        """What stands after FROM to read a chunk of a table with a `device_id`."""
        source = source_of(table, self.files(table, chunk.days))
        if chunk.shares == 1:
            return source
        return f"(SELECT * FROM {source} WHERE hash(device_id) % {chunk.shares} = {chunk.share})"  # noqa: S608

    def show(self, table: Table, source: str) -> None:
        """Makes `layer.name` a view of a source."""
        self.run(f"CREATE SCHEMA IF NOT EXISTS {table.layer}")
        self.run(f"CREATE OR REPLACE VIEW {table.full_name} AS SELECT * FROM {source}")  # noqa: S608 (our own names)

    def run(self, sql: str, parameters: Sequence[object] = ()) -> duckdb.DuckDBPyConnection:
        """Carries a statement out.

        Raises:
            BooksUnreadable: a file is gone or damaged, or there is no room for what does not fit into memory.
        """
        try:
            return self.connection.execute(sql, list(parameters))
        except _OF_FILES as error:
            raise _unreadable(error) from None
        except duckdb.BinderException as error:
            if not _NO_COLUMN.search(str(error)):
                raise
            raise _unreadable(error) from None

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of an answer; raises as `run`."""
        result = self.run(sql, parameters)
        try:
            return result.fetchall()
        except _OF_FILES as error:
            raise _unreadable(error) from None

    def number(self, sql: str, parameters: Sequence[object] = ()) -> int:
        """The one number that an answer is, 0 for null; raises as `run`."""
        return int(self.rows(sql, parameters)[0][0] or 0)

    def finding(self, what: str, sql: str) -> list[Finding]:
        """What a query finds, named in order; nothing where it finds nothing.

        Args:
            sql: columns `item` and `detail`, texts.
        """
        rows = self.rows(f"SELECT item, detail, count(*) OVER () FROM ({sql}) ORDER BY ALL LIMIT {FIRST}")  # noqa: S608
        return [Finding(what, rows[0][2], tuple(Named(at, detail or "") for at, detail, _ in rows))] if rows else []

    def _require_whole(self) -> None:
        """A job creates all of its tables before it writes a row, the ledger last."""
        for layer, ledger in LEDGERS.items():
            own = [table for table in _OPENED if table in LAYER_TABLES[layer] and table not in _DERIVED]
            if self._pages[ledger] is not None:
                needed = [UPSTREAM[layer], *own]
            else:
                written = any(isinstance(self._pages[table], Pages) and self.files(table) for table in own)
                needed = [ledger] if written and self._later[ledger] is None else []
            for table in needed:
                if self._pages[table] is None:
                    raise BooksUnreadable(
                        f"the lake at {self.lake.path} has lost {table.full_name}: {layer} has been running on it",
                        RESTORE,
                    )


def asked_of_gold(lake: Path) -> list[str]:
    """The parts of gold that are to be made anew, as the requests say that wait for it."""
    return [each.subject for each in pending_requests(Lake(lake), "gold") if each.action == REBUILD]


def _raised(pages: Pages | SluiceError | None) -> Pages | None:
    if isinstance(pages, SluiceError):
        raise pages
    return pages


def _unreadable(error: duckdb.Error) -> BooksUnreadable:
    if isinstance(error, duckdb.OutOfMemoryException):
        return BooksUnreadable(
            f"no room to work in: {first_line(error)}", "free space where temporary files go (TMPDIR)"
        )
    return BooksUnreadable(f"the lake's files cannot be read: {first_line(error)}", RESTORE)

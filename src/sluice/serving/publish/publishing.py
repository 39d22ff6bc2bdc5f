"""One table of the lake brought to a store: what changed since the version it holds, or all where nothing tells."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote

import duckdb
import pyarrow as pa

from sluice.errors import LakeMissing, StoreRefused
from sluice.serving.lake import OpenLake
from sluice.serving.publish.difference import Difference, Row, between, given_rows, whole_table
from sluice.serving.publish.store import Progress, Store
from sluice.serving.publish.tables import StoreTable
from sluice.tables.changes import net_files
from sluice.tables.reading import add_actions

REGISTRY = "registry"


@dataclass(frozen=True)
class Published:
    """What became of one table.

    Attributes:
        table: in the store.
        source: the Delta table, or `registry`.
        from_version: that the store held before; None before the first time, and for the registry.
        to_version: that it holds now; None for the registry.
        upserted: rows that are new or other than before.
        deleted: rows that went.
        refused: rows that stand refused in the store's `sluice_refused`.
        whole: why all rows were compared, for people; empty where only changes were.
    """

    table: str
    source: str
    from_version: int | None
    to_version: int | None
    upserted: int
    deleted: int
    refused: int
    seconds: float
    whole: str


@dataclass(frozen=True)
class Publication:
    """How tables are published.

    Attributes:
        store: is prepared.
        kept_from: minutes before it are not kept in the store; None keeps all.
        again: compare all rows, and take over a store that holds another lake's.
        clock: the time now, UTC.
    """

    store: Store
    kept_from: datetime | None
    again: bool
    clock: Callable[[], datetime]

    def of_lake(self, lake: OpenLake, table: StoreTable) -> Published:
        """Publishes a Delta table at its newest version.

        Raises:
            LakeMissing: there is no such table, or a file of it went away meanwhile.
            StoreRefused: the store holds another lake's rows.
        """
        with _naming_lost_files(table):
            return self._of_lake(lake, table)

    def _of_lake(self, lake: OpenLake, table: StoreTable) -> Published:
        started = time.monotonic()
        delta = lake.delta(table.source)
        folder = lake.path / table.source.replace(".", "/")
        kept_from = self.kept_from if table.dated_by else None
        wanted = Progress(table.source, str(delta.metadata().id), delta.version(), kept_from)
        held = self.store.progress(table)
        self._check_lake(table, held, wanted)
        whole, difference = self._reason(held, wanted), None
        if not whole and held is not None and held.version != wanted.version:
            files = net_files(folder, held.version or 0, wanted.version or 0)
            if files is None:
                whole = f"the lake no longer tells what changed after version {held.version}"
            else:
                difference = between(table, files, kept_from)
        if whole:
            paths = [folder / unquote(str(path)) for path in add_actions(delta)["path"].to_pylist()]
            difference = whole_table(table, sorted(paths), kept_from)
        return self._published(table, held, wanted, started, whole, difference)

    def of_rows(self, table: StoreTable, source_id: str, rows: Sequence[Row]) -> Published:
        """Publishes rows that are no Delta table's.

        Args:
            source_id: a hash of them.
        """
        started = time.monotonic()
        wanted = Progress(REGISTRY, source_id, None, None)
        held = self.store.progress(table)
        difference = None if held == wanted and not self.again else given_rows(rows)
        return self._published(table, held, wanted, started, "", difference)

    def _check_lake(self, table: StoreTable, held: Progress | None, wanted: Progress) -> None:
        if held is None or self.again or held.source != wanted.source or held.source_id == wanted.source_id:
            return
        raise StoreRefused(
            f"{self.store.name} holds {table.source} of another lake, or of one that was made anew",
            "`sluice publish --again` puts this lake's rows in place of those",
        )

    def _reason(self, held: Progress | None, wanted: Progress) -> str:
        if held is None:
            return "for the first time"
        if self.again:
            return "as --again asks"
        if held.source_id != wanted.source_id:
            return f"it held what {held.source} says"
        if held.version is None or wanted.version is None or held.version > wanted.version:
            return f"the table went back from version {held.version}"
        if held.kept_from is not None and (wanted.kept_from is None or wanted.kept_from < held.kept_from):
            return "publish.retention_days keeps more than before"
        return ""

    def _published(
        self,
        table: StoreTable,
        held: Progress | None,
        wanted: Progress,
        started: float,
        whole: str,
        difference: Difference | None,
    ) -> Published:
        counts = self.store.publish(table, difference, wanted, self.clock())
        return Published(
            table.name,
            wanted.source,
            held.version if held and held.source_id == wanted.source_id else None,
            wanted.version,
            counts.upserted,
            counts.deleted,
            counts.refused,
            round(time.monotonic() - started, 3),
            whole,
        )


@contextmanager
def _naming_lost_files(table: StoreTable) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, pa.ArrowException, duckdb.Error) as error:
        raise LakeMissing(
            f"a file of {table.source} went away while it was read, or cannot be read: {type(error).__name__}",
            "publish again; `sluice audit` shows a file that is damaged",
        ) from error

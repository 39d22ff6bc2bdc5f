"""What an operational store is to those that write it; PostgreSQL and SQLite are the two that there are."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sluice.errors import StoreRefused
from sluice.serving.publish.difference import Difference
from sluice.serving.publish.tables import StoreTable
from sluice.serving.values import printable


@dataclass(frozen=True)
class Progress:
    """What a store holds of one table, noted in the transaction that brought the rows.

    Attributes:
        source: the Delta table, or what else the rows are of.
        source_id: the Delta table's id; of other sources a hash of the rows.
        version: of the Delta table; None for other sources.
        kept_from: rows dated before it were left out; None for none.
    """

    source: str
    source_id: str
    version: int | None
    kept_from: datetime | None


@dataclass(frozen=True)
class Counts:
    """What one transaction changed in a store's table.

    Attributes:
        upserted: rows that are new or other than before.
        deleted: rows that went.
        refused: rows that stand refused now, of this and earlier transactions.
    """

    upserted: int
    deleted: int
    refused: int


class Store(Protocol):
    """An open store, which no other process publishes to meanwhile."""

    @property
    def name(self) -> str:
        """What and where it is, for people; no password."""

    def prepare(self, retention_days: int | None) -> None:
        """Makes tables, indexes and views, or checks those that are there.

        Raises:
            StoreRefused: one is there in another form.
        """

    def progress(self, table: StoreTable) -> Progress | None:
        """What was last published of a table; None before the first time."""

    def publish(self, table: StoreTable, difference: Difference | None, progress: Progress, now: datetime) -> Counts:
        """Carries over a difference, and what is then published, in one transaction.

        Args:
            difference: None where only rows that grew too old are to go.
        """

    def naming_errors(self) -> AbstractContextManager[None]:
        """Turns the database's errors into ours."""

    def close(self) -> None:
        """Lets go of it; what no transaction ended is undone."""


def missing_columns(
    where: str, table: str, wanted: Sequence[tuple[str, str]], found: dict[str, str]
) -> list[tuple[str, str]]:
    """The columns that a table lacks, which an older version made.

    Args:
        where: the store, for people.
        wanted: (name, the database's type).
        found: the same of the table that is there.

    Raises:
        StoreRefused: it has columns of its own, or of other types.
    """
    types = dict(wanted)
    odd = [
        f"{name} {kind}" + (f", not {types[name]}" if name in types else " is not ours")
        for name, kind in found.items()
        if types.get(name) != kind
    ]
    if odd:
        raise StoreRefused(
            f"{where} has a table {table} in another form: {printable('; '.join(odd))}",
            "publish to another schema or file (publish.schema_name, publish.path), or drop that table",
        )
    return [(name, kind) for name, kind in wanted if name not in found]

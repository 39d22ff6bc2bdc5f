"""A difference carried over into a store's table, with what is then published: the body of one transaction."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from datetime import datetime
from importlib.metadata import version
from typing import Any, Protocol

from sluice.serving.publish import statements
from sluice.serving.publish.difference import Difference, Row
from sluice.serving.publish.refused import Sieve
from sluice.serving.publish.statements import Dialect
from sluice.serving.publish.store import Counts, Progress
from sluice.serving.publish.tables import StoreTable


class Session(Protocol):
    """A database in which a transaction is open."""

    @property
    def dialect(self) -> Dialect:
        """How it writes what differs."""

    @property
    def takes_nul(self) -> bool:
        """Whether its texts may hold the character NUL."""

    def execute(self, text: str, values: Sequence[Any] = ()) -> int:
        """Carries a statement out; how many rows it changed."""

    def rows(self, text: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The answer to a query."""

    def fill(self, staging: str, table: StoreTable, columns: tuple[str, ...], rows: Iterable[Row]) -> None:
        """Makes a temporary table of these columns of a table, and brings rows into it."""


def carry_over(
    session: Session, table: StoreTable, difference: Difference | None, progress: Progress, now: datetime
) -> Counts:
    """What was changed; counts of the store's table.

    Args:
        difference: None where only rows that grew too old are to go.
    """
    dialect = session.dialect
    known = frozenset(_refused(session, table))
    sieve = Sieve(table, session.takes_nul, known)
    upserted = deleted = 0
    if difference is not None:
        session.fill(statements.staging(table), table, table.column_names, sieve.rows(difference.rows))
        upserted = session.execute(statements.upsert(dialect, table))
        if difference.whole:
            deleted = session.execute(statements.delete_others(dialect, table))
        else:
            # What the store has of a row that it cannot hold now is no longer so.
            gone = itertools.chain(difference.gone, [sieve.refused_keys])
            session.fill(statements.staging_gone(table), table, table.key, sieve.keys(gone))
            deleted = session.execute(statements.delete_gone(dialect, table))
    if progress.kept_from is not None and table.dated_by:
        deleted += session.execute(statements.delete_older(dialect, table), [progress.kept_from])
    for key in known if difference is not None and difference.whole else sieve.settled:
        session.execute(statements.forget_refused(dialect), [table.name, key])
    for each in sieve.refused:
        session.execute(statements.save_refused(dialect), [table.name, each.key, each.row, each.reason])
    noted = (progress.source, progress.source_id, progress.version, progress.kept_from, now, version("sluice"))
    session.execute(statements.save_progress(dialect), [table.name, *noted])
    return Counts(upserted, deleted, len(_refused(session, table)))


def _refused(session: Session, table: StoreTable) -> list[str]:
    return [row[0] for row in session.rows(statements.select_refused(session.dialect), [table.name])]

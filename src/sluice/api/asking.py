"""What every endpoint is given: the lake as it is or was, whose rows may be seen, and the limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import pyarrow as pa

from sluice.api.limits import Deadline
from sluice.api.moments import parse_moment
from sluice.api.problems import Problem, wrong
from sluice.api.snapshot import LakeWatch, Snapshot, TableVersion
from sluice.api.sorted_files import SortedFiles
from sluice.schemas import TABLES
from sluice.sections import ServeSettings

_TABLES = {table.full_name: table for table in TABLES}
_ARROW = {
    "string": pa.string(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", "UTC"),
    "array<string>": pa.list_(pa.string()),
}
DEFAULT_LIMIT = 1000


class Rows(NamedTuple):
    """An answer: its rows as JSON, and where the next page begins.

    Attributes:
        items: a JSON array.
        same: what the answer's ETag is made of, if not of all that it holds.
    """

    items: bytes
    next_cursor: str | None = None
    same: bytes | None = None


@dataclass(frozen=True)
class Service:
    """What all requests share."""

    settings: ServeSettings
    watch: LakeWatch
    files: SortedFiles


@dataclass(frozen=True)
class Asked:
    """One request.

    Attributes:
        customers: whose rows it may see; None for all.
        now: the time of the request, in whole seconds.
        as_of: a version of the endpoint's own table, or a moment for all tables; None for the newest.
        main: the endpoint's own table.
    """

    service: Service
    snapshot: Snapshot
    customers: frozenset[str] | None
    now: datetime
    as_of: int | datetime | None
    main: str

    def table(self, name: str) -> TableVersion | None:
        """A table at the version asked for; None while no job has created it.

        Raises:
            Problem: 410, it has no such version, or no longer.
        """
        newest = self.snapshot.tables.get(name)
        if newest is None or self.as_of is None or (isinstance(self.as_of, int) and name != self.main):
            return newest
        return self.service.watch.at_version(name, self.as_of)

    @property
    def at(self) -> datetime:
        """The moment that ages are counted from."""
        return self.as_of if isinstance(self.as_of, datetime) else self.now

    def require_all(self, what: str) -> None:
        """Refuses a key that may not see all customers.

        Raises:
            Problem: 403.
        """
        if self.customers is not None:
            raise Problem(403, f"{what}: about the rows of all customers; it takes a key for all of them")


@dataclass(frozen=True)
class Question:
    """A request with the time it has left."""

    asked: Asked
    deadline: Deadline


def parse_as_of(text: str | None, customers: frozenset[str] | None, now: datetime) -> int | datetime | None:
    """What `as_of` means: a number of a version, or a moment.

    Raises:
        Problem: 422, it is neither, or a moment still to come; 403, versions count the commits of all customers.
    """
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        if customers is not None:
            raise Problem(403, "as_of: a version is for keys of all customers; give a time")
        if len(text) > 15:
            raise wrong("as_of", "there is no such version")
        return int(text)
    moment = parse_moment("as_of", text)
    if moment > now:
        raise wrong("as_of", "lies in the future")
    return moment


def row_limit(limit: int | None, settings: ServeSettings) -> int:
    """How many rows a page may have.

    Raises:
        Problem: 422, more than the server gives at once.
    """
    if limit is not None and limit > settings.max_rows:
        raise wrong("limit", f"at most {settings.max_rows}; the rest comes page by page")
    return limit if limit is not None else min(DEFAULT_LIMIT, settings.max_rows)


def arrow_columns(name: str, columns: Sequence[str]) -> pa.Schema:
    """Columns of a table of schemas.py as Arrow types."""
    kinds = dict(_TABLES[name].columns)
    return pa.schema([(column, _ARROW[kinds[column]]) for column in columns])

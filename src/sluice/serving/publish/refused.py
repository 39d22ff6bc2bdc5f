"""Rows that a store cannot hold: told apart and written down beside the others, never lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from sluice.serving.publish.difference import Portions, Row
from sluice.serving.publish.tables import StoreTable
from sluice.serving.values import plain

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

NUL = "a text holds the character NUL, which PostgreSQL cannot store"
NO_KEY = "a column of the key is null"
NO_TIME = "a time lies outside the years 1 to 9999"


@dataclass(frozen=True)
class Refused:
    """A row that was not published.

    Attributes:
        key: the values of its key, as a JSON array.
        row: the whole row, as a JSON object.
        reason: why not.
    """

    key: str
    row: str
    reason: str


@dataclass
class Sieve:
    """Lets through what a store can hold, its times as datetimes, and keeps the rest.

    Attributes:
        takes_nul: whether texts may hold the character NUL.
        known: keys of rows that were refused before.
        refused: what was kept so far.
        refused_keys: the keys of those, as they came.
        settled: keys among the known ones that were seen again, whatever became of them.
    """

    table: StoreTable
    takes_nul: bool
    known: frozenset[str] = frozenset()
    refused: list[Refused] = field(default_factory=list)
    refused_keys: list[Row] = field(default_factory=list)
    settled: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        kinds = [kind for _, kind in self.table.columns]
        self._texts = [place for place, kind in enumerate(kinds) if kind == "string"]
        self._times = [place for place, kind in enumerate(kinds) if kind == "timestamp"]
        self._key = [self.table.column_names.index(name) for name in self.table.key]
        self._key_times = [place for place, at in enumerate(self._key) if at in self._times]

    def rows(self, portions: Portions) -> Iterator[Row]:
        """The rows that the store can hold."""
        for portion in portions:
            for row in portion:
                if self.known:
                    self._settle(tuple(row[place] for place in self._key))
                reason = self._reason(row)
                stored = None if reason else _with_times(row, self._times)
                if stored is None:
                    self._refuse(row, reason or NO_TIME)
                else:
                    yield stored

    def keys(self, portions: Portions) -> Iterator[Row]:
        """The keys that rows in the store can have."""
        for portion in portions:
            for key in portion:
                if self.known:
                    self._settle(key)
                stored = _with_times(key, self._key_times)
                if stored is not None and None not in stored and (self.takes_nul or not _holds_nul(stored)):
                    yield stored

    def _reason(self, row: Row) -> str | None:
        if any(row[place] is None for place in self._key):
            return NO_KEY
        if not self.takes_nul and _holds_nul(tuple(row[place] for place in self._texts)):
            return NUL
        return None

    def _refuse(self, row: Row, reason: str) -> None:
        key = tuple(row[place] for place in self._key)
        whole = _as_json(dict(zip(self.table.column_names, row, strict=True)))
        self.refused.append(Refused(_as_json(list(key)), whole, reason))
        self.refused_keys.append(key)

    def _settle(self, key: Row) -> None:
        text = _as_json(list(key))
        if text in self.known:
            self.settled.add(text)


def _holds_nul(values: Row) -> bool:
    return any(isinstance(value, str) and "\0" in value for value in values)


def _with_times(values: Row, places: list[int]) -> Row | None:
    stored = list(values)
    try:
        for place in places:
            if stored[place] is not None:
                stored[place] = EPOCH + timedelta(microseconds=stored[place])
    except OverflowError:
        return None
    return tuple(stored)


def _as_json(value: object) -> str:
    return json.dumps(plain(value))

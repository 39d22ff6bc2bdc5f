"""What is no longer in the lake, as ops/floors tells it: written before the rows go, so that an audit is never behind.

A stream is a topic, a generation of it and a partition. Several owners append here; deltalake takes appends beside each
other, and a floor that is noted twice is the same floor.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date, datetime, timezone

from sluice.schemas import OPS_FLOORS, Table
from sluice.tables.delta import Transaction
from sluice.tables.lake import Lake
from sluice.tables.rows import append_rows, create_table, read_rows

Stream = tuple[str, int, int]


def stream_name(stream: Stream) -> str:
    """The stream as ledgers and floors write it."""
    return ":".join(map(str, stream))


def stream_of(name: str) -> Stream:
    """The stream that `stream_name` wrote."""
    topic, generation, partition = name.rsplit(":", 2)
    return topic, int(generation), int(partition)


def note_floors(lake: Lake, table: Table, befores: Mapping[str, int | date], by: str, why: str) -> None:
    """Notes that a table holds no rows any more from the beginning up to, and without, each of the given bounds.

    Args:
        befores: by stream (`stream_name`) the first offset that stays; by column the first day that does.
    """
    create_table(lake, OPS_FLOORS)
    now = datetime.now(timezone.utc)
    rows = [
        {"table": table.full_name, "range": name, "before": str(before), "by": by, "why": why, "at": now}
        for name, before in sorted(befores.items())
    ]
    # The same, noted again after a death before the rows went, is noted once.
    digest = hashlib.sha256(repr([(row["range"], row["before"]) for row in rows]).encode()).hexdigest()
    append_rows(rows, lake, OPS_FLOORS, Transaction(f"{table.full_name}:retention:{digest}", 0))


def read_floors(lake: Lake, table: Table) -> dict[Stream, int]:
    """By stream the first offset that retention has left in a table."""
    found: dict[Stream, int] = {}
    for name, before in _noted(lake, table):
        if name.count(":") >= 2:
            stream = stream_of(name)
            found[stream] = max(int(before), found.get(stream, 0))
    return found


def first_whole_day(lake: Lake, table: Table, column: str) -> date | None:
    """The first day of a column of which retention has taken no row away; None where it has taken none at all."""
    days = [date.fromisoformat(before) for name, before in _noted(lake, table) if name == column]
    return max(days, default=None)


def _noted(lake: Lake, table: Table) -> list[tuple[str, str]]:
    """Range and bound of each floor that reaches back to the beginning: those that people accept have a start."""
    if not lake.has_table(OPS_FLOORS):
        return []
    rows = read_rows(lake, OPS_FLOORS, ("table", "range", "since", "before"))
    return [(row["range"], row["before"]) for row in rows if row["table"] == table.full_name and row["since"] is None]

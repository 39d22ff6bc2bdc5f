"""Which layer reads a table, how far it has come, and what of the table it still needs. No Spark."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deltalake.exceptions import DeltaError

from sluice.schemas import UPSTREAM, Table
from sluice.tables.changes import next_with_rows
from sluice.tables.checkpoints import COMMITS, OFFSETS, batch_ids, upstream_position
from sluice.tables.delta import current_version
from sluice.tables.lake import Lake
from sluice.tables.upkeep import added_files, live_files


@dataclass(frozen=True)
class Reader:
    """A layer that reads a table, and where it goes on.

    Attributes:
        next_version: the first version of the table that it has not read to its end and that may hold rows for it.
        newest: the table's newest version.
        from_state: whether it still reads the state that the table had in `next_version`, and not changes alone.
    """

    layer: str
    table: Table
    next_version: int
    newest: int
    from_state: bool

    @property
    def lag(self) -> int:
        """How many versions it has not read."""
        return max(0, self.newest + 1 - self.next_version)

    def __str__(self) -> str:
        read = f"up to version {self.next_version - 1}" if self.next_version and not self.from_state else "nothing"
        has_read = f"has read {self.table.full_name} {read} of {self.newest}"
        return f"{self.layer} {has_read} ({self.lag:,} versions behind)"


def find_reader(lake: Lake, table: Table) -> Reader | None:
    """The layer that reads the table, as its checkpoint tells; None where none does or it has not begun."""
    layer = next((name for name, upstream in UPSTREAM.items() if upstream == table), None)
    if layer is None:
        return None
    checkpoint = lake.checkpoint_path(layer)
    commits, newest = batch_ids(checkpoint, COMMITS), current_version(lake, table)
    if commits:
        position = upstream_position(checkpoint, commits[-1])
        # What cannot be read keeps everything.
        version, from_state = position or (0, True)
        if not from_state:
            version = next_with_rows(lake, table, version, newest)
        return Reader(layer, table, version, newest, from_state)
    begun = batch_ids(checkpoint, OFFSETS)
    if not begun:
        return None
    first = upstream_position(checkpoint, begun[0])
    return Reader(layer, table, first[0] if first and first[1] else 0, newest, from_state=True)


def needed_files(lake: Lake, reader: Reader) -> set[Path] | None:
    """The files that the reader, or what it has begun and not finished, may still open; None if that is not known."""
    if not reader.lag:
        return set()
    first = reader.next_version
    try:
        state = live_files(lake, reader.table, first if reader.from_state else max(0, first - 1))
        later = added_files(lake, reader.table, range(first, reader.newest + 1))
    except (DeltaError, OSError, ValueError, KeyError):
        return None
    folder = Path(lake.table_path(reader.table))
    return {folder / path for path in later.union(file.path for file in state)}

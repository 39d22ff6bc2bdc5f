"""What a lake holds, read without Spark."""

from __future__ import annotations

from pathlib import Path

from sluice.schemas import TABLES
from sluice.serving.lake import open_lake
from tests.streaming.conftest import BOOKKEEPING

# What differs between two ledgers of the same promotions.
_LEDGER_BOOKKEEPING = {
    *("promotion_id", "parent_promotion_id", "docs_page", "gate_seconds", "total_seconds", "decided_at"),
    "first_used_at",
}


def outcome(path: Path) -> dict[str, list[str]]:
    """Every table's rows without bookkeeping, in an order of their own: equal for equal lakes.

    Unlike `Workshop.content` it has the ledgers too, and takes a fraction of a second.
    """
    lake, found = open_lake(path), {}
    present = lake.tables()
    for table in TABLES:
        if table.full_name not in present:
            continue
        columns = [name for name in table.column_names if name not in BOOKKEEPING | _LEDGER_BOOKKEEPING]
        rows = lake.arrow(table.full_name, columns=columns).to_pylist()
        found[table.full_name] = sorted(repr({name: _settled(value) for name, value in row.items()}) for row in rows)
    return found


def _settled(value: object) -> object:
    """A map's entries in an order of their own; anything else as it is."""
    return sorted(value) if isinstance(value, list) and value and isinstance(value[0], tuple) else value

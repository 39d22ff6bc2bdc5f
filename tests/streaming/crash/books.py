"""What must hold of a lake after any death and restart, read without Spark."""

from __future__ import annotations

from pathlib import Path

from sluice.schemas import COORDINATES, EVENT_KEY, LEDGERS, QUARANTINE_COUNTED, TABLES
from sluice.serving.lake import open_lake
from tests.streaming.conftest import BOOKKEEPING

_HELD_COUNTED = ("open", "rejected")
_COORDINATES = ", ".join(f'"{name}"' for name in COORDINATES)
_PLACES = f"""
    select {_COORDINATES} from silver.readings
    union all select {_COORDINATES} from silver.quarantine where status in {QUARANTINE_COUNTED}
    union all select {_COORDINATES} from silver.duplicates
    union all select {_COORDINATES} from silver.held where status in {_HELD_COUNTED}
"""
# What differs between two ledgers of the same promotions.
_LEDGER_BOOKKEEPING = {
    *("promotion_id", "parent_promotion_id", "docs_page", "gate_seconds", "total_seconds", "decided_at"),
    "first_used_at",
}
# Each finds what must not be.
_FAULTS = {
    "records twice in bronze": f"select {_COORDINATES} from bronze.events group by all having count(*) > 1",
    "records in two places": f"select {_COORDINATES} from ({_PLACES}) group by all having count(*) > 1",
    "records that bronze does not hold": f"{_PLACES} except select {_COORDINATES} from bronze.events",
    "events twice": f"select {', '.join(EVENT_KEY)} from silver.readings group by all having count(*) > 1",
    "records decided and in no place": f"""
        select decided - placed from
            (select coalesce(sum(rows_in), 0)::bigint as decided from ops.silver_promotions where kind = 'batch'),
            (select count(*) as placed from ({_PLACES}))
        where decided <> placed
    """,
    **{
        f"promotions of {layer} twice in the ledger": f"""
            select promotion_id from {ledger.full_name} group by all having count(*) > 1
        """
        for layer, ledger in LEDGERS.items()
    },
    **{
        f"ledger rows of {layer} that do not add up": f"""
            select promotion_id from {ledger.full_name}
            where rows_in <> rows_promoted + rows_quarantined + rows_duplicate + rows_held
        """
        for layer, ledger in LEDGERS.items()
    },
}


def assert_books_balance(path: Path) -> None:
    """Each record that silver has decided about is in one place, each event once, each promotion once in the ledger.

    Args:
        path: a lake in which all layers have run.
    """
    lake = open_lake(path)
    found = {fault: rows for fault, query in _FAULTS.items() if (rows := lake.sql(query).fetchall())}
    assert found == {}


def outcome(path: Path) -> dict[str, list[str]]:
    """Every table's rows without bookkeeping, in an order of their own: equal for equal lakes."""
    lake, found = open_lake(path), {}
    for table in TABLES:
        columns = [name for name in table.column_names if name not in BOOKKEEPING | _LEDGER_BOOKKEEPING]
        rows = lake.arrow(table.full_name, columns=columns).to_pylist()
        found[table.full_name] = sorted(repr({name: _settled(value) for name, value in row.items()}) for row in rows)
    return found


def _settled(value: object) -> object:
    """A map's entries in an order of their own; anything else as it is."""
    return sorted(value) if isinstance(value, list) and value and isinstance(value[0], tuple) else value

"""What the gates decided lately, from the newest files of the ledgers; the rest of a long ledger is not opened."""

from __future__ import annotations

from datetime import datetime, timezone

from sluice.dashboard.rows import Row
from sluice.schemas import LEDGERS, OPS_SILVER_PROMOTIONS, Table
from sluice.serving.files import DataFile, TableFiles
from sluice.serving.lake import OpenLake

COLUMNS = (
    *("promotion_id", "layer", "kind", "verdict", "rows_in", "rows_promoted", "rows_quarantined", "rows_duplicate"),
    *("rows_held", "score", "breaker_state", "decided_by", "why", "total_seconds", "decided_at", "registry_hash"),
)
_LONG_AGO = datetime.min.replace(tzinfo=timezone.utc)


def read_decisions(lake: OpenLake, limit: int) -> list[Row]:
    """The newest promotions of both gates in COLUMNS, the newest first; at most so many of each."""
    files = TableFiles(lake)
    rows = [row for table in LEDGERS.values() for row in _newest(files, table, limit)]
    return sorted(rows, key=lambda row: (row["decided_at"], row["promotion_id"]), reverse=True)


def registry_in_use(lake: OpenLake) -> str | None:
    """The hash of the registry that silver judged by last; None before it judged anything."""
    newest = _newest(TableFiles(lake), OPS_SILVER_PROMOTIONS, 20)
    return next((row["registry_hash"] for row in newest if row["registry_hash"]), None)


def _newest(files: TableFiles, table: Table, limit: int) -> list[Row]:
    # Each file has a row at least, so the newest rows are in as many newest files.
    chosen = sorted(files.files(table), key=_decided_last, reverse=True)[:limit]
    rows = [row for batch in files.batches(chosen, COLUMNS) for row in batch.to_pylist()]
    return sorted(rows, key=lambda row: row["decided_at"], reverse=True)[:limit]


def _decided_last(file: DataFile) -> datetime:
    # A file whose log tells nothing may hold the newest row.
    ends: tuple[datetime, datetime] | None = file.bounds.get("decided_at")
    return ends[1] if ends else _LONG_AGO.replace(year=9999)

"""Which replays and discards dealt with a quarantined record, as far as its row and the ledger tell. No Spark.

A row keeps the promotion that quarantined it, how often it was judged (`attempts`), and when a promotion refused or
discarded it last (`last_seen_at`, which is that promotion's `decided_at`). What came between is certain only where
the ledger has no more replays of that time than the row has attempts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sluice.schemas import DISCARD, OPS_SILVER_PROMOTIONS, QUARANTINE_DISCARDED, REPLAY, SILVER_QUARANTINE, Table
from sluice.serving.files import TableFiles

Row = dict[str, Any]


def read_retries(files: TableFiles) -> list[Row]:
    """The ledger rows of all replays and discards of quarantined records, the earliest first."""
    sql = """SELECT * FROM ops.silver_promotions WHERE list_contains($kinds, kind)
        ORDER BY decided_at, promotion_id"""
    return files.query(sql, {"kinds": [REPLAY, DISCARD]}, [OPS_SILVER_PROMOTIONS])


def later_promotions(row: Mapping[str, Any], retries: Sequence[Row]) -> list[Row]:
    """Those that certainly refused the record once more, or discarded it, the earliest first.

    Args:
        row: of silver/quarantine; one that was replayed stands with its promotion elsewhere.
        retries: see `read_retries`.
    """
    first, last = row["first_seen_at"], row["last_seen_at"]
    if first is None or last is None or last <= first:
        return []
    since = [each for each in retries if first < each["decided_at"] <= last]
    is_discarded = row["status"] == QUARANTINE_DISCARDED
    ended = [each for each in since if is_discarded and each["kind"] == DISCARD and each["decided_at"] == last]
    replays = [each for each in since if each["kind"] == REPLAY]
    if len(replays) != (row["attempts"] or 1) - 1:
        replays = [each for each in replays if each["decided_at"] == last]
    return [*replays, *ended]


def judging_promotion(
    table: Table, row: Mapping[str, Any], ledger: Mapping[str, Row], retries: Sequence[Row]
) -> Row | None:
    """The promotion that judged a row as it stands; None where that is not known.

    Args:
        ledger: ledger rows by promotion_id, at least the one that the row names.
        retries: see `read_retries`.
    """
    if table is not SILVER_QUARANTINE or (row["attempts"] or 1) <= 1:
        return ledger.get(row.get("promotion_id") or "")
    replays = [each for each in later_promotions(row, retries) if each["kind"] == REPLAY]
    return replays[-1] if replays else None

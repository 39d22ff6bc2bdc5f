"""The ledger: one row per promotion, written last, and the texts that ever decided something."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sluice.schemas import LEDGERS, OPS_CONFIGS, Table
from sluice.tables.decisions import Decisions
from sluice.tables.delta import Transaction
from sluice.tables.lake import Lake
from sluice.tables.rows import append_rows, read_rows


def record_promotion(lake: Lake, table: Table, promotion: Mapping[str, Any], transaction: Transaction) -> None:
    """Appends the ledger row of a promotion; columns that are not given are null.

    Args:
        table: ops/silver_promotions or ops/gold_promotions.
    """
    append_rows([promotion], lake, table, transaction)


class Configs:
    """ops/configs: every suite, contract and registry that ever decided something.

    Silver's job owns the table; what gold decided under it takes from gold's checkpoint folder.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._kept = {layer: Decisions(lake.checkpoint_path(layer)) for layer in LEDGERS}
        self._known: set[tuple[str, str]] | None = None

    def record(self, transaction: Transaction) -> None:
        """Adds the texts that are not there yet."""
        if self._known is None:
            self._known = {(row["kind"], row["hash"]) for row in read_rows(self._lake, OPS_CONFIGS, ["kind", "hash"])}
        new = {
            (kind, digest): {
                "kind": kind,
                "hash": digest,
                "text": decisions.find_text(kind, digest),
                "first_used_at": first_used_at,
            }
            for decisions in self._kept.values()
            for (kind, digest), first_used_at in decisions.texts().items()
            if (kind, digest) not in self._known
        }
        if new:
            append_rows(new.values(), self._lake, OPS_CONFIGS, transaction)
            self._known |= set(new)

"""The facts of a batch that batch rules may name: the columns of the one-row frame that a gate judges.

A fact is null where it cannot be known, and a null fact breaks no rule. Definitions stand in docs/rules.md.
"""

from __future__ import annotations

from collections.abc import Collection

ROWS_IN = "rows_in"
SILVER_FACTS = (
    ROWS_IN,
    "share_unreadable",
    "share_quarantined",
    "share_unknown_device",
    "share_duplicate",
    "share_late",
    "freshness_seconds",
    "volume_ratio",
    "version_shift",
)
GOLD_FACTS = (ROWS_IN, "share_held")
# What volume_ratio and version_shift compare a batch with, and how many batches there must have been.
HISTORY_BATCHES, FEWEST_HISTORY_BATCHES = 20, 5


def silver_facts(versions: Collection[int]) -> tuple[str, ...]:
    """The columns that a batch rule of silver may name; share_version_<n> for each version of the contract."""
    return (*SILVER_FACTS, *(f"share_version_{version}" for version in sorted(versions)))

"""The rule judged of the ledgers: a gate that held its newest batch, or whose breaker is open."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timezone

from sluice.alerting.rule_types import Gate
from sluice.alerting.watching.findings import Finding
from sluice.schemas import LEDGERS
from sluice.serving.lake import OpenLake

_REFUSING = ("HOLD", "ERROR")
# Of what gates decided, not what people did; an empty batch says nothing.
_NEWEST = """
SELECT verdict, breaker_state, rows_held, decided_at
FROM {ledger}
WHERE kind = 'batch' AND verdict <> 'EMPTY'
ORDER BY decided_at DESC, batch_id DESC
LIMIT 1
"""


def find_refusals(rule: Gate, lake: OpenLake) -> Iterator[Finding]:
    """For each layer of the rule whether its newest batch was held, or left the breaker open."""
    for layer in rule.layers:
        ledger = LEDGERS[layer].full_name
        if ledger not in lake.tables():
            continue
        subject = f"gate:{layer}"
        for verdict, breaker, rows_held, decided_at in lake.sql(_NEWEST.format(ledger=ledger)).fetchall():
            holds = ("hold" in rule.when and verdict in _REFUSING) or (
                "breaker_open" in rule.when and breaker == "open"
            )
            moment = decided_at.astimezone(timezone.utc)
            yield Finding(subject, holds, moment, value=float(rows_held or 0))

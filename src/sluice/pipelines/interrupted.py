"""Whether a layer died in the middle of a micro-batch that its next start finishes. No Spark."""

from __future__ import annotations

import sys

from sluice.schemas import BATCH, LEDGERS
from sluice.serving.files import TableFiles
from sluice.serving.lake import OpenLake
from sluice.tables.checkpoints import read_generation
from sluice.tables.decisions import Decisions
from sluice.tables.lake import Lake


def unfinished_batch(lake: Lake, layer: str) -> str | None:
    """The promotion_id of a micro-batch that was decided and has no ledger row yet; the stream finishes it first."""
    checkpoint = lake.checkpoint_path(layer)
    ids = [decision.promotion_id for decision in Decisions(checkpoint).latest(BATCH, sys.maxsize, sys.maxsize)]
    # Those of an earlier checkpoint are no business of this one's stream.
    own = [promotion_id for promotion_id in ids if promotion_id.startswith(f"{layer}-{read_generation(checkpoint)}-")]
    if not own:
        return None
    ledger = LEDGERS[layer]
    sql = f"SELECT 1 FROM {ledger.full_name} WHERE promotion_id = $promotion_id LIMIT 1"  # noqa: S608 (own names)
    return None if TableFiles(OpenLake(lake)).query(sql, {"promotion_id": own[-1]}, [ledger]) else own[-1]

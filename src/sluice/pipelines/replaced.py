"""Rows of silver/readings that gold's stream has still to read, although a replay of silver has replaced them.

Delta's stream reads a version as it was committed. What a replay changed later, gold has learnt from the request that
followed it; so a note of that replay stays until the stream has passed its version, and until then rows that are no
longer in silver are left out of micro-batches.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from pyspark.sql import DataFrame

from sluice.errors import CheckpointDamaged
from sluice.schemas import COORDINATES, SILVER_READINGS
from sluice.tables.checkpoints import delta_version, mend_of, read_versions
from sluice.tables.delta import read_table
from sluice.tables.lake import Lake, write_atomically
from sluice.transforms.hours import Range, within

LAYER = "gold"


def note_replay(lake: Lake, promotion_id: str, ranges: Sequence[Range], silver_version: int) -> None:
    """Notes that rows of older versions of silver/readings may have been replaced; noted again it is the same.

    Args:
        promotion_id: of the replay of silver.
        ranges: hours in which their event times lie.
        silver_version: the first that is known to have none of them.
    """
    passed = delta_version(lake.checkpoint_path(LAYER))
    notes = {name: note for name, note in _read(lake).items() if passed is None or note[0] > passed}
    notes[promotion_id] = (silver_version, list(ranges))
    content = {
        name: {"silver_version": version, "ranges": [[low.isoformat(), high.isoformat()] for low, high in listed]}
        for name, (version, listed) in notes.items()
    }
    write_atomically(_path(lake), json.dumps(content, indent=1) + "\n")


def drop_replaced(lake: Lake, batch: DataFrame, batch_id: int, silver_version: int) -> DataFrame:
    """A micro-batch of silver/readings without rows that a replay has replaced since they were committed.

    Args:
        silver_version: against which the micro-batch was decided.
    """
    notes = _read(lake)
    if not notes:
        return batch
    first, _ = read_versions(lake.checkpoint_path(LAYER), batch_id)
    ranges = [each for version, listed in notes.values() if first is None or first <= version for each in listed]
    if not ranges:
        return batch
    inside, on = within(ranges, "event_time", "event_date"), [*COORDINATES, "promotion_id"]
    there = read_table(batch.sparkSession, lake, SILVER_READINGS, silver_version).where(inside).select(*on)
    kept = batch.where(inside).join(there, on=on, how="left_semi").select(*batch.columns)
    return batch.where(~inside).unionAll(kept)


def _path(lake: Lake) -> Path:
    return lake.checkpoint_path(LAYER) / "replayed.json"


def _read(lake: Lake) -> dict[str, tuple[int, list[Range]]]:
    path = _path(lake)
    try:
        content = json.loads(path.read_text("utf-8"))
        return {
            name: (int(note["silver_version"]), [(_moment(low), _moment(high)) for low, high in note["ranges"]])
            for name, note in content.items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise CheckpointDamaged(f"{path} cannot be read", mend_of(LAYER)) from None


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)

"""A layer's checkpoint folder: its generation, and what Spark's own files in it say of offsets."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from sluice.errors import CheckpointLost
from sluice.tables.lake import write_atomically

_GENERATION = "generation"


def generation_of(checkpoint: Path, *, has_history: bool, layer: str) -> str:
    """The checkpoint's own id, made when the checkpoint is new.

    Args:
        has_history: whether the layer's tables already hold rows.

    Raises:
        CheckpointLost: the tables hold rows, but the checkpoint that wrote them is not there. Going on would
            read everything a second time.
    """
    if found := read_generation(checkpoint):
        return found
    if has_history:
        raise CheckpointLost(
            f"the checkpoint {checkpoint} is gone, but the tables of {layer} hold its rows",
            "restore the folder from a backup, or start a new lake (lake.path)",
        )
    made = uuid.uuid4().hex[:12]
    write_atomically(checkpoint / _GENERATION, made + "\n")
    return made


def read_generation(checkpoint: Path) -> str | None:
    """The checkpoint's own id, None where it has none yet."""
    path = checkpoint / _GENERATION
    return (path.read_text("utf-8").strip() or None) if path.exists() else None


def read_versions(checkpoint: Path, batch_id: int) -> tuple[int | None, int | None]:
    """The versions of the upstream Delta table that a micro-batch begins and ends in, both inclusive.

    A batch may end within a version. None where the file that says it cannot be read.
    """
    end = _end_version(checkpoint / "offsets" / str(batch_id))
    if batch_id == 0:
        return 0, end
    before = _end_version(checkpoint / "offsets" / str(batch_id - 1))
    return (None if before is None else before + 1), end


def _end_version(path: Path) -> int | None:
    offset = _last_offset(path)
    if not offset or "reservoirVersion" not in offset:
        return None
    version = int(offset["reservoirVersion"])
    # index -1 stands before the first file of a version: nothing of it has been read.
    return version - 1 if int(offset.get("index", 0)) == -1 else version


def kafka_offsets(checkpoint: Path) -> dict[str, dict[int, int]]:
    """Per topic and partition the next offset to read, as the last committed micro-batch left it."""
    commits = [int(path.name) for path in (checkpoint / "commits").glob("*") if path.name.isdigit()]
    if not commits:
        return {}
    offset = _last_offset(checkpoint / "offsets" / str(max(commits))) or {}
    return {
        topic: {int(partition): int(next_offset) for partition, next_offset in partitions.items()}
        for topic, partitions in offset.items()
        if isinstance(partitions, dict)
    }


def delta_version(checkpoint: Path) -> int | None:
    """The upstream Delta version that the last committed micro-batch ended in, None before the first."""
    commits = [int(path.name) for path in (checkpoint / "commits").glob("*") if path.name.isdigit()]
    return _end_version(checkpoint / "offsets" / str(max(commits))) if commits else None


def _last_offset(path: Path) -> dict[str, Any] | None:
    try:
        offset = json.loads(path.read_text("utf-8").strip().splitlines()[-1])
    except (OSError, ValueError, IndexError):
        return None
    return offset if isinstance(offset, dict) else None

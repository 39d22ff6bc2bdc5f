"""A layer's checkpoint folder: its generation, what Spark's own files in it say of offsets, and a copy of the newest.

Spark goes on from whatever its newest offsets file says, also if a digit of it was changed. So the text of that file
is kept beside it (`sealed.json`) before the first write of its micro-batch: `damage.py` compares.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from sluice.errors import CheckpointDamaged, CheckpointLost
from sluice.tables.lake import write_atomically

OFFSETS, COMMITS = "offsets", "commits"
SEALED = "sealed.json"
# Spark reads the newest offsets file and the one before it.
_SEALED_BATCHES = 2
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
            f"the checkpoint {checkpoint} is gone, but the tables of {layer} hold its rows", mend_of(layer)
        )
    made = new_generation()
    write_atomically(checkpoint / _GENERATION, made + "\n")
    return made


def read_generation(checkpoint: Path) -> str | None:
    """The checkpoint's own id, None where it has none yet."""
    path = checkpoint / _GENERATION
    return (path.read_text("utf-8").strip() or None) if path.exists() else None


def new_generation() -> str:
    """An id that no checkpoint has had."""
    return uuid.uuid4().hex[:12]


def mend_of(layer: str) -> str:
    """What mends a checkpoint, for people."""
    return f"sluice recover {layer} rebuilds it from the tables, and keeps what is left of it"


def batch_ids(checkpoint: Path, folder: str) -> list[int]:
    """The micro-batches that `offsets` or `commits` has a file of, rising; files of other names are passed over."""
    return sorted(int(path.name) for path in (checkpoint / folder).glob("*") if path.name.isdecimal())


def seal_offsets(checkpoint: Path, batch_id: int) -> None:
    """Keeps what the offsets file of a micro-batch says; to be called before anything is written for the batch.

    Raises:
        CheckpointDamaged: the file is gone while its batch runs, or what was kept cannot be read.
    """
    path = checkpoint / OFFSETS / str(batch_id)
    try:
        text = path.read_text("utf-8")
        kept = sealed_offsets(checkpoint)
    except (OSError, ValueError) as error:
        raise CheckpointDamaged(f"{path} cannot be kept: {error}", mend_of(checkpoint.name)) from None
    if kept.get(batch_id) != text:
        newest = sorted({**kept, batch_id: text}.items())[-_SEALED_BATCHES:]
        write_atomically(checkpoint / SEALED, json.dumps(dict(newest)) + "\n")


def sealed_offsets(checkpoint: Path) -> dict[int, str]:
    """The texts of the newest offsets files as they were when their micro-batches began, by batch id.

    Raises:
        ValueError: they cannot be read.
    """
    try:
        content = json.loads((checkpoint / SEALED).read_text("utf-8"))
        return {int(batch_id): str(text) for batch_id, text in content.items()}
    except FileNotFoundError:
        return {}
    except (OSError, AttributeError) as error:
        raise ValueError(str(error)) from None


def read_versions(checkpoint: Path, batch_id: int) -> tuple[int | None, int | None]:
    """The versions of the upstream Delta table that a micro-batch begins in and has read whole, both inclusive.

    A batch that ends within a version has not read it whole: the next one begins in it. None where the file that says
    it cannot be read, or the batch ends within the state that the table had when it was first read.
    """
    end = _end_version(checkpoint / "offsets" / str(batch_id))
    if batch_id == 0:
        return 0, end
    before = _end_version(checkpoint / "offsets" / str(batch_id - 1))
    return (None if before is None else before + 1), end


def _end_version(path: Path) -> int | None:
    offset = _last_offset(path)
    if not offset or "reservoirVersion" not in offset or offset.get("isStartingVersion"):
        return None
    # It names the version to go on in: from its first file (index -1), or from within it.
    return int(offset["reservoirVersion"]) - 1


def whole_version(checkpoint: Path, generation: str, batch_id: int) -> int | None:
    """The last version of the upstream Delta table that a layer has read to its end with a micro-batch, -1 for none.

    The table as it was at the start is read first, as one version, in as many micro-batches as that takes.

    Returns:
        None where that cannot be told: the checkpoint is gone or another one, or the file that says it is.
    """
    try:
        if (checkpoint / "generation").read_text("utf-8").strip() != generation:
            return None
    except OSError:
        return None
    offset = _last_offset(checkpoint / "offsets" / str(batch_id))
    if not offset or "reservoirVersion" not in offset:
        return None
    return -1 if offset.get("isStartingVersion") else int(offset["reservoirVersion"]) - 1


def upstream_position(checkpoint: Path, batch_id: int) -> tuple[int, bool] | None:
    """Where a micro-batch ends in the upstream Delta table: the version to go on in, and whether in its whole state.

    Returns:
        None where the file that says it cannot be read.
    """
    offset = _last_offset(checkpoint / OFFSETS / str(batch_id))
    if not offset or "reservoirVersion" not in offset:
        return None
    return int(offset["reservoirVersion"]), bool(offset.get("isStartingVersion"))


def kafka_offsets(checkpoint: Path, done: int | None = None) -> dict[str, dict[int, int]]:
    """Per topic and partition the next offset to read.

    Args:
        done: the micro-batch after which; None for the last committed one.
    """
    commits = batch_ids(checkpoint, COMMITS)
    if done is None and not commits:
        return {}
    offset = _last_offset(checkpoint / OFFSETS / str(commits[-1] if done is None else done)) or {}
    return {
        topic: {int(partition): int(next_offset) for partition, next_offset in partitions.items()}
        for topic, partitions in offset.items()
        if isinstance(partitions, dict)
    }


def delta_version(checkpoint: Path) -> int | None:
    """The last upstream Delta version that the last committed micro-batch has read whole, None before the first."""
    commits = batch_ids(checkpoint, COMMITS)
    return _end_version(checkpoint / OFFSETS / str(commits[-1])) if commits else None


def _last_offset(path: Path) -> dict[str, Any] | None:
    try:
        return parse_offsets(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None


def parse_offsets(text: str) -> dict[str, Any]:
    """The offset of a query's one source, out of the text of an offsets file.

    Raises:
        ValueError: it is not such a text, whole.
    """
    lines = text.rstrip("\n").split("\n")
    if len(lines) != 3 or not lines[0].startswith("v"):
        raise ValueError("not a version, metadata and one offset")
    metadata, offset = json.loads(lines[1]), json.loads(lines[2])
    if not isinstance(metadata, dict) or not isinstance(offset, dict):
        raise ValueError("no offset")
    return offset

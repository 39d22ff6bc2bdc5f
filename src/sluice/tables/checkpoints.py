"""What a layer's checkpoint folder holds beside Spark's own files: its generation and the batches' decisions."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from sluice.errors import CheckpointLost
from sluice.tables.lake import write_atomically

_KEPT_DECISIONS = 20


@dataclass(frozen=True)
class Decision:
    """Everything a micro-batch's outcome rests on, written before its first data commit.

    A replay carries out this decision, whatever suite, contract, registry or clock say by then.

    Attributes:
        decided_at: UTC, RFC 3339.
        table_version: of the table that was compared with (silver/readings), -1 where none is.
        suite_hash, contract_hash, registry_hash: of texts kept by `Decisions.keep_text`.
    """

    batch_id: int
    promotion_id: str
    decided_at: str
    table_version: int
    suite_hash: str
    contract_hash: str
    registry_hash: str


class Decisions:
    """The decisions of one checkpoint, a file each, and the texts they were made under."""

    def __init__(self, checkpoint: Path) -> None:
        self._folder = checkpoint / "decisions"
        self._texts = checkpoint / "configs"

    def find(self, batch_id: int) -> Decision | None:
        """The decision already made about a batch, or None."""
        path = self._path(batch_id)
        if not path.exists():
            return None
        try:
            content = json.loads(path.read_text("utf-8"))
            return Decision(**{field.name: content[field.name] for field in fields(Decision)})
        except (ValueError, KeyError, TypeError):
            raise CheckpointLost(f"the decision {path} is damaged", "restore the file from a backup") from None

    def keep(self, decision: Decision) -> None:
        """Writes the decision; all of it or nothing is there after a crash."""
        write_atomically(self._path(decision.batch_id), json.dumps(asdict(decision), indent=1) + "\n")
        for old in sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime)[:-_KEPT_DECISIONS]:
            old.unlink(missing_ok=True)

    def keep_text(self, kind: str, digest: str, text: str) -> None:
        """Keeps a suite, contract or registry under its hash."""
        path = self._texts / f"{kind}-{digest}"
        if not path.exists():
            write_atomically(path, text)

    def find_text(self, kind: str, digest: str) -> str:
        """A text kept before.

        Raises:
            CheckpointLost: it is gone.
        """
        path = self._texts / f"{kind}-{digest}"
        try:
            return path.read_text("utf-8")
        except OSError:
            raise CheckpointLost(f"{path}, under which a batch was decided, is gone", "restore the file") from None

    def _path(self, batch_id: int) -> Path:
        return self._folder / f"{batch_id}.json"


def generation_of(checkpoint: Path, *, has_history: bool, layer: str) -> str:
    """The checkpoint's own id, made when the checkpoint is new.

    Args:
        has_history: whether the layer's tables already hold rows.

    Raises:
        CheckpointLost: the tables hold rows, but the checkpoint that wrote them is not there. Going on would
            read everything a second time.
    """
    path = checkpoint / "generation"
    if path.exists() and (found := path.read_text("utf-8").strip()):
        return found
    if has_history:
        raise CheckpointLost(
            f"the checkpoint {checkpoint} is gone, but the tables of {layer} hold its rows",
            "restore the folder from a backup, or start a new lake (lake.path)",
        )
    made = uuid.uuid4().hex[:12]
    write_atomically(path, made + "\n")
    return made


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

"""Which Kafka topic bronze reads: its ids and generation, kept in bronze's checkpoint and once more beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sluice.errors import CheckpointDamaged
from sluice.tables.checkpoints import mend_of
from sluice.tables.lake import Lake, write_atomically

TOPIC = "topic.json"
_LAYER = "bronze"


@dataclass(frozen=True)
class ReadTopic:
    """The topic that bronze reads.

    Attributes:
        name: as in kafka.topic.
        topic_id: Kafka's own id of it; None where the broker is too old to have any.
        cluster_id: of the Kafka cluster; None likewise.
        generation: part of the coordinates of its records; 1 for the first topic of a lake.
        accepted: who let each later generation in, and why: `generation`, `by`, `why`, `at`.
    """

    name: str
    topic_id: str | None
    cluster_id: str | None
    generation: int = 1
    accepted: Sequence[Mapping[str, Any]] = field(default_factory=tuple)

    def as_text(self) -> str:
        """For the file that keeps it."""
        return json.dumps(asdict(self), indent=1) + "\n"


def read_topic(lake: Lake) -> ReadTopic | None:
    """The topic that bronze has read so far; None before its first start.

    Raises:
        CheckpointDamaged: the file that says it cannot be read.
    """
    for path in _files(lake):
        if path.exists():
            found = _parse(path)
            if found is None:
                raise CheckpointDamaged(f"{path} cannot be read", mend_of(_LAYER))
            return found
    return None


def recall_topic(lake: Lake) -> ReadTopic | None:
    """The same as far as it can be read: from the checkpoint, else from beside it, else None."""
    return next((found for found in map(_parse, _files(lake)) if found), None)


def keep_topic(lake: Lake, topic: ReadTopic) -> None:
    """Writes it down, in the checkpoint, which decides, and beside it, where it outlives the checkpoint."""
    text = topic.as_text()
    for path in _files(lake):
        if not path.is_file() or path.read_text("utf-8") != text:
            write_atomically(path, text)


def _files(lake: Lake) -> tuple[Path, Path]:
    checkpoint = lake.checkpoint_path(_LAYER)
    return checkpoint / TOPIC, checkpoint.with_name(f"{_LAYER}.{TOPIC}")


def _parse(path: Path) -> ReadTopic | None:
    try:
        content = json.loads(path.read_text("utf-8"))
        ids = (content["topic_id"], content["cluster_id"])
        return ReadTopic(str(content["name"]), *ids, int(content["generation"]), tuple(content["accepted"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None

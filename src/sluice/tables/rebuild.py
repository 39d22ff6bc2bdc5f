"""A new checkpoint in place of a damaged one: where its stream goes on, and what of the old one it takes over.

The new folder is made beside the old one and put in its place by renaming. The old one is set aside, never deleted.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from sluice.errors import CheckpointDamaged
from sluice.tables.checkpoints import COMMITS, OFFSETS, SEALED, mend_of, new_generation
from sluice.tables.lake import Lake, write_atomically

SET_ASIDE = "set_aside"
REBUILT = "rebuilt.json"
# What a layer's job keeps in its checkpoint beside Spark's own files, and can go on with under another generation.
_TAKEN_OVER = ("decisions", "configs", "breaker.json", "scores.json", "rollups.json", "devices.json", "replayed.json")
_METADATA = {"batchWatermarkMs": 0, "batchTimestampMs": 0, "conf": {}}


@dataclass(frozen=True)
class Start:
    """Where the stream of a new checkpoint goes on.

    Attributes:
        batch_id: of the last micro-batch that counts as done, at least 1; the next one has the id after it.
        offset: of the query's one source, after that batch, as Spark writes it; None to read everything there is.
        decided: by ``topic:topic_generation:partition`` the last Kafka offset that is not to be read again.
    """

    batch_id: int
    offset: Mapping[str, Any] | None
    decided: Mapping[str, int] = field(default_factory=dict)


def replace_checkpoint(lake: Lake, layer: str, start: Start, files: Mapping[str, str] | None = None) -> Path | None:
    """Puts a new checkpoint, of a generation of its own, in the place of the layer's; the caller owns the layer.

    Killed at any moment and called again it comes to the same.

    Args:
        files: further files of the new checkpoint, by name.

    Returns:
        The folder that the old one was set aside to; None where there was none.
    """
    checkpoint = lake.checkpoint_path(layer)
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    # Left by a rebuild that was killed after the old folder was set aside.
    begun = sorted(checkpoint.parent.glob(f".{layer}.*"), key=lambda path: path.stat().st_mtime_ns)
    old = next((path for path in (checkpoint, *reversed(begun)) if path.is_dir()), None)
    made = checkpoint.with_name(f".{layer}.{new_generation()}")
    _fill(made, old, start, files or {})
    aside = _set_aside(checkpoint) if checkpoint.exists() else None
    made.rename(checkpoint)
    for path in begun:
        shutil.rmtree(path, ignore_errors=True)
    return aside


def read_start(checkpoint: Path) -> Start | None:
    """Where a rebuilt checkpoint began; None for one that was never rebuilt.

    Raises:
        CheckpointDamaged: the file that says it cannot be read.
    """
    path = checkpoint / REBUILT
    try:
        content = json.loads(path.read_text("utf-8"))
        decided = {str(stream): int(offset) for stream, offset in content["decided"].items()}
        return Start(int(content["batch_id"]), content["offset"], decided)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise CheckpointDamaged(f"{path} cannot be read", mend_of(checkpoint.name)) from None


def _fill(made: Path, old: Path | None, start: Start, files: Mapping[str, str]) -> None:
    made.mkdir()
    for source in [old / name for name in _TAKEN_OVER] if old else []:
        _take_over(source, made / source.name)
    write_atomically(made / "generation", f"{made.suffix.removeprefix('.')}\n")
    write_atomically(made / REBUILT, json.dumps(asdict(start), indent=1) + "\n")
    if start.offset is not None:
        _fill_log(made, start.batch_id, start.offset)
    for name, text in files.items():
        write_atomically(made / name, text)


def _take_over(source: Path, target: Path) -> None:
    """Copies a file or a folder with its times; what of it is JSON and cannot be read stays behind."""
    if source.is_dir():
        target.mkdir()
        for path in source.iterdir():
            _take_over(path, target / path.name)
    elif source.is_file() and (source.suffix != ".json" or _is_json(source)):
        shutil.copy2(source, target)


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return True


def _fill_log(made: Path, batch_id: int, offset: Mapping[str, Any]) -> None:
    # As Spark writes it, who compares texts: another spelling would be an offset ahead, and an empty batch.
    text = f"v1\n{json.dumps(_METADATA)}\n{json.dumps(offset, separators=(',', ':'))}"
    # Spark looks up the batch before the newest, too.
    for done in (batch_id - 1, batch_id):
        write_atomically(made / OFFSETS / str(done), text)
        write_atomically(made / COMMITS / str(done), 'v1\n{"nextBatchWatermarkMs":0}')
    write_atomically(made / SEALED, json.dumps({str(batch_id): text}) + "\n")
    write_atomically(made / "metadata", json.dumps({"id": str(uuid.uuid4())}))


def _set_aside(checkpoint: Path) -> Path:
    moment = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ")
    aside = checkpoint.parent / SET_ASIDE / f"{checkpoint.name}-{moment}"
    aside.parent.mkdir(exist_ok=True)
    checkpoint.rename(aside)
    return aside

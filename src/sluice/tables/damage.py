"""Whether a layer's checkpoint is whole, and fits the tables that were written under it; costs a few small files.

Spark reads of its own files the newest two of `offsets` and the newest of `commits`, and believes them. What it would
take wrongly or stop at with a misleading error is found here first: files that are missing, empty, cut off or changed,
and a table or a checkpoint that was put back to an earlier state.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from sluice.errors import CheckpointDamaged, CheckpointLost, LakeMissing
from sluice.schemas import BRONZE_EVENTS, LEDGERS, UPSTREAM, Table
from sluice.tables.checkpoints import (
    COMMITS,
    OFFSETS,
    SEALED,
    batch_ids,
    mend_of,
    parse_offsets,
    read_generation,
    sealed_offsets,
)
from sluice.tables.delta import Transaction, current_version
from sluice.tables.lake import Lake
from sluice.tables.rebuild import REBUILT, read_start
from sluice.tables.topics import TOPIC


@dataclass(frozen=True)
class Damage:
    """One thing that is wrong with a checkpoint.

    Attributes:
        path: of the file, or of the table that does not fit.
        what: the rest of the sentence, e.g. ``is empty``.
    """

    path: Path
    what: str
    is_lost: bool = False

    def __str__(self) -> str:
        return f"{self.path} {self.what}"


@dataclass(frozen=True)
class _Seen:
    """What is there, read in an order in which a running job does not look damaged.

    Attributes:
        written: the last micro-batch that is whole in the layer's tables; None before the first.
        sealed: None where the kept texts cannot be read.
    """

    checkpoint: Path
    table: Table
    written: int | None
    sealed: Mapping[int, str] | None
    commits: Sequence[int]
    offsets: Sequence[int]


def require_whole(lake: Lake, layer: str) -> None:
    """Refuses a checkpoint that a stream must not be started from.

    Raises:
        CheckpointLost: the tables hold rows, and the checkpoint, or its generation, is gone.
        CheckpointDamaged: something else is wrong with it; names the first file.
    """
    faults = find_damage(lake, layer)
    if not faults:
        return
    if faults[0].is_lost:
        raise CheckpointLost(f"the checkpoint {faults[0]}", mend_of(layer))
    more = f" (and {len(faults) - 1} more: sluice doctor)" if len(faults) > 1 else ""
    raise CheckpointDamaged(f"the checkpoint of {layer} is damaged: {faults[0]}{more}", mend_of(layer))


def find_damage(lake: Lake, layer: str) -> list[Damage]:
    """What is wrong with a layer's checkpoint, each file once; nothing for one that was never started."""
    checkpoint, table = lake.checkpoint_path(layer), _last_table(layer)
    generation = read_generation(checkpoint)
    if generation is None:
        return list(_lost(lake, layer, table))
    written = last_written(lake, layer, generation)
    try:
        sealed: Mapping[int, str] | None = sealed_offsets(checkpoint)
    except ValueError:
        sealed = None
    commits, offsets = batch_ids(checkpoint, COMMITS), batch_ids(checkpoint, OFFSETS)
    seen = _Seen(checkpoint, table, written, sealed, commits, offsets)
    found = [
        *_own_files(seen),
        *_offset_files(seen),
        *_commit_files(seen),
        *_tables(lake, seen),
        *_order(lake, layer, seen),
        *_decision(seen, f"{layer}-{generation}"),
    ]
    return list({fault.path: fault for fault in reversed(found)}.values())[::-1]


def _lost(lake: Lake, layer: str, table: Table) -> Iterator[Damage]:
    checkpoint = lake.checkpoint_path(layer)
    if lake.has_table(table) and current_version(lake, table) > 0:
        yield Damage(checkpoint, f"is gone, but the tables of {layer} hold its rows", is_lost=True)
    elif batch_ids(checkpoint, OFFSETS):
        yield Damage(checkpoint / "generation", "is missing")


def last_written(lake: Lake, layer: str, generation: str) -> int | None:
    """The last micro-batch of a checkpoint's generation that is whole in the layer's tables; None before the first.

    Raises:
        LakeMissing: the table cannot be read.
    """
    table = _last_table(layer)
    if not lake.has_table(table):
        return None
    app_id = Transaction(f"{layer}:{generation}", 0).app_id(table)
    try:
        found = DeltaTable(lake.table_path(table)).transaction_version(app_id)
    except (DeltaError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise LakeMissing(f"{table.full_name} cannot be read: {reason}", f"check {lake.table_path(table)}") from None
    return None if found is None else int(found)


def _last_table(layer: str) -> Table:
    """The table that a micro-batch of the layer writes last."""
    return LEDGERS.get(layer, BRONZE_EVENTS)


def _own_files(seen: _Seen) -> Iterator[Damage]:
    if seen.offsets or seen.commits:
        yield from _unreadable(seen.checkpoint / "metadata", json.loads)
    for name in (REBUILT, TOPIC, "breaker.json"):
        if (seen.checkpoint / name).exists():
            yield from _unreadable(seen.checkpoint / name, json.loads)


def _offset_files(seen: _Seen) -> Iterator[Damage]:
    known = [*(seen.sealed or {}), *seen.commits[-1:], *([] if seen.written is None else [seen.written])]
    newest = max([*known, *seen.offsets], default=None)
    if newest is None:
        return
    for batch_id in (newest, newest - 1):
        if batch_id >= 0:
            yield from _unreadable(seen.checkpoint / OFFSETS / str(batch_id), parse_offsets)
    if seen.sealed is None:
        yield Damage(seen.checkpoint / SEALED, "cannot be read")
        return
    for batch_id, text in seen.sealed.items():
        path = seen.checkpoint / OFFSETS / str(batch_id)
        if path.is_file() and path.read_bytes() != text.encode():
            yield Damage(path, f"was changed since batch {batch_id} began ({SEALED} has what it was)")


def _commit_files(seen: _Seen) -> Iterator[Damage]:
    if not seen.offsets:
        return
    if seen.commits:
        yield from _unreadable(seen.checkpoint / COMMITS / str(seen.commits[-1]), _parse_commit)
    before = seen.offsets[-1] - 1
    if before >= 0 and (not seen.commits or seen.commits[-1] < before):
        yield Damage(seen.checkpoint / COMMITS / str(before), "is missing")


def _parse_commit(text: str) -> object:
    version, _, content = text.partition("\n")
    if not version.startswith("v"):
        raise ValueError("no version")
    return json.loads(content)


def _unreadable(path: Path, parse: Any) -> Iterator[Damage]:
    try:
        text = path.read_text("utf-8")
        if text.strip():
            parse(text)
        else:
            yield Damage(path, "is empty")
    except FileNotFoundError:
        yield Damage(path, "is missing")
    except (OSError, ValueError):
        yield Damage(path, "is cut off or was changed: it cannot be read")


def _tables(lake: Lake, seen: _Seen) -> Iterator[Damage]:
    """Whether the checkpoint holds a batch as done that the table, e.g. out of a backup, does not have."""
    done = seen.commits[-1] if seen.commits else None
    if done is None or (seen.written is not None and seen.written >= done):
        return
    try:
        start = read_start(seen.checkpoint)
    except CheckpointDamaged:
        return
    if start is None or start.batch_id != done:
        path = Path(lake.table_path(seen.table))
        yield Damage(path, f"does not have batch {done}, which the checkpoint {seen.checkpoint} holds as done")


def _order(lake: Lake, layer: str, seen: _Seen) -> Iterator[Damage]:
    """Whether the newest batch ends after it begins, and in what there is; it may not be sealed yet."""
    if not seen.offsets:
        return
    newest = seen.checkpoint / OFFSETS / str(seen.offsets[-1])
    before: Mapping[str, Any] = {}
    try:
        end = parse_offsets(newest.read_text("utf-8"))
        if seen.offsets[-1]:
            before = parse_offsets((newest.parent / str(seen.offsets[-1] - 1)).read_text("utf-8"))
        is_wrong = _is_wrong_end(lake, UPSTREAM[layer], before, end) if layer in UPSTREAM else _is_behind(before, end)
    except OSError:
        return
    except (ValueError, KeyError, TypeError, AttributeError):
        is_wrong = True
    if is_wrong:
        is_sealed = seen.offsets[-1] in (seen.sealed or {})
        what = "ends in what the table above it does not have" if is_sealed else "was changed: a batch cannot end there"
        yield Damage(newest, what)


def _is_behind(before: Mapping[str, Any], end: Mapping[str, Any]) -> bool:
    return any(
        int(end[topic][partition]) < int(offset)
        for topic, partitions in before.items()
        for partition, offset in partitions.items()
    )


def _is_wrong_end(lake: Lake, upstream: Table, before: Mapping[str, Any], end: Mapping[str, Any]) -> bool:
    first, last = int(before.get("reservoirVersion", 0)), int(end["reservoirVersion"])
    return last < first or (lake.has_table(upstream) and last > current_version(lake, upstream) + 1)


def _decision(seen: _Seen, prefix: str) -> Iterator[Damage]:
    """Whether the decision about the newest batch, which a start may have to finish, can be read."""
    for path in (seen.checkpoint / "decisions").glob(f"{prefix}-{seen.offsets[-1] if seen.offsets else ''}.json"):
        yield from _unreadable(path, json.loads)

"""Upkeep of Delta tables, without Spark: small files made one, files that nothing refers to removed, the log shortened.

Only the owner of a table's layer may change it, between two micro-batches. Compaction moves rows and says so
(`dataChange` is false): a stream that reads the table passes over it.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from urllib.parse import unquote

from deltalake import DeltaTable

from sluice.schemas import Table
from sluice.tables.lake import Lake
from sluice.tables.reading import add_actions

# A log is shortened once so many commits, or files that they took away, have come after its last checkpoint.
_CHANGES_TO_SHORTEN = 20
# As the tables are created with; a commit older than this goes with the next checkpoint.
LOG_SECONDS = 30 * 86_400


@dataclass(frozen=True)
class LiveFile:
    """A file of a table's newest version.

    Attributes:
        path: relative to the table's folder.
        rows: None where its statistics do not say.
    """

    path: str
    size_bytes: int
    rows: int | None

    @property
    def partition(self) -> str:
        """The folder it lies in; files of one partition share it."""
        return self.path.rpartition("/")[0]


def live_files(lake: Lake, table: Table, version: int | None = None) -> list[LiveFile]:
    """The files of a version of a table, the newest unless given.

    Raises:
        DeltaError: the version cannot be read.
    """
    opened = DeltaTable(lake.table_path(table), version=version)
    actions = add_actions(opened)
    columns = (actions[name].to_pylist() for name in ("path", "size_bytes", "num_records"))
    return [LiveFile(unquote(path), size, rows) for path, size, rows in zip(*columns, strict=True)]


def mergeable(files: Iterable[LiveFile], target_bytes: int) -> list[LiveFile]:
    """The files that compaction would take up: at least two of a partition that are smaller than the target."""
    by_partition: defaultdict[str, list[LiveFile]] = defaultdict(list)
    for file in files:
        if file.size_bytes < target_bytes:
            by_partition[file.partition].append(file)
    return [file for small in by_partition.values() if len(small) > 1 for file in small]


def compact(lake: Lake, table: Table, target_bytes: int) -> None:
    """Makes the small files of each partition one, up to the target; nothing of the rows changes."""
    DeltaTable(lake.table_path(table)).optimize.compact(target_size=target_bytes)


def unreferenced_files(lake: Lake, table: Table) -> list[Path]:
    """Files that the newest version does not need and that are older than the table keeps such files (7 days)."""
    folder = Path(lake.table_path(table))
    found: list[str] = DeltaTable(folder).vacuum(dry_run=True, full=True)
    # For as long as the log tells of them it names those too that have gone before.
    return [path for path in (folder / unquote(each) for each in found) if path.exists()]


def vacuum(lake: Lake, table: Table) -> None:
    """Removes what `unreferenced_files` names."""
    DeltaTable(lake.table_path(table)).vacuum(dry_run=False, full=True)


def delete_days(lake: Lake, table: Table, before: date) -> int:
    """Deletes the partitions of the days before a day, files whole, in one commit; how many rows that were."""
    return _delete(lake, table, f"{table.partition_by} < '{before}'")


def delete_up_to(lake: Lake, table: Table, ends: Iterable[tuple[tuple[str, int, int], int]]) -> int:
    """Deletes the rows of streams (topic, topic_generation, partition) before an offset; how many that were."""
    conditions = []
    for (topic, generation, partition), before in ends:
        quoted = topic.replace("'", "''")
        conditions.append(
            f"(topic = '{quoted}' AND topic_generation = {generation} AND partition = {partition} "
            f'AND "offset" < {before})'
        )
    return _delete(lake, table, " OR ".join(conditions)) if conditions else 0


def _delete(lake: Lake, table: Table, predicate: str) -> int:
    done = DeltaTable(lake.table_path(table)).delete(predicate)
    return int(done.get("num_deleted_rows") or 0)


def log_files(lake: Lake, table: Table) -> list[Path]:
    """The commits that the table's log still has, in order."""
    return sorted(_log(lake, table).glob("[0-9]*.json"))


def old_commits(lake: Lake, table: Table, before_version: int) -> list[Path]:
    """The commits before a version that are older than a log is kept; any commit by deltalake may take them away."""
    oldest = time.time() - LOG_SECONDS
    return [
        path for path in log_files(lake, table) if int(path.stem) < before_version and path.stat().st_mtime < oldest
    ]


def is_log_long(lake: Lake, table: Table, version: int, files_gone: int) -> bool:
    """Whether so much stands in the log after its last checkpoint that reading it takes longer for that.

    Args:
        files_gone: how many files the newest commit took out of the table.
    """
    return max(version - last_checkpoint(lake, table), files_gone) >= _CHANGES_TO_SHORTEN


def last_checkpoint(lake: Lake, table: Table) -> int:
    """The version of the log's last checkpoint, 0 before the first."""
    try:
        return int(json.loads((_log(lake, table) / "_last_checkpoint").read_text("utf-8"))["version"])
    except FileNotFoundError:
        return 0


def checkpoint_log(lake: Lake, table: Table) -> None:
    """Writes what the log says up to now as one file, which readers open in place of all commits before."""
    DeltaTable(lake.table_path(table)).create_checkpoint()


def clean_log(lake: Lake, table: Table) -> None:
    """Removes commits that are older than the log is kept (30 days) and that a checkpoint stands for."""
    DeltaTable(lake.table_path(table)).cleanup_metadata()


def added_files(lake: Lake, table: Table, versions: Sequence[int]) -> set[str]:
    """Paths, relative to the table's folder, of the files that commits added, also those that only moved rows.

    Raises:
        OSError, ValueError: a commit is gone or cannot be read.
    """
    found = set()
    for version in versions:
        for line in (_log(lake, table) / f"{version:020d}.json").read_text("utf-8").splitlines():
            if added := json.loads(line).get("add"):
                found.add(unquote(added["path"]))
    return found


def _log(lake: Lake, table: Table) -> Path:
    return Path(lake.table_path(table)) / "_delta_log"

"""What `sluice maintain` does to the tables of a layer: retention, compaction, vacuum, a short log. Starts no Spark.

It is the layer's owner that does it, between two micro-batches. Killed at any moment and repeated it comes to the same:
floors are noted before rows go, compaction is one commit, and files that nothing refers to are found anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from deltalake.exceptions import DeltaError

from sluice.errors import SluiceError, UsageError
from sluice.pipelines.interrupted import unfinished_batch
from sluice.pipelines.retention import carry_out, find_removal
from sluice.schemas import BRONZE_EVENTS, LAYER_TABLES, LEDGERS, SILVER_DUPLICATES, SILVER_QUARANTINE, Table
from sluice.settings import Settings
from sluice.tables.delta import current_version
from sluice.tables.lake import Lake
from sluice.tables.readers import Reader, find_reader, needed_files
from sluice.tables.requests import Answer, Request, answer_request, pending_requests
from sluice.tables.upkeep import (
    LiveFile,
    checkpoint_log,
    clean_log,
    compact,
    is_log_long,
    live_files,
    log_files,
    mergeable,
    old_commits,
    unreferenced_files,
    vacuum,
)

# What a request asks for.
MAINTAIN = "maintain"
_BYTES = 1024 * 1024

Told = Callable[[str], object]


@dataclass(frozen=True)
class Plan:
    """What is asked for, fixed when it is: an answer a day later means the same days.

    Attributes:
        target_bytes: files smaller than this are made one.
        keep_from: by table's full name the first day whose rows stay; of other tables all do.
    """

    target_bytes: int
    keep_from: Mapping[str, date] = field(default_factory=dict)

    def as_text(self) -> str:
        """The plan as JSON; equal plans have equal texts."""
        days = {name: day.isoformat() for name, day in self.keep_from.items()}
        return json.dumps({"target_bytes": self.target_bytes, "keep_from": days}, sort_keys=True)


def plan_of(settings: Settings, now: datetime | None = None) -> Plan:
    """What the settings ask for, as of today (UTC)."""
    maintain, today = settings.maintain, (now or datetime.now(timezone.utc)).date()
    kept = {
        BRONZE_EVENTS: maintain.bronze_days,
        SILVER_QUARANTINE: maintain.quarantine_days,
        SILVER_DUPLICATES: maintain.duplicates_days,
    }
    keep_from = {table.full_name: today - timedelta(days=days) for table, days in kept.items() if days is not None}
    return Plan(maintain.target_megabytes * _BYTES, keep_from)


def read_plan(text: str) -> Plan:
    """The plan in a text that `Plan.as_text` wrote.

    Raises:
        UsageError: it is none.
    """
    try:
        content = json.loads(text)
        days = {str(name): date.fromisoformat(day) for name, day in content["keep_from"].items()}
        return Plan(int(content["target_bytes"]), days)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(f"{text[:200]!r} does not say what is to be maintained", "ask for it again") from None


@dataclass
class Upkeep:
    """What was done to a table, or would be.

    Attributes:
        bytes_before, bytes_after: of the files of its newest version.
        files_removed, bytes_removed: of files that nothing referred to any more.
        commits_before, commits_after: in its log.
        floors: what `ops/floors` was told, one line each.
        refused: what was not done since a reader, or the books, would break; one line each.
        notes: further information.
    """

    table: str
    files_before: int = 0
    files_after: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    rows_removed: int = 0
    files_removed: int = 0
    bytes_removed: int = 0
    commits_before: int = 0
    commits_after: int = 0
    floors: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)


def maintain_layer(
    lake: Lake, layer: str, plan: Plan, by: str, why: str, *, dry_run: bool, told: Told = lambda _: None
) -> list[Upkeep]:
    """Maintains the tables that a layer owns; the caller does, unless it is a dry run.

    Args:
        by, why: of what retention removes; they stand in ops/floors.
        told: is given the name of each table before it begins.

    Raises:
        DeltaError, OSError: a table cannot be read or written; what was done before stays done.
    """
    done = []
    for table in LAYER_TABLES[layer]:
        if lake.has_table(table):
            told(table.full_name)
            work = _Work(lake, table, plan, by, why, dry_run, Upkeep(table.full_name))
            work.carry_out()
            done.append(work.result)
    return done


@dataclass(frozen=True)
class _Work:
    """The maintenance of one table."""

    lake: Lake
    table: Table
    plan: Plan
    by: str
    why: str
    dry_run: bool
    result: Upkeep

    def carry_out(self) -> None:
        before = live_files(self.lake, self.table)
        self.result.files_before, self.result.bytes_before = _size(before)
        self.result.commits_before = len(log_files(self.lake, self.table))
        reader = find_reader(self.lake, self.table)
        old = old_commits(self.lake, self.table, current_version(self.lake, self.table))
        if reader and reader.lag and old and reader.next_version <= int(old[-1].stem):
            # Whatever is committed now may take them out of the log.
            self._leave_alone(f"{reader} and needs commits that are past their 30 days; let it catch up: sluice run")
            return
        self._remove_rows()
        self._compact(before)
        self._remove_files(reader)
        self._shorten_log()
        self.result.commits_after = len(log_files(self.lake, self.table))

    def _leave_alone(self, refused: str) -> None:
        self.result.refused.append(refused)
        self.result.files_after, self.result.bytes_after = self.result.files_before, self.result.bytes_before
        self.result.commits_after = self.result.commits_before

    def _remove_rows(self) -> None:
        keep_from = self.plan.keep_from.get(self.table.full_name)
        if keep_from is None:
            return
        removal = find_removal(self.lake, self.table, keep_from)
        self.result.rows_removed, self.result.floors = removal.rows, removal.floors
        self.result.refused += [removal.refused] if removal.refused else []
        self.result.notes += [removal.kept] if removal.kept else []
        if not self.dry_run:
            carry_out(self.lake, removal, self.by, self.why)

    def _compact(self, before: Sequence[LiveFile]) -> None:
        if self.dry_run:
            small = mergeable(before, self.plan.target_bytes)
            self.result.files_after = len(before) - len(small) + _merged(small, self.plan.target_bytes)
            self.result.bytes_after = self.result.bytes_before
            return
        files = live_files(self.lake, self.table)
        if mergeable(files, self.plan.target_bytes):
            compact(self.lake, self.table, self.plan.target_bytes)
            files = live_files(self.lake, self.table)
        self.result.files_after, self.result.bytes_after = _size(files)

    def _remove_files(self, reader: Reader | None) -> None:
        going = unreferenced_files(self.lake, self.table)
        if not going:
            return
        if reader and (refused := _still_needed(self.lake, reader, going)):
            self.result.refused.append(refused)
            return
        self.result.files_removed = len(going)
        self.result.bytes_removed = sum(path.stat().st_size for path in going)
        if not self.dry_run:
            vacuum(self.lake, self.table)

    def _shorten_log(self) -> None:
        version = current_version(self.lake, self.table)
        if self.dry_run:
            return
        moved = self.result.files_before - self.result.files_after
        if is_log_long(self.lake, self.table, version, moved):
            checkpoint_log(self.lake, self.table)
        if old_commits(self.lake, self.table, version):
            clean_log(self.lake, self.table)


def _still_needed(lake: Lake, reader: Reader, going: Sequence[Path]) -> str:
    """Why files must stay; empty where they may go."""
    needed = needed_files(lake, reader)
    count = len(going) if needed is None else len(needed.intersection(going))
    if not count:
        return ""
    return f"{reader} and still needs {count:,} of {len(going):,} files that would go; let it catch up: sluice run"


def _size(files: Sequence[LiveFile]) -> tuple[int, int]:
    return len(files), sum(file.size_bytes for file in files)


def _merged(small: Sequence[LiveFile], target_bytes: int) -> int:
    """About how many files compaction makes of small ones."""
    sizes: dict[str, int] = {}
    for file in small:
        sizes[file.partition] = sizes.get(file.partition, 0) + file.size_bytes
    return sum(max(1, -(-size // target_bytes)) for size in sizes.values())


def maintain_as_asked(lake: Lake, request: Request, told: Told = lambda _: None) -> Answer:
    """Carries a request out, as the owner of its layer; what goes wrong is the answer, and stops no stream."""
    try:
        plan = read_plan(request.subject)
        done = maintain_layer(lake, request.layer, plan, request.by, request.why, dry_run=False, told=told)
    except SluiceError as error:
        return Answer(False, error.in_one_line)
    except (DeltaError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return Answer(
            False, f"maintenance of {request.layer} failed, give the command again once it is mended: {reason}"
        )
    return Answer(True, summary(request.layer, done), {"tables": [each.as_json() for each in done]})


def answer_maintenance(lake: Lake, layer: str, told: Told = lambda _: None) -> None:
    """Carries out what maintenance is asked of a layer; for owners that understand no other request.

    While a micro-batch that was interrupted is not finished, it waits.
    """
    asked = [request for request in pending_requests(lake, layer) if request.action == MAINTAIN]
    if asked and not (layer in LEDGERS and unfinished_batch(lake, layer)):
        for request in asked:
            answer_request(lake, request, maintain_as_asked(lake, request, told))


def summary(layer: str, done: Sequence[Upkeep]) -> str:
    """What was done to a layer, in one line."""
    rows = sum(each.rows_removed for each in done)
    files = f"{sum(each.files_before for each in done):,} files are now {sum(each.files_after for each in done):,}"
    removed = f", {sum(each.files_removed for each in done):,} unreferenced ones removed"
    refused = sum(len(each.refused) for each in done)
    kept = f", {refused} refused" if refused else ""
    return f"{layer} maintained: {files}{removed}" + (f", {rows:,} rows removed" if rows else "") + kept

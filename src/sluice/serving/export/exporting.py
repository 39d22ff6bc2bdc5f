"""A table's days brought to a folder: those that changed since the export that is there, each file whole or not at all.

The manifest comes after the files of a day: a death in between is mended by the next export, which compares that day
again. Only one process exports to a folder.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from dataclasses import dataclass, replace
from datetime import date, datetime, timezone
from importlib.metadata import version as version_of
from pathlib import Path

import duckdb
import pyarrow as pa
from deltalake import DeltaTable

from sluice.errors import ExportInvalid, LakeMissing
from sluice.serving.export.manifest import Day, Manifest, Part, read_manifest
from sluice.serving.export.names import folder_of
from sluice.serving.export.owners import Owners
from sluice.serving.export.parts import PartFile, put_in_place, sync_folder
from sluice.serving.export.rows import DayRows
from sluice.serving.export.wish import Wish
from sluice.serving.lake import OpenLake
from sluice.serving.values import rfc3339
from sluice.tables.changes import changed_days
from sluice.tables.lake import Lake
from sluice.tables.reading import add_actions

_WRITING = ".writing"
_SECONDS_BETWEEN_MANIFESTS = 5.0


@dataclass(frozen=True)
class Exported:
    """What became of one table.

    Attributes:
        days: that are asked for and have rows, or had.
        days_unchanged: those of them that were not read, as nothing had changed.
        written: files that are new or other than before.
        removed: files whose rows the table no longer has.
        files, rows, bytes: what the folder holds now.
    """

    table: str
    folder: str
    table_version: int
    days: int
    days_unchanged: int
    written: int
    removed: int
    files: int
    rows: int
    bytes: int
    seconds: float


def export_table(lake: OpenLake, wish: Wish, owners: Owners | None) -> Exported:
    """Brings the wished days to the folder, which the caller owns.

    Args:
        owners: where rows do not say their customer.

    Raises:
        LakeMissing: there is no such table, or a file of it went away meanwhile.
        ExportInvalid: the folder holds another lake's export, or one of another form.
    """
    started = time.monotonic()
    delta = lake.delta(wish.table.name)
    folder = wish.folder / wish.table.name
    shutil.rmtree(folder / _WRITING, ignore_errors=True)
    rows = DayRows(lake, wish.table, delta.version(), owners)
    export = _Export(lake, wish, folder, rows, _manifest(delta, wish, rows.schema, owners), read_manifest(folder))
    try:
        days, unchanged = export.run(_days_in(delta, wish.table.day))
    except (FileNotFoundError, pa.ArrowException, duckdb.Error) as error:
        raise LakeMissing(f"a file of {wish.table.name} went away while it was read", "export again") from error
    finally:
        shutil.rmtree(folder / _WRITING, ignore_errors=True)
    files = export.manifest.files.values()
    return Exported(
        wish.table.name,
        str(folder),
        delta.version(),
        days,
        unchanged,
        export.written,
        export.removed,
        len(files),
        sum(part.rows for part in files),
        sum(part.bytes for part in files),
        round(time.monotonic() - started, 3),
    )


def _manifest(delta: DeltaTable, wish: Wish, schema: pa.Schema, owners: Owners | None) -> Manifest:
    written_at = datetime.fromtimestamp(delta.history(1)[0]["timestamp"] / 1000, timezone.utc)
    return Manifest(
        wish.table.name,
        str(delta.metadata().id),
        delta.version(),
        rfc3339(written_at),
        wish.format,
        wish.escape_formulas,
        f"sluice {version_of('sluice')}, pyarrow {pa.__version__}",
        tuple((each.name, str(each.type)) for each in schema),
        owners.digest if owners else "",
    )


def _days_in(delta: DeltaTable, column: str) -> set[date]:
    return {day for day in set(add_actions(delta)[f"partition.{column}"].to_pylist()) if day is not None}


class _Export:
    """One export of one table."""

    def __init__(
        self, lake: OpenLake, wish: Wish, folder: Path, rows: DayRows, now: Manifest, before: Manifest | None
    ) -> None:
        self._lake, self._wish, self._folder, self._rows, self._now = lake, wish, folder, rows, now
        self._changed: dict[int, set[date] | None] = {}
        self._days: dict[str, Day] = {}
        self._parts: dict[str, list[Part]] = {}
        self._comparable = before is not None and not wish.again and _says_the_same(before, now)
        self._manifest_written = time.monotonic()
        self.written = self.removed = 0
        if before is not None:
            _check_same(folder, before, now)
            self._days |= before.days
            for part in before.files.values():
                self._parts.setdefault(part.day, []).append(part)

    @property
    def manifest(self) -> Manifest:
        """What the folder holds by now."""
        files = {part.path: part for parts in self._parts.values() for part in parts}
        return replace(self._now, days=dict(self._days), files=files)

    def run(self, in_table: set[date]) -> tuple[int, int]:
        """How many days were asked for, and how many of them had not changed."""
        wished = sorted(day for day in in_table | self._in_folder() if self._wish.covers(day))
        unchanged = 0
        for day in wished:
            if self._is_unchanged(day):
                unchanged += 1
                self._note(day, self._days[str(day)].customers)
            else:
                self._export(day, day in in_table)
        self._folder.mkdir(parents=True, exist_ok=True)
        self.manifest.write(self._folder)
        return len(wished), unchanged

    def _in_folder(self) -> set[date]:
        named = {path.name.removeprefix("day=") for path in self._folder.glob("day=*")}
        found = set()
        for name in named | set(self._days):
            with contextlib.suppress(ValueError):
                found.add(date.fromisoformat(name))
        return found

    def _is_unchanged(self, day: date) -> bool:
        known = self._days.get(str(day))
        if known is None or not self._comparable:
            return False
        if known.customers is not None and self._wish.customer not in known.customers:
            return False
        changed = self._changed_since(known.table_version)
        return changed is not None and day not in changed and all(map(self._is_there, self._parts.get(str(day), ())))

    def _changed_since(self, version: int) -> set[date] | None:
        if version not in self._changed:
            table = self._wish.table
            self._changed[version] = changed_days(
                Lake(self._lake.path), table.table, table.day, version, self._now.table_version
            )
        return self._changed[version]

    def _is_there(self, part: Part) -> bool:
        path = self._folder / part.path
        return path.is_file() and path.stat().st_size == part.bytes

    def _export(self, day: date, has_rows: bool) -> None:
        only, known = self._wish.customer, self._days.get(str(day))
        kept = [part for part in self._parts.get(str(day), ()) if only is not None and part.customer != only]
        new = self._write(day) if has_rows else []
        for part, temporary in new:
            self.written += put_in_place(temporary, self._folder / part.path, part.bytes, part.sha256)
        self._parts[str(day)] = [*kept, *(part for part, _ in new)]
        self._remove_others(day)
        at_this_version = known is not None and known.table_version == self._now.table_version
        others = (known.customers or ()) if known is not None and at_this_version else ()
        self._note(day, None if only is None else tuple(sorted({*others, only})))
        if time.monotonic() - self._manifest_written > _SECONDS_BETWEEN_MANIFESTS:
            self.manifest.write(self._folder)
            self._manifest_written = time.monotonic()

    def _note(self, day: date, customers: tuple[str, ...] | None) -> None:
        if self._parts.get(str(day)) or customers is not None:
            self._days[str(day)] = Day(self._now.table_version, customers)
        else:
            self._days.pop(str(day), None)

    def _write(self, day: date) -> list[tuple[Part, Path]]:
        finished: list[tuple[Part, Path]] = []
        part: PartFile | None = None
        whose: str | None = None
        for customer, batch in self._rows.of(day, self._wish.customer):
            if part is None or customer != whose:
                if part is not None:
                    finished.append(self._finish(part, day, whose))
                temporary = self._folder / _WRITING / f"{len(finished)}.{self._wish.format}"
                part = PartFile.begin(temporary, self._rows.schema, self._wish.format, self._wish.escape_formulas)
                whose = customer
            part.write(batch)
        if part is not None:
            finished.append(self._finish(part, day, whose))
        return finished

    def _finish(self, part: PartFile, day: date, customer: str | None) -> tuple[Part, Path]:
        size, sha256 = part.finish()
        path = f"day={day}/{folder_of(customer)}/part.{self._wish.format}"
        return Part(path, str(day), customer, part.rows, size, sha256), part.temporary

    def _remove_others(self, day: date) -> None:
        """Removes what an earlier export, or one that was killed, left of a day and that is not to be there."""
        kept = {part.path for part in self._parts[str(day)]}
        for file in sorted((self._folder / f"day={day}").glob(f"customer=*/part.{self._wish.format}")):
            if file.relative_to(self._folder).as_posix() not in kept:
                file.unlink()
                self.removed += 1
                for folder in (file.parent, file.parent.parent):
                    with contextlib.suppress(OSError):
                        folder.rmdir()
                        sync_folder(folder.parent)


def _check_same(folder: Path, before: Manifest, now: Manifest) -> None:
    if before.table_id != now.table_id:
        raise ExportInvalid(f"{folder} holds the export of another lake", "give another --output, or remove it")
    if before.format != now.format:
        raise ExportInvalid(f"{folder} holds files of the format {before.format}", "give another --output")


def _says_the_same(before: Manifest, now: Manifest) -> bool:
    """Whether rows that did not change are the same bytes still."""
    same = (before.schema, before.owners, before.escape_formulas) == (now.schema, now.owners, now.escape_formulas)
    return same and before.table_version <= now.table_version

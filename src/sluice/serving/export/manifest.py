"""The manifest of an exported table: which files there are, what is in them, and of which version of the table."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from sluice.errors import ExportInvalid
from sluice.serving.export.names import is_folder
from sluice.tables.lake import write_atomically

NAME = "manifest.json"
FORM = 1
_DAY = re.compile(r"day=\d{4}-\d{2}-\d{2}")
_MEND = "export to another folder, or restore that file"


@dataclass(frozen=True)
class Part:
    """One file.

    Attributes:
        path: below the table's folder, with slashes.
        day: of all its rows, YYYY-MM-DD.
        customer: of all its rows; None for those of none.
    """

    path: str
    day: str
    customer: str | None
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Day:
    """What is known of a day.

    Attributes:
        table_version: at which it was last compared.
        customers: null for all, else those that were exported.
    """

    table_version: int
    customers: tuple[str, ...] | None


@dataclass(frozen=True)
class Manifest:
    """What an exported table holds.

    Attributes:
        table_id: the Delta table's own.
        table_version: the newest that the export has seen.
        as_of: when that version was written.
        format: parquet or csv.
        schema: each column's name and Arrow type.
        owners: a hash of which device is whose, where rows do not say; else empty.
        days: by YYYY-MM-DD.
        files: by their path.
    """

    table: str
    table_id: str
    table_version: int
    as_of: str
    format: str
    escape_formulas: bool
    written_by: str
    schema: tuple[tuple[str, str], ...]
    owners: str
    days: Mapping[str, Day] = field(default_factory=dict)
    files: Mapping[str, Part] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Puts it in place, whole at once."""
        content: dict[str, Any] = {"manifest": FORM, **asdict(self)}
        content["schema"] = [{"name": name, "type": kind} for name, kind in self.schema]
        content["days"] = dict(sorted(content["days"].items()))
        content["files"] = [asdict(part) for _, part in sorted(self.files.items())]
        text = json.dumps(content, indent=1, ensure_ascii=True) + "\n"
        if not (folder / NAME).is_file() or (folder / NAME).read_text("utf-8") != text:
            write_atomically(folder / NAME, text)


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a table's folder; None where there is none yet.

    Raises:
        ExportInvalid: it cannot be read, was written by a newer Sluice, or names a file outside the folder.
    """
    path = folder / NAME
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        raise ExportInvalid(f"{path} cannot be read", _MEND) from None
    try:
        form = content.pop("manifest")
        if form != FORM:
            raise ExportInvalid(f"{path} has form {form}, this version of Sluice knows {FORM}", "use a newer Sluice")
        schema = tuple((column["name"], column["type"]) for column in content.pop("schema"))
        days = {day: _day(known) for day, known in content.pop("days").items()}
        files = {part["path"]: Part(**part) for part in content.pop("files")}
        found = Manifest(schema=schema, days=days, files=files, **content)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ExportInvalid(f"{path} is not a manifest of `sluice export`", _MEND) from None
    if odd := [name for name in files if not _is_inside(name, found.format)]:
        raise ExportInvalid(f"{path} names {odd[0]!r}, which is no file of an export", _MEND)
    return found


def _day(known: Mapping[str, Any]) -> Day:
    customers = known["customers"]
    return Day(int(known["table_version"]), None if customers is None else tuple(customers))


def _is_inside(name: str, form: str) -> bool:
    parts = PurePosixPath(name).parts
    return (
        len(parts) == 3 and _DAY.fullmatch(parts[0]) is not None and is_folder(parts[1]) and parts[2] == f"part.{form}"
    )

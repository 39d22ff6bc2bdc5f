"""The rules of the suites as they stand in their files now, for reading; they are applied in `quality/`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice.errors import SuiteInvalid
from sluice.schemas import TABLES

ROW, BATCH = "row", "batch"
# What rows are judged by beside the columns of the table they want to enter.
_JUDGED_BESIDE = ("latest_accepted_time",)
_REGISTERED = ("_registered_min", "_registered_max")


@dataclass(frozen=True)
class ShownRule:
    """A rule of a suite.

    Attributes:
        scope: row where each row is judged, batch where the whole batch is.
    """

    suite: str
    rule_id: str
    scope: str
    severity: str
    dimension: str | None
    type: str
    kwargs: Mapping[str, Any]
    description: str | None


def read_rules(folder: Path) -> list[ShownRule]:
    """The rules of all suites of a folder, in the order of the files and of their entries.

    Raises:
        SuiteInvalid: the folder has no suite, or a file is no suite at all. `sluice gate check` judges them strictly.
    """
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise SuiteInvalid(f"there is no suite in {folder}", "set expectations.path")
    return [rule for path in paths for rule in _rules(path)]


def _rules(path: Path) -> Iterator[ShownRule]:
    try:
        for entry in json.loads(path.read_text("utf-8"))["expectations"]:
            meta = entry.get("meta") or {}
            named = (path.stem, str(meta.get("rule_id")), scope_of(path.stem, entry), str(entry.get("severity")))
            yield ShownRule(
                *named, meta.get("dimension"), str(entry["type"]), entry.get("kwargs") or {}, entry.get("description")
            )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SuiteInvalid(f"cannot read the suite {path}: {error}", "mend the file") from None


def scope_of(suite: str, entry: Mapping[str, Any]) -> str:
    """Whether a rule is about each row, or about what was counted of a batch.

    `meta.scope` says it where it is given; else a rule is about rows if all of its columns are columns of rows.
    """
    if (said := (entry.get("meta") or {}).get("scope")) in (ROW, BATCH):
        return str(said)
    kwargs = entry.get("kwargs") or {}
    columns = [kwargs[name] for name in ("column", "column_A", "column_B") if name in kwargs]
    return ROW if columns and all(_is_of_rows(suite, str(column)) for column in columns) else BATCH


def _is_of_rows(suite: str, column: str) -> bool:
    known = {name for table in TABLES if f"{table.layer}_{table.name}" == suite for name in table.column_names}
    return column in known or column in _JUDGED_BESIDE or column.endswith(_REGISTERED)

"""What tables that are derived from others were made of last, as files in gold's checkpoint folder say.

Such a file is written after the tables: a death between the two repeats work that changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sluice.tables.lake import Lake, write_atomically

# The files, by what they are about.
ROLLUPS, DEVICES = "rollups", "devices"
# The version of a table that does not exist.
ABSENT = -1


@dataclass(frozen=True)
class Coverage:
    """What derived tables were made of last.

    Attributes:
        versions: by table's full name; of the tables that were read, and of the derived ones as they were left.
        registry_hash: of the device registry that was read; empty where none was.
    """

    versions: Mapping[str, int]
    registry_hash: str = ""


def read_coverage(lake: Lake, name: str) -> Coverage | None:
    """What was covered last; None, and so nothing is, where that is not known."""
    try:
        content = json.loads(_path(lake, name).read_text("utf-8"))
        versions = {str(table): int(version) for table, version in content["versions"].items()}
        return Coverage(versions, str(content["registry_hash"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write_coverage(lake: Lake, name: str, coverage: Coverage) -> None:
    """Notes what is covered; all of it or nothing is there after a crash."""
    content = {"versions": dict(coverage.versions), "registry_hash": coverage.registry_hash}
    write_atomically(_path(lake, name), json.dumps(content, indent=1) + "\n")


def _path(lake: Lake, name: str) -> Path:
    return lake.checkpoint_path("gold") / f"{name}.json"

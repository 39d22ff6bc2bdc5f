"""Whether an export is what its manifests say: every file there, with its bytes, and none beside them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sluice.errors import ExportInvalid
from sluice.serving.export.manifest import NAME, Manifest, read_manifest
from sluice.serving.export.parts import sha256_of


@dataclass(frozen=True)
class Verified:
    """What was found in a table's folder.

    Attributes:
        differences: one line each, with the file's path; empty where all is as it should be.
    """

    table: str
    table_version: int
    files: int
    rows: int
    bytes: int
    differences: tuple[str, ...]


def verify_export(folder: Path) -> list[Verified]:
    """Each table of an export, or the one table that the folder is of, compared with its manifest.

    Raises:
        ExportInvalid: there is no manifest, or one cannot be read.
    """
    folders = [folder] if (folder / NAME).is_file() else sorted(path.parent for path in folder.glob(f"*/{NAME}"))
    if not folders:
        raise ExportInvalid(f"{folder} holds no {NAME}", "give the folder that `sluice export --output` was given")
    found = []
    for each in folders:
        manifest = read_manifest(each)
        if manifest is not None:
            found.append(_verify(each, manifest))
    return found


def _verify(folder: Path, manifest: Manifest) -> Verified:
    differences = []
    for path, part in sorted(manifest.files.items()):
        file = folder / path
        if file.is_symlink() or not file.is_file():
            differences.append(f"{path}: missing")
        elif file.stat().st_size != part.bytes:
            differences.append(f"{path}: {file.stat().st_size} bytes, not {part.bytes}")
        elif sha256_of(file) != part.sha256:
            differences.append(f"{path}: other bytes than the manifest's checksum says")
    there = {file.relative_to(folder).as_posix() for file in folder.glob("day=*/customer=*/*")}
    differences += [f"{path}: not in the manifest" for path in sorted(there - set(manifest.files))]
    return Verified(
        manifest.table,
        manifest.table_version,
        len(manifest.files),
        sum(part.rows for part in manifest.files.values()),
        sum(part.bytes for part in manifest.files.values()),
        tuple(differences),
    )

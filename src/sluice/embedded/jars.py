"""The JVM jars: which must be there, and whether they are. Standard library only: setup runs it too."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sluice.errors import JarsMissing

# As in the list, and as folders below the jars' path.
GROUPS = ("spark", "broker")
LIST_NAME = "jars.sha256"


def read_jar_list(path: Path) -> dict[str, str]:
    """`group/file.jar` to SHA-256 in hex, from a list in the form of sha256sum.

    Raises:
        JarsMissing: the list cannot be read.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise JarsMissing(f"cannot read {path}: {error.strerror}", "restore it, e.g. git checkout infra") from None
    pairs = (line.split() for line in lines if line.strip() and not line.startswith("#"))
    return {name.lstrip("*"): digest for digest, name in pairs}


def jar_faults(jars_path: Path, expected: dict[str, str]) -> dict[str, str]:
    """`group/file.jar` to what is wrong with it: missing, changed, or not in the list.

    A jar outside the list counts, because a whole folder is put on the class path. Reads every file.
    """
    found = {f"{group}/{path.name}": path for group in GROUPS for path in sorted((jars_path / group).glob("*.jar"))}
    faults = {name: "missing" for name in expected if name not in found}
    for name, path in found.items():
        if name not in expected:
            faults[name] = "not in the list"
        elif sha256_of(path) != expected[name]:
            faults[name] = "changed"
    return faults


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def class_path(jars_path: Path, group: str) -> str:
    """The class path that holds all jars of a group; looks only at whether there are any.

    Raises:
        JarsMissing: there are none.
    """
    folder = jars_path / group
    if not any(folder.glob("*.jar")):
        raise JarsMissing(f"no JVM jars in {folder}", "run `make setup`, or set spark.jars_path")
    return str(folder / "*")

"""The lake as a folder: where things lie, its format, and who owns a layer. No Spark."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from sluice.errors import LakeMissing, LakeTooNew, LayerLocked
from sluice.schemas import LAKE_FORMAT, Table

_MARKER = "_sluice.json"


@dataclass(frozen=True)
class Lake:
    """A lake at a path that all of its jobs and readers see under the same name."""

    path: Path

    def table_path(self, table: Table) -> str:
        """The folder of a table."""
        return str(self.path / table.relative_path)

    def has_table(self, table: Table) -> bool:
        """Whether the table has been created."""
        return (self.path / table.relative_path / "_delta_log").is_dir()

    def checkpoint_path(self, layer: str) -> Path:
        """The folder of a layer's streaming checkpoint."""
        return self.path / "_checkpoints" / layer

    def lock_path(self, layer: str) -> Path:
        """The file whose OS lock the layer's owner holds."""
        return self.path / "_locks" / layer

    def prepare(self) -> None:
        """Creates the lake's folder and format mark, or checks the mark that is there.

        Raises:
            LakeTooNew: a newer version of Sluice wrote the lake.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        marker = self.path / _MARKER
        if not marker.exists():
            write_atomically(marker, json.dumps({"lake_format": LAKE_FORMAT}) + "\n")
        self.check_format()

    def require(self) -> None:
        """Refuses to go on without the lake, or with one of a newer format.

        Raises:
            LakeMissing: there is none.
            LakeTooNew: a newer version of Sluice wrote it.
        """
        if not self.path.is_dir():
            raise LakeMissing(f"there is no lake at {self.path}", "sluice run makes it; or set lake.path")
        self.check_format()

    def check_format(self) -> None:
        """Refuses a lake of a newer format; a lake without a mark is taken as new.

        Raises:
            LakeTooNew: as above.
        """
        try:
            found = json.loads((self.path / _MARKER).read_text("utf-8"))["lake_format"]
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError):
            found = "unreadable"
        if not isinstance(found, int) or found > LAKE_FORMAT:
            raise LakeTooNew(
                f"the lake at {self.path} has format {found}, this version of Sluice knows up to {LAKE_FORMAT}",
                "install the version of Sluice that wrote it, or set lake.path to another folder",
            )


@dataclass(frozen=True)
class Owner:
    """The process that owns a layer."""

    pid: int
    host: str
    since: str


@contextlib.contextmanager
def own_layer(lake: Lake, layer: str) -> Iterator[None]:
    """Holds the layer's OS lock; the system releases it however the process ends.

    Raises:
        LayerLocked: another process holds it; names host and pid.
    """
    path = lake.lock_path(layer)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = _read_owner(path)
            who = f"process {owner.pid} on {owner.host} since {owner.since}" if owner else "another process"
            raise LayerLocked(
                f"{layer} of the lake {lake.path} is owned by {who}",
                "let that process do the work, or stop it first",
            ) from None
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        text = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": now})
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(), 0)
        yield
    finally:
        os.close(descriptor)


def layer_owner(lake: Lake, layer: str) -> Owner | None:
    """The process that holds the layer now, or None."""
    path = lake.lock_path(layer)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read_owner(path) or Owner(0, "unknown", "unknown")
    finally:
        os.close(descriptor)
    return None


def _read_owner(path: Path) -> Owner | None:
    try:
        content = json.loads(path.read_text("utf-8"))
        return Owner(int(content["pid"]), str(content["host"]), str(content["since"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_atomically(path: Path, text: str) -> None:
    """Writes a small file so that a reader, or a crash, sees all of it or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise

"""What to export, and to where, which one process at a time does."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from sluice.errors import ExportInvalid, StoreLocked
from sluice.serving.export.parts import Format
from sluice.serving.export.tables import ExportTable

_LOCK = ".sluice-export.lock"


@dataclass(frozen=True)
class Wish:
    """What to export, and how.

    Attributes:
        first, last: days, both included; None for no bound.
        customer: one alone; None for all.
        folder: below which each table has its own.
        again: read all days, whether they changed or not.
    """

    table: ExportTable
    folder: Path
    format: Format
    escape_formulas: bool = False
    first: date | None = None
    last: date | None = None
    customer: str | None = None
    again: bool = False

    def covers(self, day: date) -> bool:
        """Whether the day is asked for."""
        return (self.first is None or day >= self.first) and (self.last is None or day <= self.last)


@contextlib.contextmanager
def own_folder(folder: Path) -> Iterator[None]:
    """Keeps other exports out of a folder, which is made if need be.

    Raises:
        StoreLocked: another process exports to it.
        ExportInvalid: it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise ExportInvalid(f"cannot write to {folder}: {error.strerror}", "give another --output") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise StoreLocked(f"another process exports to {folder}", "let it finish, or give another --output") from None
    finally:
        os.close(descriptor)

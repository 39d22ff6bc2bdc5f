"""What happens to the files below a folder, in order and at once, as Linux tells it (inotify)."""

from __future__ import annotations

import ctypes
import os
import select
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

OPENED = "opened"  # an existing file, for reading or writing
BEGUN = "begun"  # it is there, perhaps not all of it
WRITTEN = "written"  # closed after writing, or put in place by a rename

_OPEN, _CLOSE_WRITE, _MOVED_TO, _CREATE = 0x20, 0x8, 0x80, 0x100
_IS_FOLDER, _OVERFLOW = 0x40000000, 0x4000
_MASK = _OPEN | _CLOSE_WRITE | _MOVED_TO | _CREATE
_KINDS = {_OPEN: (OPENED,), _CREATE: (BEGUN,), _CLOSE_WRITE: (WRITTEN,), _MOVED_TO: (BEGUN, WRITTEN)}
_HEADER = struct.Struct("iIII")


@dataclass(frozen=True)
class Event:
    """Something that happened to a file.

    Attributes:
        kind: OPENED, BEGUN or WRITTEN.
        path: below the watched folder.
    """

    kind: str
    path: str


class FileEvents:
    """Watches a folder and all folders in it, also those made later, for as long as the block runs."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._folders: dict[int, str] = {}
        self._descriptor = -1

    def __enter__(self) -> FileEvents:
        self._descriptor = self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        for folder, _, _ in os.walk(self._root):
            self._watch("" if folder == str(self._root) else os.path.relpath(folder, self._root))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def read(self, timeout_seconds: float) -> Iterator[Event]:
        """What has happened since the last call; waits for something to happen, but no longer than the timeout."""
        if not select.select([self._descriptor], [], [], timeout_seconds)[0]:
            return
        content = os.read(self._descriptor, 65_536)
        position = 0
        while position < len(content):
            watch, mask, _, length = _HEADER.unpack_from(content, position)
            position += _HEADER.size + length
            if mask & _OVERFLOW:
                raise OSError("the kernel dropped file events")
            name = content[position - length : position].rstrip(b"\0").decode()
            yield from self._told(self._path(watch, name), mask)

    def _path(self, watch: int, name: str) -> str:
        folder = self._folders.get(watch, "")
        return f"{folder}/{name}" if folder else name

    def _told(self, path: str, mask: int) -> Iterator[Event]:
        if not mask & _IS_FOLDER:
            for bit, kinds in _KINDS.items():
                if mask & bit:
                    yield from (Event(kind, path) for kind in kinds)
        elif mask & (_CREATE | _MOVED_TO):
            yield from self._follow(path)

    def _follow(self, folder: str) -> Iterator[Event]:
        """Watches a new folder; what came into it before that is told now, and may be told twice."""
        if not self._watch(folder):
            return
        for found in sorted((self._root / folder).iterdir()):
            path = str(found.relative_to(self._root))
            if found.is_dir():
                yield from self._follow(path)
            else:
                yield Event(BEGUN, path)

    def _watch(self, folder: str) -> bool:
        watch = self._libc.inotify_add_watch(self._descriptor, os.fsencode(self._root / folder), _MASK)
        if watch >= 0:
            self._folders[watch] = folder
        return bool(watch >= 0)

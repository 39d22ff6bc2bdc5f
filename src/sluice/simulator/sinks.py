"""Where messages go: anything with send, push and close. Here: lines in a file or on standard output."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from sluice.errors import DependencyError, UsageError

_LINES_AT_ONCE = 4096


class Sink(Protocol):
    """Takes messages in order."""

    def send(self, key: bytes | None, value: bytes) -> None:
        """Takes one message; it may leave later."""

    def push(self) -> None:
        """Lets everything taken so far leave, without waiting for it to arrive."""

    def close(self) -> None:
        """Waits until everything has arrived; a second call does nothing."""


class LineSink:
    """Writes each message, without its key, as one line.

    Args:
        stream: where to; stays open unless it fails.

    Raises:
        DependencyError: nothing more can be written (a full disk); a reader that has gone is a BrokenPipeError.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lines: list[bytes] = []

    def send(self, key: bytes | None, value: bytes) -> None:  # noqa: ARG002 (a line has no key)
        """Takes one message."""
        self._lines.append(value)
        if len(self._lines) >= _LINES_AT_ONCE:
            self._write()

    def push(self) -> None:
        """Writes what was taken."""
        self._write()

    def close(self) -> None:
        """Writes what was taken."""
        self._write()

    def _write(self) -> None:
        if not self._lines:
            return
        text = b"\n".join((*self._lines, b""))
        self._lines.clear()
        try:
            self._stream.write(text)
            self._stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            # Else the stream would try again, and fail again, when it is collected.
            with suppress(OSError):
                self._stream.close()
            raise DependencyError(f"cannot write the events: {error.strerror}", "make room and start again") from None


class FileSink(LineSink):
    """Writes each message as one line of a new file; an older one of that name is replaced.

    Raises:
        UsageError: the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        try:
            file = path.open("wb")
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}", "choose another --out") from None
        super().__init__(file)

    def close(self) -> None:
        """Writes the rest and closes the file."""
        self._write()
        self._stream.close()

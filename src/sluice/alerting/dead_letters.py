"""What could not be delivered: a file a channel, and a copy in a topic; delivered again when a person asks for it.

The file is the record: a line is on the disk before the channel goes on. The copy in the topic may be missing if the
broker is away, and lists no more alerts than a message does.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from sluice.alerting.messages import Message, message_as_json, message_from_json
from sluice.alerting.signals import time_text
from sluice.errors import DeadLettersBusy
from sluice.sources.kafka_records import OutgoingRecord
from sluice.tables.lake import write_atomically

_SUFFIX = ".jsonl"


@dataclass(frozen=True)
class DeadLetter:
    """A message that was given up.

    Attributes:
        reason: of the last attempt.
    """

    message: Message
    reason: str
    attempts: int
    given_up_at: datetime


@dataclass(frozen=True)
class Replayed:
    """What came of delivering again.

    Attributes:
        unreadable: lines of the file that are none of ours; they stay.
    """

    delivered: int
    failed: int
    unreadable: int = 0


class DeadLetterFile:
    """The file of one channel, `<folder>/<channel>.jsonl`."""

    def __init__(self, folder: Path, channel: str) -> None:
        self.path = folder / f"{channel}{_SUFFIX}"

    def add(self, letter: DeadLetter) -> None:
        """Writes a letter down; it is on the disk afterwards.

        Raises:
            OSError: it cannot be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._locked(wait=True):
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with open(descriptor, "ab") as file:  # noqa: PTH123 (a descriptor)
                file.write(json.dumps(letter_as_json(letter)).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())

    def read(self) -> list[DeadLetter]:
        """The letters that can be read, each message once."""
        found: dict[str, DeadLetter] = {}
        for line in self._lines():
            letter = _read(line)
            if letter is not None:
                found[letter.message.message_id] = letter
        return list(found.values())

    def replay(self, deliver: Callable[[Message], None]) -> Replayed:
        """Delivers each message once more; those that are taken leave the file.

        Args:
            deliver: raises an exception for what is not taken; it is written down as the new reason.

        Raises:
            DeadLettersBusy: another process is at it.
        """
        with self._replaying():
            unreadable = sum(1 for line in self._lines() if _read(line) is None)
            delivered = failed = 0
            for letter in self.read():
                try:
                    deliver(letter.message)
                except Exception:
                    failed += 1
                    continue
                delivered += 1
                self._drop(letter.message.message_id)
        return Replayed(delivered, failed, unreadable)

    def _drop(self, message_id: str) -> None:
        with self._locked(wait=True):
            kept = [line for line in self._lines() if _id_of(line) != message_id]
            write_atomically(self.path, "".join(kept))
            self.path.chmod(0o600)

    def _lines(self) -> list[str]:
        try:
            with self.path.open(encoding="utf-8", errors="replace") as file:
                # A line that a death cut off ends without its newline.
                return [line if line.endswith("\n") else f"{line}\n" for line in file if line.strip()]
        except FileNotFoundError:
            return []

    @contextlib.contextmanager
    def _replaying(self) -> Iterator[None]:
        if not self.path.parent.is_dir():
            yield
            return
        with self._lock_file(".replay", wait=False):
            yield

    def _locked(self, *, wait: bool) -> contextlib.AbstractContextManager[None]:
        return self._lock_file(".lock", wait=wait)

    @contextlib.contextmanager
    def _lock_file(self, suffix: str, *, wait: bool) -> Iterator[None]:
        path = self.path.with_name(f".{self.path.stem}{suffix}")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            yield
        except BlockingIOError:
            raise DeadLettersBusy(f"{self.path} is being replayed already", "wait until that is done") from None
        finally:
            os.close(descriptor)


def channels_with_letters(folder: Path) -> list[str]:
    """The names of channels that have a file."""
    return sorted(path.stem for path in folder.glob(f"*{_SUFFIX}"))


def letter_as_json(letter: DeadLetter) -> dict[str, Any]:
    """A letter as plain values."""
    return {
        "message_id": letter.message.message_id,
        "reason": letter.reason,
        "attempts": letter.attempts,
        "given_up_at": time_text(letter.given_up_at),
        "message": message_as_json(letter.message),
    }


def letter_record(letter: DeadLetter) -> OutgoingRecord:
    """The copy of a letter for the topic."""
    texts = {
        "sluice-stage": "delivery",
        "sluice-channel": letter.message.channel,
        "sluice-message-id": letter.message.message_id,
        "sluice-error-detail": letter.reason,
    }
    headers = [(name, text.encode()) for name, text in texts.items()]
    return OutgoingRecord(letter.message.channel.encode(), json.dumps(letter.message.as_json()).encode(), headers)


def _read(line: str) -> DeadLetter | None:
    try:
        content = json.loads(line)
        message = message_from_json(content["message"])
        at = datetime.fromisoformat(content["given_up_at"].replace("Z", "+00:00"))
        return DeadLetter(message, str(content["reason"]), int(content["attempts"]), at.astimezone(timezone.utc))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _id_of(line: str) -> str | None:
    try:
        return str(json.loads(line)["message_id"])
    except (ValueError, KeyError, TypeError):
        return None

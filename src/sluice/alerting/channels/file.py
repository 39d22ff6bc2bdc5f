"""The channel `file`: one line of JSON an alert and status, appended."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Literal

from pydantic import Field

from sluice.alerting.channels.channel import ChannelSettings, DeliveryFailed
from sluice.alerting.messages import Message
from sluice.alerting.state_messages import notice_as_json


class FileSettings(ChannelSettings):
    """A file; a relative path is relative to the project's folder. Nothing is grouped: every alert has its line."""

    type: Literal["file"]
    path: Path
    group_seconds: float = Field(default=0.0, ge=0, le=3600)
    messages_per_minute: float = Field(default=600.0, gt=0)


class FileChannel:
    """Appends to a file, which it makes with mode 0600; lines are on the disk when it says so."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def deliver(self, message: Message) -> None:
        """Appends a line for each alert.

        Raises:
            DeliveryFailed: the file cannot be written.
        """
        lines = [_line(message.message_id, notice_as_json(notice)) for notice in message.notices]
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with open(descriptor, "ab") as file:  # noqa: PTH123 (a descriptor)
                fcntl.flock(file, fcntl.LOCK_EX)
                file.write(b"".join(lines))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise DeliveryFailed(f"cannot write {self._path}: {error.strerror}") from None

    def close(self) -> None:
        """Has nothing open."""


def _line(message_id: str, notice: dict[str, object]) -> bytes:
    told = {"message_id": message_id, "notice_id": notice["notice_id"], **dict(notice["alert"])}  # type: ignore[call-overload]
    return json.dumps(told, ensure_ascii=True).encode() + b"\n"

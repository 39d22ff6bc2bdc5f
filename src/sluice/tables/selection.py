"""Which of the quarantined records a person means, as a value and as the text that a request carries. No Spark."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sluice.errors import UsageError


class At(NamedTuple):
    """Coordinates of a Kafka record; without a generation those of every generation of the topic."""

    topic: str
    generation: int | None
    partition: int
    offset: int

    def __str__(self) -> str:
        generation = "" if self.generation is None else f"{self.generation}:"
        return f"{self.topic}:{generation}{self.partition}:{self.offset}"


@dataclass(frozen=True)
class Selection:
    """What a record must fulfil, all of it; None and empty leave it free.

    Attributes:
        code: its error code.
        device_id: its device, as far as that could be read.
        stage: where it was refused, one of STAGES.
        since: it was quarantined then (UTC) or later.
        records: it is one of these.
    """

    code: str | None = None
    device_id: str | None = None
    stage: str | None = None
    since: datetime | None = None
    records: tuple[At, ...] = ()

    @property
    def is_everything(self) -> bool:
        """Whether nothing is asked of a record."""
        return self == Selection()

    def as_text(self) -> str:
        """The selection as JSON; equal selections have equal texts."""
        content = {
            "code": self.code,
            "device_id": self.device_id,
            "stage": self.stage,
            "since": self.since.isoformat() if self.since else None,
            "records": [list(each) for each in self.records],
        }
        return json.dumps({name: value for name, value in content.items() if value}, sort_keys=True)

    def __str__(self) -> str:
        parts = [f"code {self.code}"] if self.code else []
        parts += [f"device {self.device_id}"] if self.device_id else []
        parts += [f"stage {self.stage}"] if self.stage else []
        parts += [f"quarantined since {self.since.isoformat()}"] if self.since else []
        if len(self.records) == 1:
            parts.append(str(self.records[0]))
        elif self.records:
            parts.append(f"{len(self.records):,} given coordinates")
        return ", ".join(parts) or "all"


def read_selection(text: str) -> Selection:
    """The selection in a text that `Selection.as_text` wrote.

    Raises:
        UsageError: it is none.
    """
    try:
        content: dict[str, Any] = json.loads(text)
        since = content.get("since")
        return Selection(
            content.get("code"),
            content.get("device_id"),
            content.get("stage"),
            datetime.fromisoformat(since) if since else None,
            tuple(At(*each) for each in content.get("records", ())),
        )
    except (ValueError, TypeError, AttributeError):
        raise UsageError(f"{text[:200]!r} does not say which records are meant", "ask for them again") from None

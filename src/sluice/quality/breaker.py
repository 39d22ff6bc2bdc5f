"""The circuit breaker of a gate: after some holds in a row nothing more is tried until time has passed.

Closed, it lets every micro-batch come. Open, none; after `probe_after_seconds` one is tried, and what the gate
says of it closes the breaker or opens it anew. It holds no clock and no file: both are given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sluice.schemas import EMPTY, REFUSING_VERDICTS

CLOSED, OPEN = "closed", "open"


@dataclass(frozen=True)
class Breaker:
    """What a gate remembers of its last verdicts.

    Attributes:
        state: closed or open.
        holds_in_row: refused batches since the last that was let through.
        opened_at: when it opened last (UTC, RFC 3339), None while closed.
        last_batch_id: the batch counted last; one that is repeated after a crash is not counted again.
    """

    state: str = CLOSED
    holds_in_row: int = 0
    opened_at: str | None = None
    last_batch_id: int = -1

    @property
    def is_open(self) -> bool:
        """Whether no micro-batch may be taken before `next_try`."""
        return self.state == OPEN

    def after(self, verdict: str, batch_id: int, at: datetime, holds_to_open: int) -> Breaker:
        """The breaker once a batch has been decided; an empty batch, or one counted before, changes nothing.

        Args:
            at: time of the decision, UTC.
            holds_to_open: so many refused batches in a row open it.
        """
        if verdict == EMPTY or batch_id <= self.last_batch_id:
            return self
        if verdict not in REFUSING_VERDICTS:
            return Breaker(last_batch_id=batch_id)
        holds = self.holds_in_row + 1
        if self.is_open or holds >= holds_to_open:
            return Breaker(OPEN, holds, at.isoformat(), batch_id)
        return Breaker(CLOSED, holds, None, batch_id)

    def next_try(self, probe_after_seconds: float) -> datetime | None:
        """When a micro-batch may be tried again; None while closed."""
        if not self.is_open or self.opened_at is None:
            return None
        return datetime.fromisoformat(self.opened_at) + timedelta(seconds=probe_after_seconds)

    def as_json(self) -> dict[str, Any]:
        """For the file that keeps it."""
        return asdict(self)


def parse_breaker(content: Mapping[str, Any]) -> Breaker:
    """What `as_json` gave.

    Raises:
        ValueError: the content is not that of a breaker.
    """
    try:
        opened_at = content["opened_at"]
        state = {CLOSED: CLOSED, OPEN: OPEN}[content["state"]]
        breaker = Breaker(state, int(content["holds_in_row"]), opened_at, int(content["last_batch_id"]))
        if breaker.is_open and datetime.fromisoformat(str(opened_at)).tzinfo is None:
            raise ValueError(f"{opened_at} has no time zone")
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a breaker: {error}") from None
    return breaker

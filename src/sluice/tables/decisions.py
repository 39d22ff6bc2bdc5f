"""The decisions of a layer's gate, each a file in its checkpoint folder, and the texts they were made under."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from sluice.errors import CheckpointLost
from sluice.tables.checkpoints import mend_of
from sluice.tables.lake import write_atomically

_KEPT = 60


@dataclass(frozen=True)
class Decision:
    """Everything a promotion's outcome rests on, written before its first data commit.

    A replay carries out this decision, whatever suite, contract, registry or clock say by then.

    Attributes:
        table_version: of the table that was compared with (silver/readings), -1 where none is.
        promotion: the ledger's columns but `total_seconds`; `decided_at` is a UTC datetime.
        facts: what the batch rules judged.
        breaker: the circuit breaker after it.
        covers: what a replay or a discard is about: the `quarantine_version` in which its records were open, and
            which of them it means (`selection`); empty for all other promotions.
    """

    table_version: int
    promotion: Mapping[str, Any]
    facts: Mapping[str, float | None]
    breaker: Mapping[str, Any]
    covers: Mapping[str, Any] = field(default_factory=dict)

    @property
    def promotion_id(self) -> str:
        """The promotion's id."""
        return str(self.promotion["promotion_id"])

    @property
    def verdict(self) -> str:
        """The gate's verdict."""
        return str(self.promotion["verdict"])

    @property
    def decided_at(self) -> datetime:
        """When it was decided, UTC."""
        moment: datetime = self.promotion["decided_at"]
        return moment

    def hash_of(self, kind: str) -> str:
        """The hash of the suite, contract or registry it was made under."""
        return str(self.promotion[f"{kind}_hash"])


class Decisions:
    """The decisions of one checkpoint and the texts they were made under."""

    def __init__(self, checkpoint: Path) -> None:
        self._folder = checkpoint / "decisions"
        self._texts = checkpoint / "configs"

    def find(self, promotion_id: str) -> Decision | None:
        """The decision already made about a promotion, or None.

        Raises:
            CheckpointLost: its file is damaged.
        """
        path = self._folder / f"{promotion_id}.json"
        return _read(path) if path.exists() else None

    def keep(self, decision: Decision) -> None:
        """Writes the decision; all of it or nothing is there after a crash."""
        promotion = {**decision.promotion, "decided_at": decision.decided_at.isoformat()}
        content = {
            "table_version": decision.table_version,
            "promotion": promotion,
            "facts": dict(decision.facts),
            "breaker": dict(decision.breaker),
            "covers": dict(decision.covers),
        }
        write_atomically(self._folder / f"{decision.promotion_id}.json", json.dumps(content, indent=1) + "\n")
        for old in self._files()[:-_KEPT]:
            old.unlink(missing_ok=True)

    def latest(self, kind: str, before: int, count: int) -> list[Decision]:
        """The last `count` decisions of a kind about batches with a lower id than `before`, oldest first."""
        found = [decision for decision in map(_read, self._files()) if decision.promotion["kind"] == kind]
        earlier = [decision for decision in found if decision.promotion["batch_id"] < before]
        return sorted(earlier, key=lambda decision: decision.promotion["batch_id"])[-count:]

    def keep_text(self, kind: str, digest: str, text: str) -> None:
        """Keeps a suite, contract or registry under its hash."""
        path = self._texts / f"{kind}-{digest}"
        if not path.exists():
            write_atomically(path, text)

    def find_text(self, kind: str, digest: str) -> str:
        """A text kept before.

        Raises:
            CheckpointLost: it is gone.
        """
        path = self._texts / f"{kind}-{digest}"
        try:
            return path.read_text("utf-8")
        except OSError:
            layer = self._texts.parent.name
            raise CheckpointLost(f"{path}, under which a batch was decided, is gone", mend_of(layer)) from None

    def texts(self) -> dict[tuple[str, str], datetime]:
        """Kind and hash of every kept text, with the moment it was kept (UTC)."""
        found = {}
        for path in self._texts.glob("[!.]*-*"):
            kind, digest = path.name.split("-", 1)
            found[kind, digest] = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc)
        return found

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)


def _read(path: Path) -> Decision:
    try:
        content = json.loads(path.read_text("utf-8"))
        promotion = content["promotion"]
        promotion["decided_at"] = datetime.fromisoformat(promotion["decided_at"])
        covers = content.get("covers") or {}
        return Decision(int(content["table_version"]), promotion, content["facts"], content["breaker"], covers)
    except (ValueError, KeyError, TypeError):
        raise CheckpointLost(f"the decision {path} is damaged", mend_of(path.parent.parent.name)) from None

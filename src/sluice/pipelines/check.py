"""The answer of a comparison over many promotions, and what silver's stored results say of each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from sluice.pipelines.comparison import Comparison, RuleChange, total_rules
from sluice.quality.docs_page import CANDIDATE_SUFFIX, result_path
from sluice.quality.gate import Facts
from sluice.quality.results import rule_id_of

LAYER = "silver"
# The folder of the results of the suite that judges beside silver's.
LIVE_FOLDER = f"{LAYER}{CANDIDATE_SUFFIX}"


@dataclass(frozen=True)
class Window:
    """Which promotions are compared.

    Attributes:
        since, until: of `decided_at`, both inclusive, UTC; None for no bound.
        limit: the newest so many of them; 0 for all.
    """

    since: datetime | None = None
    until: datetime | None = None
    limit: int = 200

    def newest(self, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Those of the rows, oldest first, that lie in the window."""
        found = [row for row in rows if self._holds(as_utc(row["decided_at"]))]
        return found[-self.limit :] if self.limit else found

    def _holds(self, moment: datetime) -> bool:
        return (self.since is None or moment >= self.since) and (self.until is None or moment <= self.until)


@dataclass(frozen=True)
class Check:
    """A candidate suite against what was decided.

    Attributes:
        comparisons: the oldest first.
        notes: what the reader should know of what was left out.
    """

    suite: str
    suite_hash: str
    comparisons: tuple[Comparison, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def differing(self) -> list[Comparison]:
        """The promotions of which anything would be decided otherwise."""
        return [each for each in self.comparisons if each.differs]

    @property
    def rules(self) -> list[RuleChange]:
        """Each rule over all promotions."""
        return total_rules(self.comparisons)

    def as_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        return {
            "suite": self.suite,
            "suite_hash": self.suite_hash,
            "promotions": len(self.comparisons),
            "rows": sum(each.rows_found for each in self.comparisons),
            "promotions_otherwise": len(self.differing),
            "rows_otherwise": sum(each.rows_otherwise for each in self.comparisons),
            "rules": [asdict(rule) for rule in self.rules],
            "comparisons": [asdict(each) for each in self.comparisons],
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Stored:
    """Of a stored validation result: the facts that were judged, and the rules that failed."""

    facts: Facts = field(default_factory=dict)
    failed: frozenset[str] | None = None


def read_stored(lake: Path, promotion_id: str) -> Stored:
    """What the stored result of a promotion of silver says; nothing where it is gone or damaged."""
    try:
        content = json.loads(result_path(lake, LAYER, promotion_id).read_text("utf-8"))
        failed = frozenset(rule_id_of(each) for each in content["results"] if not each["success"])
        return Stored(dict(content["meta"]["facts"]), failed)
    except (OSError, ValueError, KeyError, TypeError):
        return Stored()


def read_live(lake: Path, window: Window) -> Check | None:
    """What the suite that runs beside silver's has recorded; None where none ever ran.

    Only what the latest of such suites recorded: another one's results would be added up with it.
    """
    found, damaged = [], 0
    for path in (result_path(lake, LIVE_FOLDER, "any").parent).glob("[!.]*.json"):
        try:
            meta = json.loads(path.read_text("utf-8"))["meta"]
            found.append((_comparison(meta["comparison"]), str(meta["suite"]), str(meta["suite_hash"])))
        except (OSError, ValueError, KeyError, TypeError):
            damaged += 1
    if not found:
        return None
    found.sort(key=lambda each: each[0].decided_at)
    _, suite, digest = found[-1]
    own = [each for each, _, its in found if its == digest]
    taken = [each["is"] for each in window.newest([{"decided_at": each.decided_at, "is": each} for each in own])]
    notes = []
    if len(own) < len(found):
        notes.append(f"{len(found) - len(own)} older results of other texts of a candidate are not shown")
    if damaged:
        notes.append(f"{damaged} files are no results and are not shown")
    return Check(suite, digest, tuple(taken), tuple(notes))


def as_utc(moment: datetime) -> datetime:
    """The moment in UTC; one without a zone is UTC."""
    return moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment.astimezone(timezone.utc)


def _comparison(content: Mapping[str, Any]) -> Comparison:
    rules = tuple(RuleChange(**rule) for rule in content["rules"])
    moment = as_utc(datetime.fromisoformat(content["decided_at"]))
    return Comparison(**{**content, "decided_at": moment, "rules": rules})

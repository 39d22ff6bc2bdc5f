"""What an audit says: checks, what is wrong in them, and the whole. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from sluice.errors import EXIT_DONE, EXIT_NOT_ALL_RIGHT, EXIT_USAGE

# How a check ended. Skipped: there was nothing to check it by; unreadable: there should have been.
OK, FAILED, SKIPPED, UNREADABLE = "ok", "failed", "skipped", "unreadable"
# So many of what is wrong are named; all are counted.
FIRST = 20


class Named(NamedTuple):
    """One thing that was found.

    Attributes:
        at: coordinates as `sluice trace` takes them, a promotion_id, or the key of an event or minute.
        detail: what about it, where that is not said already.
    """

    at: str
    detail: str = ""


@dataclass(frozen=True)
class Finding:
    """One kind of thing that was found: how many, and the first of them in order."""

    what: str
    count: int
    first: tuple[Named, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What a check found.

    Attributes:
        counts: what it looked at, by name.
        problems: what must not be; any makes the check fail.
        notes: information; no error.
        skipped: why nothing was checked; empty where something was.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    problems: Sequence[Finding] = ()
    notes: Sequence[Finding] = ()
    skipped: str = ""


@dataclass(frozen=True)
class Check:
    """One check, carried out.

    Attributes:
        proves: what is true if it is ok.
        result: OK, FAILED, SKIPPED or UNREADABLE.
        reason: why it was skipped, or what could not be read.
    """

    name: str
    proves: str
    result: str
    seconds: float
    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True)
class Audit:
    """All checks of one lake.

    Attributes:
        since: only records from then on were looked at; None for all.
        versions: of each table that was read.
        records: of bronze that were looked at; None where bronze cannot be read.
        pending: of those, the ones that silver has not read yet.
    """

    lake: str
    since: datetime | None
    versions: Mapping[str, int]
    records: int | None
    pending: int | None
    checks: Sequence[Check]
    seconds: float

    @property
    def balances(self) -> bool | None:
        """Whether the books balance; None where they could not be checked."""
        results = {check.result for check in self.checks}
        if FAILED in results:
            return False
        return None if UNREADABLE in results else True

    @property
    def exit_code(self) -> int:
        """0 the books balance, 1 they do not, 2 could not be checked."""
        return {True: EXIT_DONE, False: EXIT_NOT_ALL_RIGHT, None: EXIT_USAGE}[self.balances]

    def as_json(self) -> dict[str, Any]:
        """All of it as values of which `values.plain` makes JSON."""
        return {
            "balances": self.balances,
            "lake": self.lake,
            "since": self.since,
            "records": self.records,
            "pending": self.pending,
            "versions": dict(self.versions),
            "seconds": round(self.seconds, 3),
            "checks": [_check_as_json(check) for check in self.checks],
        }


def _check_as_json(check: Check) -> dict[str, Any]:
    return {
        "check": check.name,
        "proves": check.proves,
        "result": check.result,
        "reason": check.reason or None,
        "counts": dict(check.outcome.counts),
        "problems": [_finding_as_json(found) for found in check.outcome.problems],
        "notes": [_finding_as_json(found) for found in check.outcome.notes],
        "seconds": round(check.seconds, 3),
    }


def _finding_as_json(found: Finding) -> dict[str, Any]:
    first = [{"at": each.at, "detail": each.detail or None} for each in found.first]
    return {"what": found.what, "count": found.count, "first": first}

"""The gate of one layer: decides each promotion, and writes the decision down before anything follows from it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from sluice import schemas
from sluice.errors import CheckpointLost, GateBroken
from sluice.pipelines.rulebook import CONTRACT, REGISTRY, SUITE, Rulebook, recall_rulebook
from sluice.quality.breaker import Breaker, parse_breaker
from sluice.quality.docs_page import docs_page, result_path
from sluice.quality.facts import HISTORY_BATCHES
from sluice.quality.gate import Gate, Judgement
from sluice.quality.results import RuleCounts, suite_result
from sluice.schemas import SILVER_READINGS
from sluice.settings import Settings
from sluice.tables.decisions import Decision, Decisions
from sluice.tables.delta import current_version
from sluice.tables.lake import Lake, write_atomically

# So many batches pass between two looks at how many results there are.
_PRUNED_EVERY = 500
_APPROVED = "approved by {by}: {why}"


@dataclass(frozen=True)
class Question:
    """What the gate is asked about one promotion.

    Attributes:
        rows: the ledger's counts, should the batch be promoted; `rows_in` is their sum.
        counts: per row rule what the pass counted, by rule_id.
        facts: what batch rules judge, by batch column.
        overridden: who asked for it, and why; None for a batch that comes for the first time.
        kind: batch, or what a person asked for.
        covers: see `Decision.covers`.
    """

    promotion_id: str
    batch_id: int | None
    table_version: int
    rulebook: Rulebook
    rows: Mapping[str, int]
    rule_counts: Mapping[str, int]
    counts: Mapping[str, RuleCounts]
    facts: Mapping[str, float | None]
    decided_at: datetime
    score: float | None = None
    position: Mapping[str, Any] = field(default_factory=dict)
    parent: str | None = None
    overridden: tuple[str, str] | None = None
    kind: str = schemas.BATCH
    covers: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Basis:
    """What a promotion rests on: what was decided before a crash, or, without a decision, what holds now.

    Attributes:
        table_version: of silver/readings.
        decided_at: UTC.
    """

    decision: Decision | None
    rulebook: Rulebook
    table_version: int
    decided_at: datetime


class Gatekeeper:
    """Decides the promotions of one layer and keeps its circuit breaker."""

    def __init__(self, settings: Settings, lake: Lake, layer: str) -> None:
        self._settings = settings.gate
        self._lake = lake
        self._layer = layer
        self._checkpoint = lake.checkpoint_path(layer)
        self._gates: dict[str, Gate] = {}
        self.decisions = Decisions(self._checkpoint)

    def basis(self, promotion_id: str, current: Rulebook) -> Basis:
        """What a promotion rests on.

        Args:
            current: the rulebook in force.

        Raises:
            CheckpointLost: the decision, or a text it was made under, is gone or damaged.
        """
        decision = self.decisions.find(promotion_id)
        if decision is None:
            return Basis(None, current, current_version(self._lake, SILVER_READINGS), datetime.now(timezone.utc))
        rulebook = recall_rulebook(self.decisions, decision, current, self._layer)
        return Basis(decision, rulebook, decision.table_version, decision.decided_at)

    def decide(self, question: Question) -> Decision:
        """The gate's decision, on disk with everything a replay needs.

        Raises:
            GateBroken: the gate cannot judge what a person asks for; a micro-batch it cannot judge is held.
        """
        began = time.monotonic()
        judgement = self._gate(question).judge(question.facts, question.counts)
        verdict, why = judgement.verdict, judgement.why
        if question.overridden and verdict == schemas.ERROR:
            raise GateBroken(f"the gate cannot decide about {question.promotion_id}: {why}", "mend the suite")
        if question.overridden and verdict == schemas.HOLD:
            verdict = schemas.PROMOTE_WITH_WARNINGS
        if question.rows["rows_held"] and verdict not in schemas.REFUSING_VERDICTS:
            # A minute of gold is held by itself; only a batch of which nothing is left is a hold.
            verdict = schemas.PROMOTE_WITH_WARNINGS if question.rows["rows_promoted"] else schemas.HOLD
        if question.overridden:
            why = _asked(question.kind, *question.overridden)
        breaker = self.breaker()
        if question.overridden is None and question.batch_id is not None:
            breaker = breaker.after(verdict, question.batch_id, question.decided_at, self._settings.holds_to_open)
        promotion = {
            **self._described(question),
            **rows_of(question.rows, verdict),
            "verdict": verdict,
            "why": why or None,
            "breaker_state": breaker.state,
            "gate_seconds": time.monotonic() - began,
        }
        if verdict != schemas.EMPTY:
            promotion["docs_page"] = docs_page(self._layer, question.promotion_id)
            self._keep_result(question, judgement, promotion)
        decision = Decision(question.table_version, promotion, question.facts, breaker.as_json(), question.covers)
        self._keep_texts(question)
        self.decisions.keep(decision)
        return decision

    def settle(self, decision: Decision) -> None:
        """Makes the decision's breaker the layer's own; doing so twice changes nothing."""
        breaker = parse_breaker(decision.breaker)
        if breaker.last_batch_id > self.breaker().last_batch_id:
            write_atomically(self._checkpoint / "breaker.json", json.dumps(breaker.as_json()) + "\n")

    def breaker(self) -> Breaker:
        """The layer's circuit breaker as it was kept last.

        Raises:
            CheckpointLost: its file is damaged.
        """
        path = self._checkpoint / "breaker.json"
        try:
            return parse_breaker(json.loads(path.read_text("utf-8")))
        except FileNotFoundError:
            return Breaker()
        except (OSError, ValueError) as error:
            raise CheckpointLost(f"the breaker {path} is damaged: {error}", "delete the file to close it") from None

    def next_try(self) -> datetime | None:
        """When a micro-batch may be taken: None for now, else the end of the breaker's pause."""
        moment = self.breaker().next_try(self._settings.probe_after_seconds)
        return moment if moment and moment > datetime.now(timezone.utc) else None

    def past_facts(self, batch_id: int | None) -> list[Mapping[str, float | None]]:
        """The facts of the last batches before this one that were not empty, oldest first; of no batch none."""
        if batch_id is None:
            return []
        decisions = self.decisions.latest(schemas.BATCH, batch_id, HISTORY_BATCHES)
        return [decision.facts for decision in decisions if decision.verdict != schemas.EMPTY]

    def _gate(self, question: Question) -> Gate:
        digest = question.rulebook.hashes[SUITE]
        if digest not in self._gates:
            self._gates = {digest: Gate(question.rulebook.suite)}
        return self._gates[digest]

    def _described(self, question: Question) -> dict[str, Any]:
        hashes = question.rulebook.hashes
        by = (question.overridden[0] or None) if question.overridden else None
        return {
            "promotion_id": question.promotion_id,
            "layer": self._layer,
            "kind": question.kind,
            "parent_promotion_id": question.parent,
            "batch_id": question.batch_id,
            **question.position,
            "suite": question.rulebook.suite.name,
            **{f"{kind}_hash": hashes.get(kind) for kind in (SUITE, CONTRACT, REGISTRY)},
            "rule_counts": dict(question.rule_counts),
            "score": question.score,
            "decided_by": by,
            "decided_at": question.decided_at,
        }

    def _keep_result(self, question: Question, judgement: Judgement, promotion: Mapping[str, Any]) -> None:
        known = {name: value for name, value in promotion.items() if value is not None}
        meta = {**known, "facts": dict(question.facts), "decided_at": question.decided_at.isoformat()}
        suite = question.rulebook.suite
        result = suite_result(suite, judgement.row_results, judgement.batch_results, meta)
        path = result_path(self._lake.path, self._layer, question.promotion_id)
        write_atomically(path, json.dumps(result, default=str) + "\n")
        if question.batch_id is not None and question.batch_id % _PRUNED_EVERY == 0:
            for old in newest_first(path.parent)[self._settings.keep_results :]:
                old.unlink(missing_ok=True)

    def _keep_texts(self, question: Question) -> None:
        for name, digest in question.rulebook.hashes.items():
            self.decisions.keep_text(name, digest, question.rulebook.texts[name])


def _asked(kind: str, by: str, why: str) -> str:
    return _APPROVED.format(by=by, why=why) if kind == schemas.APPROVE else why


def newest_first(folder: Path) -> list[Path]:
    """The results of a layer, the one written last first."""
    return sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns, reverse=True)


def rows_of(rows: Mapping[str, int], verdict: str) -> dict[str, int]:
    """The ledger's counts under a verdict: all rows of a refused batch are held."""
    if verdict not in schemas.REFUSING_VERDICTS:
        return dict(rows)
    return dict.fromkeys(rows, 0) | {"rows_in": rows["rows_in"], "rows_held": rows["rows_in"]}

"""A candidate suite that judges silver's batches beside the real one, and only records what it would decide.

Whatever goes wrong with it is told in the log and changes nothing: it must never disturb the stream.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from sluice.pipelines.check import LIVE_FOLDER, read_stored
from sluice.pipelines.comparison import Candidate, Decided, Outcome, compare
from sluice.pipelines.reader import open_reader
from sluice.pipelines.rulebook import SUITE, Rulebook, with_candidate
from sluice.pipelines.silver_work import Work
from sluice.quality.docs_page import result_path
from sluice.quality.gate import Gate
from sluice.quality.results import suite_result
from sluice.schemas import BATCH
from sluice.settings import Settings
from sluice.tables.decisions import Decision
from sluice.tables.lake import Lake, write_atomically
from sluice.transforms.compare import count_decisions, judge_again
from sluice.transforms.silver import Reader

logger = logging.getLogger("sluice")


class LiveCandidate:
    """What `gate.candidate_path` names, read once and compiled at its first batch; without it, nothing happens."""

    def __init__(self, settings: Settings, lake: Lake) -> None:
        self._settings = settings
        self._lake = lake
        self._path = settings.gate.candidate_path
        self._opened: tuple[SparkSession, dict[str, str], Rulebook, Candidate, Reader] | None = None
        self._told: set[str] = set()

    def record(self, work: Work, decided: DataFrame, decision: Decision) -> None:
        """Writes down what the candidate makes of a batch; once, however often the batch is replayed.

        Args:
            decided: FLAGGED_COLUMNS, no suspects, kept in memory: they are read once more.
        """
        path = result_path(self._lake.path, LIVE_FOLDER, work.promotion_id)
        if self._path is None or work.kind != BATCH or not decision.promotion["rows_in"] or path.exists():
            return
        try:
            write_atomically(path, json.dumps(self._judge(work, decided, decision), default=str) + "\n")
        except Exception as error:
            self._tell(str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__)

    def _judge(self, work: Work, decided: DataFrame, decision: Decision) -> dict[str, Any]:
        rulebook, candidate, reader = self._open(work)
        counted = count_decisions(judge_again(decided, work.reader.rules, reader)).collect()
        stored = read_stored(self._lake.path, work.promotion_id)
        versions = [version.number for version in work.rulebook.contract.versions]
        before = Decided(decision.promotion, work.rulebook.suite, versions, decision.facts, stored.failed)
        outcome = compare(before, [row.asDict() for row in counted], candidate)
        meta = _meta(outcome, decision, rulebook)
        return suite_result(candidate.suite, outcome.judgement.row_results, outcome.judgement.batch_results, meta)

    def _open(self, work: Work) -> tuple[Rulebook, Candidate, Reader]:
        if self._path is None:
            raise ValueError("gate.candidate_path names no suite")
        if self._opened is None or self._opened[:2] != (work.spark, work.rulebook.hashes):
            rulebook = with_candidate(work.rulebook, self._path, "silver")
            rules, reader = open_reader(work.spark, self._settings, rulebook)
            candidate = Candidate(rulebook.suite, Gate(rulebook.suite), rules)
            self._opened = (work.spark, work.rulebook.hashes, rulebook, candidate, reader)
        return self._opened[2:]

    def _tell(self, reason: str) -> None:
        if reason not in self._told:
            self._told.add(reason)
            logger.warning("silver: the candidate suite is left out, the gate is not concerned: %s", reason)


def _meta(outcome: Outcome, decision: Decision, rulebook: Rulebook) -> dict[str, Any]:
    """As the meta of silver's own result, of the candidate's verdict and counts."""
    promotion, comparison = decision.promotion, outcome.comparison
    same = {name: promotion.get(name) for name in ("promotion_id", "layer", "kind", "batch_id", "contract_hash")}
    counts = {rule.rule_id: rule.now for rule in comparison.rules if rule.scope == "row" and rule.now}
    return {
        **same,
        "candidate": True,
        "suite": rulebook.suite.name,
        "suite_hash": rulebook.hashes[SUITE],
        "verdict": comparison.verdict_now,
        "why": comparison.why_now,
        **outcome.rows,
        "rule_counts": counts,
        "facts": dict(outcome.facts),
        "decided_at": decision.decided_at.isoformat(),
        "comparison": {**asdict(comparison), "decided_at": decision.decided_at.isoformat()},
    }

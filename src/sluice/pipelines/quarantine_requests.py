"""What a person asks about quarantined records: asked once, carried out by silver's owner, or only rehearsed."""

from __future__ import annotations

from dataclasses import dataclass

from sluice.pipelines.holds import await_answer
from sluice.pipelines.quarantine import (
    DISCARD_QUARANTINED,
    REPLAY_QUARANTINED,
    Rehearsal,
    nothing_to_do,
    open_records,
    promotion_of,
    rehearse,
)
from sluice.schemas import DISCARD, REPLAY, SILVER_QUARANTINE
from sluice.serving.lake import open_lake
from sluice.serving.quarantine import count_open, read_outcome
from sluice.settings import Settings
from sluice.tables.delta import current_version
from sluice.tables.lake import Lake
from sluice.tables.requests import Answer, pending_requests, submit_once
from sluice.tables.selection import Selection

LAYER = "silver"
_ACTIONS = {REPLAY: REPLAY_QUARANTINED, DISCARD: DISCARD_QUARANTINED}


@dataclass(frozen=True)
class Outcome:
    """What became of a request.

    Attributes:
        promotion_id: None where it has no ledger row, since nothing was to be done or could be.
    """

    promotion_id: str | None
    answer: Answer


def decide_quarantined(
    settings: Settings, kind: str, selection: Selection, by: str, why: str, wait_seconds: float
) -> Outcome:
    """Replays or discards the open records of a selection.

    The request stays until silver's owner has answered it. The same one, given again while it stays, is not a second
    one: whoever types a command again that was killed finishes what it began.

    Args:
        kind: replay or discard.
        by, why: may be empty for a replay.
        wait_seconds: for an owner's answer.

    Raises:
        LakeMissing: there is no lake.
        RequestUnanswered, StreamFailed: it was not carried out; it stays.
    """
    lake = Lake(settings.lake.path)
    pending = pending_requests(lake, LAYER)
    if not pending and not count_open(open_lake(settings.lake.path), selection):
        return Outcome(None, Answer(True, nothing_to_do(kind, selection)))
    request = submit_once(lake, LAYER, _ACTIONS[kind], selection.as_text(), by, why)
    answer = await_answer(settings, request, wait_seconds)
    promotion_id = promotion_of(request)
    row, _ = read_outcome(open_lake(settings.lake.path), promotion_id)
    return Outcome(promotion_id if row else None, answer)


def rehearse_replay(settings: Settings, selection: Selection) -> Rehearsal:
    """What a replay would do now; starts Spark beside whoever owns silver, and writes nothing.

    Raises:
        LakeMissing: there is no lake.
        ContractInvalid, RegistryInvalid, SuiteInvalid: the rulebook cannot be applied whole.
    """
    if not count_open(open_lake(settings.lake.path), selection):
        return Rehearsal(dict.fromkeys(("rows_in", "rows_promoted", "rows_quarantined", "rows_duplicate"), 0), {})
    from sluice.pipelines.rulebook import load_rulebook
    from sluice.pipelines.silver import SilverJob
    from sluice.session import open_session

    lake = Lake(settings.lake.path)
    job = SilverJob(settings, lake, load_rulebook(settings, LAYER), "")
    spark = open_session(settings, "sluice quarantine replay --dry-run")
    try:
        records = open_records(spark, lake, selection, current_version(lake, SILVER_QUARANTINE))
        return rehearse(job, records, lake)
    finally:
        spark.stop()

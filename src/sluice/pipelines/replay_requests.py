"""What a person asks for when part of a layer is to be made anew: asked once, done by its owner, or only rehearsed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sluice.errors import LakeMissing, PromotionUnknown, RequestUnanswered
from sluice.pipelines.holds import await_answer
from sluice.pipelines.replay import promotion_of, why_of
from sluice.schemas import LEDGERS, REBUILD, UPSTREAM
from sluice.serving.lake import open_lake
from sluice.serving.promotions import explain_promotion
from sluice.settings import Settings
from sluice.tables.lake import Lake
from sluice.tables.requests import Answer, Request, find_answer, pending_requests, submit_once
from sluice.tables.spans import Buckets, Span

if TYPE_CHECKING:
    from sluice.pipelines.gold_replay import Rehearsal as GoldRehearsal
    from sluice.pipelines.replay import Rehearsal as SilverRehearsal


@dataclass(frozen=True)
class Step:
    """What became of a replay in one layer.

    Attributes:
        promotion_id: None where nothing was to be done, or it is not done yet.
        row: its ledger row; empty without one.
    """

    layer: str
    promotion_id: str | None
    answer: Answer
    row: dict[str, object]


def replay_layer(
    settings: Settings, layer: str, part: Span | Buckets, by: str, why: str, wait_seconds: float
) -> list[Step]:
    """Makes part of a layer anew from the one below, and what follows from it.

    The requests stay until they have been answered. The same one, given again while it stays, is not a second one.

    Args:
        layer: silver or gold.
        part: a Span for silver, Buckets for gold.
        wait_seconds: for each owner's answer.

    Returns:
        One step for the layer, and one for gold where that follows silver.

    Raises:
        LakeMissing: there is no lake, or nothing in it that could be replayed.
        RequestUnanswered, StreamFailed: it was not carried out; it stays.
    """
    lake = _ready_lake(settings, layer)
    begun = _begun(settings, lake, part, by, why) if isinstance(part, Span) else None
    request = begun or submit_once(lake, layer, REBUILD, part.as_text(), by, why)
    steps = [_step(settings, request, await_answer(settings, request, wait_seconds))]
    following = replace(request, layer="gold")
    is_asked = any(each.request_id == request.request_id for each in pending_requests(lake, "gold"))
    if layer == "gold" or not (is_asked or find_answer(lake, following)):
        return steps
    if not lake.has_table(LEDGERS["gold"]):
        return steps
    try:
        answer = await_answer(settings, following, wait_seconds)
    except RequestUnanswered as error:
        answer = Answer(False, error.in_one_line)
    return [*steps, _step(settings, following, answer)]


def _begun(settings: Settings, lake: Lake, span: Span, by: str, why: str) -> Request | None:
    """The same replay of silver where that is done, and only gold has still to follow."""
    for waiting in pending_requests(lake, "gold"):
        request = Request(waiting.request_id, "silver", REBUILD, span.as_text(), by, why)
        if (waiting.action, waiting.by, waiting.why) != (REBUILD, by, why) or not find_answer(lake, request):
            continue
        if _step(settings, request, Answer(True, "")).row.get("why") == why_of(span, why):
            return request
    return None


def _step(settings: Settings, request: Request, answer: Answer) -> Step:
    promotion_id = promotion_of(request)
    try:
        row = explain_promotion(open_lake(settings.lake.path), promotion_id).promotion
    except PromotionUnknown:
        return Step(request.layer, None, answer, {})
    return Step(request.layer, promotion_id, answer, row)


def rehearse_silver(settings: Settings, span: Span) -> SilverRehearsal:
    """What a replay of silver would do now; starts Spark beside whoever owns silver, and writes nothing.

    Raises:
        LakeMissing: there is no lake, or silver has not run yet.
        ContractInvalid, RegistryInvalid, SuiteInvalid: the rulebook cannot be applied whole.
    """
    from sluice.pipelines.replay import rehearse
    from sluice.pipelines.rulebook import load_rulebook
    from sluice.pipelines.silver import SilverJob
    from sluice.session import open_session

    lake = _ready_lake(settings, "silver")
    job = SilverJob(settings, lake, load_rulebook(settings, "silver"), "")
    spark = open_session(settings, "sluice replay --dry-run")
    try:
        return rehearse(job, spark, lake, span)
    finally:
        spark.stop()


def rehearse_gold(settings: Settings, buckets: Buckets) -> GoldRehearsal:
    """As `rehearse_silver`, for gold."""
    from sluice.pipelines.gold import GoldJob
    from sluice.pipelines.gold_replay import rehearse
    from sluice.pipelines.rulebook import load_rulebook
    from sluice.session import open_session

    lake = _ready_lake(settings, "gold")
    job = GoldJob(settings, lake, load_rulebook(settings, "gold"), "")
    spark = open_session(settings, "sluice replay --dry-run")
    try:
        return rehearse(job, spark, lake, buckets)
    finally:
        spark.stop()


def _ready_lake(settings: Settings, layer: str) -> Lake:
    open_lake(settings.lake.path)
    lake = Lake(settings.lake.path)
    for table in (UPSTREAM[layer], LEDGERS[layer]):
        if not lake.has_table(table):
            raise LakeMissing(f"the lake {lake.path} has no {table.full_name} yet", "sluice run makes it")
    return lake

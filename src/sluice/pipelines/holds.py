"""A person's decision about a hold: given to the layer's owner, or carried out here where there is none."""

from __future__ import annotations

import time

from sluice.errors import LayerLocked, PromotionUnknown, RequestUnanswered
from sluice.schemas import LEDGERS
from sluice.serving.lake import open_lake
from sluice.serving.promotions import explain_promotion
from sluice.settings import Settings
from sluice.tables.lake import Lake, layer_owner, own_layer
from sluice.tables.requests import Answer, Request, find_answer, submit_request

_POLL_SECONDS = 0.3


def decide_hold(settings: Settings, action: str, promotion_id: str, by: str, why: str, wait_seconds: float) -> Answer:
    """Approves or rejects what is held of a promotion.

    The request stays until an owner has answered it, so a decision once made is carried out even if this process,
    or the owner, is killed.

    Args:
        action: approve or reject.
        wait_seconds: for an owner's answer.

    Raises:
        LakeMissing, PromotionUnknown: there is nothing to decide about.
        RequestUnanswered: the owner has not answered in time; the request stays.
    """
    lake = Lake(settings.lake.path)
    layer = _layer_of(settings, promotion_id)
    request = submit_request(lake, layer, action, promotion_id, by, why)
    deadline = time.monotonic() + wait_seconds
    while time.monotonic() < deadline:
        if answer := find_answer(lake, request):
            return answer
        if layer_owner(lake, layer) is None:
            _carry_out(settings, lake, request)
        else:
            time.sleep(_POLL_SECONDS)
    raise RequestUnanswered(
        f"the owner of {layer} has not answered within {wait_seconds:g} s",
        "the request stays, and is carried out after the running micro-batch: sluice gate ls",
    )


def _layer_of(settings: Settings, promotion_id: str) -> str:
    explain_promotion(open_lake(settings.lake.path), promotion_id)
    layer = promotion_id.split("-", 1)[0]
    if layer not in LEDGERS:
        raise PromotionUnknown(f"{promotion_id} is no promotion of silver or gold", "sluice gate ls shows the holds")
    return layer


def _carry_out(settings: Settings, lake: Lake, request: Request) -> None:
    from sluice.pipelines.approvals import answer_pending
    from sluice.pipelines.gold import open_gold
    from sluice.pipelines.silver import open_silver
    from sluice.session import open_session

    try:
        with own_layer(lake, request.layer):
            spark = open_session(settings, f"sluice gate {request.action}")
            try:
                job = open_silver(spark, settings) if request.layer == "silver" else open_gold(spark, settings)
                answer_pending(spark, lake, job)
            finally:
                spark.stop()
    except LayerLocked:
        # A job has started meanwhile: it will answer.
        return

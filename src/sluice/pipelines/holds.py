"""What a person asks of a layer: given to its owner, or carried out here where there is none."""

from __future__ import annotations

import time
from collections.abc import Callable

from sluice.errors import LayerLocked, PromotionUnknown, RequestUnanswered, StreamFailed
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
    layer = _layer_of(settings, promotion_id)
    request = submit_request(Lake(settings.lake.path), layer, action, promotion_id, by, why)
    return await_answer(settings, request, wait_seconds)


def await_answer(
    settings: Settings,
    request: Request,
    wait_seconds: float,
    as_owner: Callable[[Settings, Lake, Request], None] | None = None,
) -> Answer:
    """The answer of the layer's owner to a request, or of this process, which becomes the owner where nobody is.

    Args:
        wait_seconds: for an owner's answer.
        as_owner: carries the request out here; unless given, with Spark, as the layer's job would.

    Raises:
        RequestUnanswered: there is none in time, or a micro-batch must be finished first; the request stays.
        StreamFailed: it could not be carried out here; the request stays.
    """
    lake = Lake(settings.lake.path)
    deadline = time.monotonic() + wait_seconds
    while time.monotonic() < deadline:
        if answer := find_answer(lake, request):
            return answer
        if layer_owner(lake, request.layer) is None:
            _carry_out(settings, lake, request, as_owner or _answer_as_owner)
        else:
            time.sleep(_POLL_SECONDS)
    raise RequestUnanswered(
        f"the owner of {request.layer} has not answered within {wait_seconds:g} s",
        "the request stays, and is carried out after the running micro-batch: sluice gate history",
    )


def _layer_of(settings: Settings, promotion_id: str) -> str:
    explain_promotion(open_lake(settings.lake.path), promotion_id)
    layer = promotion_id.split("-", 1)[0]
    if layer not in LEDGERS:
        raise PromotionUnknown(f"{promotion_id} is no promotion of silver or gold", "sluice gate ls shows the holds")
    return layer


def _carry_out(
    settings: Settings, lake: Lake, request: Request, as_owner: Callable[[Settings, Lake, Request], None]
) -> None:
    try:
        with own_layer(lake, request.layer):
            as_owner(settings, lake, request)
    except LayerLocked:
        # A job has started meanwhile: it will answer.
        return


def _answer_as_owner(settings: Settings, lake: Lake, request: Request) -> None:
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import PySparkException

    from sluice.pipelines.approvals import answer_pending
    from sluice.pipelines.gold import open_gold
    from sluice.pipelines.running import reason_of
    from sluice.pipelines.silver import open_silver
    from sluice.session import open_session

    layer = request.layer
    spark = open_session(settings, f"sluice: {request.action}")
    try:
        job = open_silver(spark, settings) if layer == "silver" else open_gold(settings)
        answer_pending(spark, lake, job)
    except (Py4JJavaError, PySparkException) as error:
        hint = "mend the cause and give the command again; it goes on where it was"
        raise StreamFailed(f"{request.action} could not be carried out: {reason_of(error)}", hint) from error
    finally:
        spark.stop()
    if find_answer(lake, request) is None:
        raise RequestUnanswered(
            f"{layer} was interrupted in the middle of a micro-batch, which must be finished first",
            f"sluice run --once --layers {layer} finishes it, and then carries the request out",
        )

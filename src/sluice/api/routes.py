"""The endpoints under /v1: which parameters each takes, which tables it reads, who answers it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response, Security

from sluice.api import aggregates, devices, latest, parameters, readings, records
from sluice.api.answers import Answer, AnswerCache, object_answer, page_answer, respond
from sluice.api.asking import Asked, Question, Rows, Service, parse_as_of
from sluice.api.callers import BEARER, Callers
from sluice.api.limits import Deadline, Workers
from sluice.api.problems import MEDIA_TYPE

_VERSION_HEADER = "Sluice-Version"
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"description": said, "content": {MEDIA_TYPE: {"schema": {"type": "object"}}}}
    for code, said in {
        401: "no valid key",
        403: "not for this key",
        422: "a parameter cannot be used",
        429: "too many requests; see Retry-After",
        503: "the lake cannot be read, or the answer took too long",
    }.items()
}


@dataclass(frozen=True)
class Endpoint:
    """One endpoint.

    Attributes:
        tables: those it reads; the first is its own.
        ages: its answer changes with time alone.
    """

    name: str
    about: str
    given: type[parameters.OfNewest]
    list_rows: Callable[[Question, Any], Rows]
    tables: tuple[str, ...]
    ages: bool = False


ENDPOINTS = (
    Endpoint(
        *("devices", "The devices, in the order of their ids", parameters.DevicesOf, devices.list_devices),
        tables=(devices.TABLE, latest.TABLE),
        ages=True,
    ),
    Endpoint(
        *("latest", "The newest value of every device and metric, its age, and whether the device is online"),
        *(parameters.LatestOf, latest.list_latest),
        tables=(latest.TABLE,),
        ages=True,
    ),
    Endpoint(
        *("readings", "Events, in the order of time, device and event id", parameters.ReadingsOf),
        readings.list_readings,
        tables=(readings.TABLE,),
    ),
    Endpoint(
        *("aggregates", "Minutes, hours or days, in the order of bucket, device and metric", parameters.AggregatesOf),
        aggregates.list_aggregates,
        tables=(*aggregates.TABLES_OF.values(), readings.TABLE),
    ),
    Endpoint(
        *("quality", "Quality scores, in the order of day, customer and device", parameters.QualityOf),
        records.list_quality,
        tables=(records.QUALITY,),
    ),
    Endpoint(
        *("promotions", "What the gates decided, the newest first; for keys of all customers", parameters.PromotionsOf),
        records.list_promotions,
        tables=records.PROMOTIONS,
    ),
    Endpoint(
        *("quarantine/counts", "Refused records, counted by error code, stage and status", parameters.QuarantineOf),
        records.count_quarantine,
        tables=(records.QUARANTINE,),
    ),
    Endpoint(
        *("alerts", "Alerts, the newest first", parameters.AlertsOf, records.list_alerts), tables=(records.ALERTS,)
    ),
)


class Endpoints:
    """Answers requests: from memory where nothing has changed since, else by a thread."""

    def __init__(self, service: Service, workers: Workers, callers: Callers) -> None:
        self._service, self._workers, self._callers = service, workers, callers
        self._cache = AnswerCache()
        self._underway: dict[Hashable, asyncio.Future[Answer]] = {}

    def router(self) -> APIRouter:
        """All routes."""
        admitted = [Security(BEARER), Depends(self._callers.admit)]
        router = APIRouter(prefix="/v1", tags=["lake"], dependencies=admitted, responses=_PROBLEMS)
        for endpoint in ENDPOINTS:
            router.get(f"/{endpoint.name}", summary=endpoint.about, response_class=Response)(self._listing(endpoint))

        @router.get("/devices/{device_id:path}", summary="One device", response_class=Response)
        async def device(
            request: Request,
            device_id: Annotated[parameters.Text, Path()],
            given: Annotated[parameters.OfNewest, Query()],
        ) -> Response:
            def answer(question: Question) -> Answer:
                return object_answer(devices.one_device(question, device_id))

            return await self._answer(request, ENDPOINTS[0], given, device_id, answer)

        return router

    def _listing(self, endpoint: Endpoint) -> Callable[..., Any]:
        async def listing(request: Request, given: Any) -> Response:
            def answer(question: Question) -> Answer:
                return page_answer(endpoint.list_rows(question, given))

            return await self._answer(request, endpoint, given, None, answer)

        # What FastAPI reads the parameters off.
        listing.__annotations__["given"] = Annotated[endpoint.given, Query()]
        listing.__name__ = endpoint.name.replace("/", "_")
        return listing

    async def _answer(
        self,
        request: Request,
        endpoint: Endpoint,
        given: parameters.OfNewest,
        device_id: str | None,
        work: Callable[[Question], Answer],
    ) -> Response:
        now = datetime.now(timezone.utc).replace(microsecond=0)
        customers = request.state.caller.customers
        main = endpoint.tables[0]
        if isinstance(given, parameters.AggregatesOf):
            main = aggregates.TABLES_OF[given.interval]
        as_of = parse_as_of(given.as_of, customers, now)
        asked = Asked(self._service, self._service.watch.snapshot(), customers, now, as_of, main)
        key = _key(asked, endpoint, given, device_id)
        answer = self._cache.get(key)
        if answer is None:
            answer = await self._once(key, lambda deadline: work(Question(asked, deadline)))
        version = asked.snapshot.tables.get(main)
        headers = {_VERSION_HEADER: f"{main}={version.version}"} if version and customers is None else {}
        return respond(answer, request.headers.get("if-none-match"), headers)

    async def _once(self, key: Hashable, work: Callable[[Deadline], Answer]) -> Answer:
        """Who asks the same at the same time waits for one answer."""
        if key not in self._underway:
            task = asyncio.ensure_future(self._workers.run(work))
            self._underway[key] = task
            task.add_done_callback(lambda done: self._keep(key, done))
        return await asyncio.shield(self._underway[key])

    def _keep(self, key: Hashable, done: asyncio.Future[Answer]) -> None:
        del self._underway[key]
        if not done.cancelled() and done.exception() is None:
            self._cache.put(key, done.result())


def _key(asked: Asked, endpoint: Endpoint, given: parameters.OfNewest, device_id: str | None) -> Hashable:
    """All that an answer follows from."""
    is_relative = endpoint.ages or getattr(given, "until", None) is None
    tables = tuple(asked.snapshot.tables.get(name) for name in (*endpoint.tables, aggregates.MINUTES))
    moment = asked.now if is_relative else None
    return endpoint.name, device_id, given, asked.customers, tables, asked.snapshot.owners, moment

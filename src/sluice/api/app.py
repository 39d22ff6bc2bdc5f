"""The API put together: routes under /v1, health, the description, and problems instead of traces."""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from sluice.api.asking import Service
from sluice.api.callers import Callers
from sluice.api.keys import KeyRing
from sluice.api.limits import RateLimit, Workers
from sluice.api.page import PAGE_HEADERS, description_page
from sluice.api.problems import MEDIA_TYPE, Problem
from sluice.api.routes import Endpoints
from sluice.api.shell import Shell
from sluice.api.snapshot import LakeWatch
from sluice.api.sorted_files import SortedFiles
from sluice.sections import ServeSettings

logger = logging.getLogger("sluice.api")
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
OPENAPI_PATH = "/v1/openapi.json"


def build_app(settings: ServeSettings, lake: Path) -> FastAPI:
    """The API over a lake, which may come to be later.

    Args:
        lake: the lake's folder.
    """
    watch = LakeWatch(lake, settings.refresh_seconds)
    workers = Workers(settings.max_concurrent, settings.query_timeout_seconds)
    ring = None if settings.keys_path is None else KeyRing(settings.keys_path)
    callers = Callers(ring, RateLimit(settings.requests_per_second, settings.burst_requests))

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        watch.start()
        yield
        watch.stop()
        workers.close()

    app = FastAPI(
        title="Sluice",
        version="1",
        description="What the lake knows of devices and their readings. Read-only; all times are UTC.",
        openapi_url=OPENAPI_PATH,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.add_middleware(Shell, hosts=LOCAL_HOSTS if ring is None else None)
    service = Service(settings, watch, SortedFiles(settings.cache_megabytes))
    app.include_router(Endpoints(service, workers, callers).router())
    _add_health(app, watch)
    _add_problems(app)
    return app


def _add_health(app: FastAPI, watch: LakeWatch) -> None:
    @app.get("/health", tags=["server"], summary="Whether the server runs")
    async def health() -> dict[str, str]:
        return {"status": "up"}

    @app.get("/ready", tags=["server"], summary="Whether the lake can be read: 503 with the reason if not")
    async def ready() -> dict[str, str]:
        if watch.reason:
            raise Problem(503, watch.reason, {"Retry-After": "1"})
        return {"status": "ready"}

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return Response(description_page(app.openapi()), media_type="text/html", headers=PAGE_HEADERS)


def _add_problems(app: FastAPI) -> None:
    @app.exception_handler(Problem)
    async def known(_: Request, problem: Problem) -> Response:
        return _respond(problem)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        # What was given is not said again: it may hold anything.
        return _respond(Problem(422, "; ".join(_fact(each) for each in error.errors()[:3])))

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> Response:
        detail = "`/` lists what there is" if error.status_code == 404 else "only GET"
        return _respond(Problem(error.status_code, detail, error.headers))

    @app.exception_handler(Exception)
    async def unforeseen(_: Request, error: Exception) -> Response:
        reference = secrets.token_hex(6)
        logger.error("failed, reference %s", reference, exc_info=error)
        return _respond(Problem(500, f"the server's log says more under {reference}"))


def _fact(error: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        return "unknown parameter; `/` lists those of each path"
    return f"{error['loc'][-1]}: {error['msg']}"


def _respond(problem: Problem) -> Response:
    headers = {"Cache-Control": "no-store", **problem.headers}
    return Response(json.dumps(problem.as_json()), problem.status, headers, MEDIA_TYPE)

"""What surrounds every request: its size, the host it was sent to, headers of its answer, a line in the log."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Collection

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sluice.api.problems import MEDIA_TYPE, Problem

logger = logging.getLogger("sluice.api")
_MOST_ADDRESS_BYTES = 8192
SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
}


class Shell:
    """Around the app.

    Args:
        hosts: names that a request must be addressed to; None takes any. Without it a page in a browser on this
            machine could give its own name this machine's address, and read what needs no key here.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] | None) -> None:
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        seen = {"status": 500, "bytes": 0}

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen["status"] = message["status"]
                _add_headers(message)
            seen["bytes"] += len(message.get("body", b""))
            await send(message)

        problem = self._refusal(scope)
        if problem is not None:
            await _send_problem(problem, send_on)
        else:
            await self._app(scope, receive, send_on)
        # The route's pattern, not what was typed: a key sent in the wrong place must not come into the log.
        route = getattr(scope.get("route"), "path", "(no such path)")
        milliseconds = 1000 * (time.monotonic() - began)
        caller = scope.get("sluice.key_id", "-")
        line = "%s %s %d %d B %.1f ms key=%s"
        logger.info(line, _method(scope), route, seen["status"], seen["bytes"], milliseconds, caller)

    def _refusal(self, scope: Scope) -> Problem | None:
        if len(scope["query_string"]) + len(scope.get("raw_path") or b"") > _MOST_ADDRESS_BYTES:
            return Problem(414, f"at most {_MOST_ADDRESS_BYTES} bytes")
        if self._hosts is not None and _host(scope) not in self._hosts:
            return Problem(421, "without keys this server answers to localhost only")
        return None


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS") else "?"


def _host(scope: Scope) -> str:
    sent = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1").lower()
    return sent[: sent.index("]") + 1] if sent.startswith("[") and "]" in sent else sent.partition(":")[0]


def _add_headers(message: Message) -> None:
    present = {name for name, _ in message["headers"]}
    for name, value in SECURITY_HEADERS.items():
        if name.encode() not in present:
            message["headers"].append((name.encode(), value.encode()))


async def _send_problem(problem: Problem, send: Send) -> None:
    body = json.dumps(problem.as_json()).encode()
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

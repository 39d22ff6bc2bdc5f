"""Requests to the owner of a layer: small files that it carries out between micro-batches and answers.

A request that was taken up and not answered, because the owner died, is carried out again by the next one:
what it asks for must come to the same however often it is done.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sluice.schemas import LAYERS
from sluice.tables.lake import Lake, write_atomically

_ANSWERED = ".answer"
_KEEP_ANSWERS_SECONDS = 7 * 86_400


@dataclass(frozen=True)
class Request:
    """Something a person asks of a layer's owner.

    Attributes:
        action: approve or reject, or what a layer understands besides.
        subject: the promotion it is about, or the text that says which records are meant.
    """

    request_id: str
    layer: str
    action: str
    subject: str
    by: str
    why: str


@dataclass(frozen=True)
class Answer:
    """What became of a request.

    Attributes:
        done: false if it was refused; `message` then says why.
        details: what else a program may want to know, as JSON has it.
    """

    done: bool
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)


def submit_request(lake: Lake, layer: str, action: str, subject: str, by: str, why: str) -> Request:
    """Leaves a request; it is there until it has been answered, whoever owns the layer meanwhile."""
    request = Request(f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}", layer, action, subject, by, why)
    leave_request(lake, request)
    return request


def submit_once(lake: Lake, layer: str, action: str, subject: str, by: str, why: str) -> Request:
    """The request of the same content that still waits, or a new one.

    Whoever types a command again that was killed finishes what it began, and asks for no second one.
    """
    for waiting in pending_requests(lake, layer):
        if (waiting.action, waiting.subject, waiting.by, waiting.why) == (action, subject, by, why):
            return waiting
    return submit_request(lake, layer, action, subject, by, why)


def leave_request(lake: Lake, request: Request) -> None:
    """Leaves a request under an id of the caller's; one that has been answered is not left again."""
    if find_answer(lake, request) is None:
        write_atomically(_path(lake, request), json.dumps(asdict(request)) + "\n")


def pending_requests(lake: Lake, layer: str) -> list[Request]:
    """The layer's unanswered requests, oldest first; a file that is no request is passed over."""
    found = []
    for path in sorted(_folder(lake, layer).glob("[0-9]*.json")):
        if path.name.endswith(f"{_ANSWERED}.json"):
            continue
        content = _read(path)
        if content is not None:
            found.append(Request(**content))
    return found


def ready_requests(lake: Lake, layer: str) -> list[Request]:
    """The layer's unanswered requests but for those that wait for another layer, oldest first.

    A request under the id of one to the layer above follows from it, and waits until that one is answered.
    """
    above = LAYERS[: LAYERS.index(layer)]
    return [
        request
        for request in pending_requests(lake, layer)
        if not any((_folder(lake, other) / f"{request.request_id}.json").exists() for other in above)
    ]


def answer_request(lake: Lake, request: Request, answer: Answer) -> None:
    """Answers a request and takes it away; answers older than a week go too."""
    path = _path(lake, request)
    write_atomically(path.with_name(f"{request.request_id}{_ANSWERED}.json"), json.dumps(asdict(answer)) + "\n")
    path.unlink(missing_ok=True)
    for old in path.parent.glob(f"*{_ANSWERED}.json"):
        if time.time() - old.stat().st_mtime > _KEEP_ANSWERS_SECONDS:
            old.unlink(missing_ok=True)


def find_answer(lake: Lake, request: Request) -> Answer | None:
    """The answer to a request, or None while there is none."""
    content = _read(_path(lake, request).with_name(f"{request.request_id}{_ANSWERED}.json"))
    return (
        None
        if content is None
        else Answer(bool(content["done"]), str(content["message"]), content.get("details") or {})
    )


def _folder(lake: Lake, layer: str) -> Path:
    return lake.path / "_requests" / layer


def _path(lake: Lake, request: Request) -> Path:
    return _folder(lake, request.layer) / f"{request.request_id}.json"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None

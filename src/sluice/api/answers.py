"""Answers with an ETag: one made of the same versions of the tables is not made again, and 304 where it is known."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass

from fastapi import Response

from sluice.api.asking import Rows

_KEPT_BYTES = 32 * 1024 * 1024
_ETAG_CHARACTERS = 32
# May be kept by the client alone, and is asked for again each time, which costs a 304.
HEADERS = {"Cache-Control": "private, no-cache", "Vary": "Authorization"}


@dataclass(frozen=True)
class Answer:
    """The body of an answer, and what tells it from others.

    Attributes:
        etag: weak where ages that pass with time are left out of it.
    """

    body: bytes
    etag: str


def page_answer(rows: Rows) -> Answer:
    """A page as `{"items": […], "next_cursor": …}`."""
    cursor = json.dumps(rows.next_cursor).encode()
    body = b'{"items":' + rows.items + b',"next_cursor":' + cursor + b"}"
    if rows.same is None:
        return Answer(body, f'"{_digest(body)}"')
    return Answer(body, f'W/"{_digest(rows.same + cursor)}"')


def object_answer(body: bytes) -> Answer:
    """One JSON object."""
    return Answer(body, f'"{_digest(body)}"')


def respond(answer: Answer, if_none_match: str | None, headers: Mapping[str, str]) -> Response:
    """The answer, or 304 where the client says it has it."""
    all_headers = {**HEADERS, **headers, "ETag": answer.etag}
    if if_none_match is not None and _names(if_none_match, answer.etag):
        return Response(status_code=304, headers=all_headers)
    return Response(answer.body, headers=all_headers, media_type="application/json")


class AnswerCache:
    """The answers last given, by all that they follow from.

    Args:
        most_bytes: of all bodies together; the least recently used go.
    """

    def __init__(self, most_bytes: int = _KEPT_BYTES) -> None:
        self._most_bytes, self._bytes = most_bytes, 0
        self._lock = threading.Lock()
        self._answers: OrderedDict[Hashable, Answer] = OrderedDict()

    def get(self, key: Hashable) -> Answer | None:
        """The answer kept under a key."""
        with self._lock:
            if key in self._answers:
                self._answers.move_to_end(key)
            return self._answers.get(key)

    def put(self, key: Hashable, answer: Answer) -> None:
        """Keeps an answer, unless it alone is more than may be kept."""
        with self._lock:
            if key in self._answers or len(answer.body) > self._most_bytes:
                return
            self._answers[key] = answer
            self._bytes += len(answer.body)
            while self._bytes > self._most_bytes:
                _, gone = self._answers.popitem(last=False)
                self._bytes -= len(gone.body)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_ETAG_CHARACTERS]


def _names(if_none_match: str, etag: str) -> bool:
    given = {each.strip().removeprefix("W/") for each in if_none_match.split(",")}
    return "*" in given or etag.removeprefix("W/") in given

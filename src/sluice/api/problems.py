"""What goes wrong with a request, as RFC 9457 problem details: text for people, no traces, no values from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping

MEDIA_TYPE = "application/problem+json"
_KINDS = {
    400: ("bad-request", "The request cannot be read"),
    401: ("key-needed", "A valid key is needed"),
    403: ("not-allowed", "The key does not allow this"),
    404: ("not-found", "There is nothing here"),
    405: ("read-only", "The API only reads"),
    410: ("gone", "That version is no longer kept"),
    414: ("too-long", "The address is too long"),
    421: ("other-host", "Not addressed to this server"),
    422: ("wrong-parameter", "A parameter cannot be used"),
    429: ("too-many-requests", "Too many requests"),
    500: ("failed", "Something went wrong in the server"),
    503: ("not-ready", "Not now"),
}


class Problem(Exception):
    """Ends a request.

    Args:
        status: HTTP's code, one of those above.
        detail: what is wrong with this very request and what to do, one line.
        headers: of the answer.
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})

    def as_json(self) -> dict[str, object]:
        """The body of the answer."""
        kind, title = _KINDS.get(self.status, _KINDS[400])
        return {"type": f"urn:sluice:problem:{kind}", "title": title, "status": self.status, "detail": self.detail}


def wrong(name: str, what: str) -> Problem:
    """A parameter that cannot be used, and why."""
    return Problem(422, f"{name}: {what}")


def busy(detail: str, seconds: int = 1) -> Problem:
    """What may work if it is asked again after some seconds."""
    return Problem(503, detail, {"Retry-After": str(seconds)})

"""Who asks: the key sent with a request, whose rows it may see, and how often it may ask."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone

from fastapi import Request
from fastapi.security import HTTPBearer

from sluice.api.keys import KeyRing
from sluice.api.limits import RateLimit
from sluice.api.problems import Problem, wrong

# Of the log and the rate limit, where no keys are needed: no key can be called so.
NO_KEY = "(no key)"
BEARER = HTTPBearer(auto_error=False, description="A key of `sluice serve keys add`.")


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Attributes:
        customers: whose rows may be seen; None for all.
    """

    key_id: str
    customers: frozenset[str] | None


class Callers:
    """Tells callers by their keys.

    Args:
        ring: None where whoever reaches the server may see all.
    """

    def __init__(self, ring: KeyRing | None, limit: RateLimit) -> None:
        self._ring, self._limit = ring, limit

    async def admit(self, request: Request) -> None:
        """Lets a request pass, and notes in its state who asks.

        Raises:
            Problem: 401, 429, or 422 for a parameter given twice.
        """
        caller = await self._caller(request)
        request.state.caller = caller
        request.scope["sluice.key_id"] = caller.key_id
        self._limit.take(caller.key_id)
        if len(names := [name for name, _ in request.query_params.multi_items()]) > len(set(names)):
            raise wrong("parameters", "each at most once")

    async def _caller(self, request: Request) -> Caller:
        if self._ring is None:
            return Caller(NO_KEY, None)
        sent = await BEARER(request)
        key = self._ring.find(sent.credentials, datetime.now(timezone.utc)) if sent is not None else None
        if key is None:
            needed = {"WWW-Authenticate": 'Bearer realm="sluice"'}
            raise Problem(401, "send a key that is valid as `Authorization: Bearer KEY`", needed)
        return Caller(key.key_id, key.customers)

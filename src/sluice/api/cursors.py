"""Where a page ended, as text that a client hands back unread: the next page begins after that row.

A cursor names a place in the order of the rows, not a count of them: rows that come meanwhile move nothing. It holds
only what its page has shown, so there is nothing to hide in it, and whoever alters one merely asks for another place.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence

from sluice.api.problems import wrong

Part = str | int | None
MOST_CHARACTERS = 2000


def write_cursor(kind: str, parts: Sequence[Part]) -> str:
    """A cursor of one endpoint."""
    text = json.dumps([kind, *parts], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode("ascii").rstrip("=")


def read_cursor(kind: str, cursor: str, types: Sequence[type | tuple[type, ...]]) -> list[Part]:
    """The parts of a cursor.

    Args:
        types: of each part.

    Raises:
        Problem: 422, it is none of this endpoint.
    """
    try:
        content = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise _not_ours() from None
    if not isinstance(content, list) or len(content) != len(types) + 1 or content[0] != kind:
        raise _not_ours()
    parts: list[Part] = content[1:]
    for part, expected in zip(parts, types, strict=True):
        # bool is an int, and numbers of any length are numbers.
        if not isinstance(part, expected) or isinstance(part, bool) or (isinstance(part, int) and abs(part) >= 2**62):
            raise _not_ours()
        if isinstance(part, str) and not part.isprintable():
            raise _not_ours()
    return parts


def _not_ours() -> Exception:
    return wrong("cursor", "hand back next_cursor of the page before, as it was, to the same endpoint")

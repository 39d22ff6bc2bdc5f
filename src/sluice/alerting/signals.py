"""Signals: what says, at least once, that a rule holds (or holds no longer) for a subject at an event's time.

They stand in `kafka.topic` of alerts as JSON, with the subject as key. The same condition seen twice has the same
`signal_id`. The stream writes them by `transforms/signals.py`; both ends are tested against each other.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any, Final, Literal

from sluice.alerting.rule_types import ID_PATTERN
from sluice.errors import SignalInvalid

RAISE: Final = "raise"
CLEAR: Final = "clear"
_SEPARATOR = "\x1f"
_TEXTS = ("signal_id", "kind", "rule_id", "severity", "subject", "event_time")
_OPTIONAL_TEXTS = ("device_id", "customer", "site", "metric", "event_id", "coordinates")
_NUMBERS = ("value", "threshold")
# JSON can write half of a pair; no text of UTF-8 holds one.
_SURROGATE = re.compile("[\ud800-\udfff]")
MAX_SIGNAL_BYTES = 65_536


@dataclass(frozen=True)
class Signal:
    """One signal.

    Attributes:
        signal_id: `signal_id_of` its rule and event key.
        kind: raise or clear.
        subject: the device's id, or `gate:<layer>`.
        event_time: of the reading, minute or batch it was seen in; UTC.
        value: what was seen; None where the rule has no number.
        threshold: what it was compared with; None likewise.
        coordinates: topic:partition:offset of the record, where there is one.
    """

    signal_id: str
    kind: Literal["raise", "clear"]
    rule_id: str
    severity: str
    subject: str
    event_time: datetime
    device_id: str | None = None
    customer: str | None = None
    site: str | None = None
    metric: str | None = None
    value: float | None = None
    threshold: float | None = None
    event_id: str | None = None
    coordinates: str | None = None


def signal_id_of(kind: str, rule_id: str, subject: str, event_time: datetime, event_id: str | None) -> str:
    """`sha256:` over kind, rule, subject, event time (microseconds, UTC) and event id."""
    parts = (kind, rule_id, subject, time_text(event_time), event_id or "")
    return "sha256:" + hashlib.sha256(_SEPARATOR.join(parts).encode()).hexdigest()


def time_text(moment: datetime) -> str:
    """RFC 3339 in UTC with six digits of a second."""
    return moment.astimezone(timezone.utc).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def encode_signal(signal: Signal) -> bytes:
    """The signal as it stands in the topic."""
    content = {**asdict(signal), "event_time": time_text(signal.event_time)}
    return json.dumps({key: value for key, value in content.items() if value is not None}, allow_nan=False).encode()


def decode_signal(message: bytes | None) -> Signal:
    """The signal in a message.

    Raises:
        SignalInvalid: it is none: says what is missing or wrong.
    """
    if not message:
        raise SignalInvalid("an empty message")
    if len(message) > MAX_SIGNAL_BYTES:
        raise SignalInvalid(f"longer than {MAX_SIGNAL_BYTES} bytes")
    try:
        content = json.loads(message)
    except (ValueError, RecursionError) as error:
        raise SignalInvalid(f"not JSON: {error}") from None
    if not isinstance(content, dict):
        raise SignalInvalid("not an object")
    for name in _TEXTS:
        if not isinstance(content.get(name), str) or not content[name]:
            raise SignalInvalid(f"{name} must be a text")
    if content["kind"] not in (RAISE, CLEAR):
        raise SignalInvalid(f"kind must be {RAISE} or {CLEAR}")
    if not re.fullmatch(ID_PATTERN, content["rule_id"]):
        raise SignalInvalid("rule_id is no id of a rule")
    fields: dict[str, Any] = {name: _text(content, name) for name in (*_TEXTS, *_OPTIONAL_TEXTS)}
    fields |= {name: _number(content, name) for name in _NUMBERS}
    return Signal(**{**fields, "event_time": _moment(content["event_time"])})


def _text(content: dict[str, Any], name: str) -> str | None:
    value = content.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise SignalInvalid(f"{name} must be a text")
    if _SURROGATE.search(value):
        raise SignalInvalid(f"{name} holds half a character")
    return value


def _number(content: dict[str, Any], name: str) -> float | None:
    value = content.get(name)
    if value is None:
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise SignalInvalid(f"{name} must be a finite number")


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
        if moment.tzinfo is None:
            raise SignalInvalid("event_time must have an offset")
        return moment.astimezone(timezone.utc)
    except (ValueError, OverflowError):
        raise SignalInvalid("event_time must be RFC 3339") from None

"""Acknowledgements: what a person says of an alert, as a message in the topic of signals, with the subject as key."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from sluice.alerting.signals import MAX_SIGNAL_BYTES, Signal, decode_signal
from sluice.errors import SignalInvalid

ACK = "ack"
_MOST_CHARACTERS = 1_000


@dataclass(frozen=True)
class Acknowledgement:
    """That somebody has taken notice of an alert.

    Attributes:
        rule_id, subject: of the alert.
        by: who.
        why: in words.
    """

    alert_id: str
    rule_id: str
    subject: str
    by: str
    why: str


def encode_acknowledgement(acknowledgement: Acknowledgement) -> bytes:
    """The acknowledgement as it stands in the topic."""
    return json.dumps({"kind": ACK, **asdict(acknowledgement)}).encode()


def decode_message(message: bytes | None) -> Signal | Acknowledgement:
    """What a message of the topic says.

    Raises:
        SignalInvalid: it is neither a signal nor an acknowledgement: says what is missing or wrong.
    """
    content = _object_in(message)
    if content is None or content.get("kind") != ACK:
        return decode_signal(message)
    fields = {name: content.get(name) for name in Acknowledgement.__dataclass_fields__}
    for name, value in fields.items():
        if not isinstance(value, str) or not value.strip() or len(value) > _MOST_CHARACTERS:
            raise SignalInvalid(f"{name} must be a text of at most {_MOST_CHARACTERS} characters")
    try:
        "".join(str(value) for value in fields.values()).encode()
    except UnicodeEncodeError:
        raise SignalInvalid("a text holds half a character") from None
    return Acknowledgement(**{name: str(value) for name, value in fields.items()})


def _object_in(message: bytes | None) -> dict[str, Any] | None:
    if not message or len(message) > MAX_SIGNAL_BYTES:
        return None
    try:
        content = json.loads(message)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None

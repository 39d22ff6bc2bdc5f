"""The state of alerts as messages: what is remembered (compacted topic), and notices of what changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, get_type_hints

from sluice.alerting.episodes import Episode
from sluice.alerting.signals import time_text
from sluice.alerting.state import AlertState, Key, Remembered
from sluice.errors import SignalInvalid

_SEPARATOR = "\x1f"
_KINDS = get_type_hints(AlertState)


@dataclass(frozen=True)
class Notice:
    """That an alert fired, was acknowledged or resolved.

    Attributes:
        notice_id: a function of the alert and its status: there is one of each.
        channels: names of those it goes to.
        alert: as it was then.
        episode: of its rule, after it.
    """

    notice_id: str
    channels: tuple[str, ...]
    alert: AlertState
    episode: Episode


def notice_of(alert: AlertState, channels: Sequence[str], episode: Episode) -> Notice:
    """The notice of an alert whose status has changed."""
    digest = hashlib.sha256(_SEPARATOR.join((alert.alert_id, alert.status)).encode()).hexdigest()
    return Notice(f"no-{digest[:24]}", tuple(channels), alert, episode)


def key_bytes(key: Key) -> bytes:
    """Rule and subject as a message's key."""
    return _SEPARATOR.join(key).encode()


def encode_remembered(remembered: Remembered) -> bytes:
    """What is remembered of a rule and a subject."""
    alert, pause, held_back = remembered.alert, remembered.cooldown_until, remembered.held_back
    content = {
        "seen_until": time_text(remembered.seen_until),
        "cooldown_until": None if pause is None else time_text(pause),
        "held_back": None if held_back is None else time_text(held_back),
        "alert": None if alert is None else alert_as_json(alert),
        "channels": list(remembered.channels),
        "episode_id": remembered.episode_id,
    }
    return json.dumps(content).encode()


def decode_remembered(key: bytes | None, value: bytes | None) -> tuple[Key, Remembered | None]:
    """Rule and subject, and what is remembered of them; None where it is to be forgotten.

    Raises:
        SignalInvalid: the message is none of ours.
    """
    try:
        rule_id, _, subject = (key or b"").decode().partition(_SEPARATOR)
        if value is None:
            return (rule_id, subject), None
        content = json.loads(value)
        alert, pause, held_back = content["alert"], content["cooldown_until"], content["held_back"]
        found = Remembered(
            _moment(content["seen_until"]),
            None if alert is None else alert_from_json(alert),
            None if pause is None else _moment(pause),
            None if held_back is None else _moment(held_back),
            tuple(str(name) for name in content["channels"]),
            content.get("episode_id"),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SignalInvalid(f"no state of an alert: {type(error).__name__} {error}") from None
    return (rule_id, subject), found


def encode_notice(notice: Notice) -> bytes:
    """The notice as it stands in its topic."""
    return json.dumps(notice_as_json(notice)).encode()


def notice_as_json(notice: Notice) -> dict[str, Any]:
    """The notice as plain values."""
    alert = alert_as_json(notice.alert)
    episode = asdict(notice.episode)
    return {"notice_id": notice.notice_id, "channels": list(notice.channels), "alert": alert, "episode": episode}


def decode_notice(value: bytes | None) -> Notice:
    """The notice in a message.

    Raises:
        SignalInvalid: the message is none of ours.
    """
    try:
        return notice_from_json(json.loads(value or b""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SignalInvalid(f"no notice of an alert: {type(error).__name__} {error}") from None


def notice_from_json(content: Mapping[str, Any]) -> Notice:
    """The notice in plain values; without an episode, as earlier versions wrote them, it is one of its own.

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """
    channels = tuple(str(name) for name in content["channels"])
    alert = alert_from_json(content["alert"])
    told = content.get("episode") or {"episode_id": alert.alert_id, "open_count": int(alert.is_open)}
    episode = Episode(str(told["episode_id"]), int(told["open_count"]))
    return Notice(str(content["notice_id"]), channels, alert, episode)


def alert_as_json(alert: AlertState) -> dict[str, Any]:
    """The alert's fields as plain values; those that are null are left out, times as RFC 3339."""
    told = {name: value for name, value in asdict(alert).items() if value is not None}
    return {name: time_text(value) if isinstance(value, datetime) else value for name, value in told.items()}


def alert_from_json(content: Mapping[str, Any]) -> AlertState:
    """The alert in plain values.

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """
    found: dict[str, Any] = {}
    for field in fields(AlertState):
        value = content.get(field.name)
        if value is not None:
            found[field.name] = _read(field.name, value)
    return AlertState(**found)


def _read(name: str, value: Any) -> Any:
    kind = str(_KINDS[name])
    if "datetime" in kind:
        return _moment(value)
    if "float" in kind:
        return float(value)
    if "int" in kind:
        return int(value)
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a text")
    return value


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if moment.tzinfo is None:
        raise ValueError("a time without an offset")
    return moment

"""What is delivered: one alert, or many as one message that says how many. A function of the notices in it."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import Any

from sluice.alerting.signals import time_text
from sluice.alerting.state_messages import Notice, notice_as_json, notice_from_json
from sluice.schemas import ALERT_STATUSES

_SEPARATOR = "\x1f"
_SEVERITIES = ("critical", "warning", "info")
_MOST_RULES = 20


@dataclass(frozen=True)
class Message:
    """One message to one channel.

    Attributes:
        notices: all it is about, in the order they came; at least one.
        most_listed: how many are told one by one.
        over: ids of alerts that were resolved before it is delivered late; not of its content.
    """

    channel: str
    notices: tuple[Notice, ...]
    most_listed: int
    over: frozenset[str] = frozenset()

    @property
    def message_id(self) -> str:
        """`msg-` and a hash of channel and notices: a message that is delivered again has the same."""
        parts = (self.channel, *(notice.notice_id for notice in self.notices))
        return f"msg-{hashlib.sha256(_SEPARATOR.join(parts).encode()).hexdigest()[:32]}"

    @property
    def listed(self) -> tuple[Notice, ...]:
        """Those that are told one by one: the gravest first, of the same the earlier."""
        ranked = sorted(self.notices, key=lambda notice: _rank(notice.alert.severity))
        return tuple(ranked[: self.most_listed])

    @property
    def left_out(self) -> int:
        """How many are only counted."""
        return max(0, len(self.notices) - self.most_listed)

    @property
    def severity(self) -> str:
        """The gravest of all."""
        return min((notice.alert.severity for notice in self.notices), key=_rank)

    @property
    def title(self) -> str:
        """One line: the alert, or how many of which status."""
        if len(self.notices) == 1:
            return alert_line(self.notices[0])
        by_status = Counter(notice.alert.status for notice in self.notices)
        counted = ", ".join(f"{by_status[name]:,} {name}" for name in ALERT_STATUSES if by_status[name])
        return f"[{self.severity}] {len(self.notices):,} alerts: {counted}"

    @property
    def lines(self) -> list[str]:
        """What stands below the title: by rule how many, then those that are listed."""
        if len(self.notices) == 1:
            return detail_lines(self.notices[0])
        told = [f"{count['rule_id']} {count['status']}: {count['count']:,}" for count in self.counts[:_MOST_RULES]]
        if len(self.counts) > _MOST_RULES:
            told.append(f"… and {len(self.counts) - _MOST_RULES:,} more lines like these")
        told += ["", *(alert_line(notice) for notice in self.listed)]
        if self.left_out:
            told.append(f"… and {self.left_out:,} more: sluice alerts ls")
        return told

    @property
    def counts(self) -> list[dict[str, Any]]:
        """Per rule and status how many, the most first."""
        found = Counter((notice.alert.rule_id, notice.alert.status) for notice in self.notices)
        return [{"rule_id": rule, "status": status, "count": count} for (rule, status), count in found.most_common()]

    def as_json(self) -> dict[str, Any]:
        """The message for programs; the same whenever it is delivered."""
        return {
            "id": self.message_id,
            "type": "sluice.alerts",
            "channel": self.channel,
            "timestamp": time_text(max(notice.alert.updated_at for notice in self.notices)),
            "title": self.title,
            "severity": self.severity,
            "count": len(self.notices),
            "counts": self.counts,
            "left_out": self.left_out,
            "alerts": [notice_as_json(notice)["alert"] for notice in self.listed],
        }


def message_as_json(message: Message) -> dict[str, Any]:
    """The whole message, to be delivered again later."""
    notices = [notice_as_json(notice) for notice in message.notices]
    return {"channel": message.channel, "most_listed": message.most_listed, "notices": notices}


def message_from_json(content: dict[str, Any]) -> Message:
    """The same message.

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """
    notices = tuple(notice_from_json(each) for each in content["notices"])
    if not notices:
        raise ValueError("a message about nothing")
    return Message(str(content["channel"]), notices, int(content["most_listed"]))


def alert_line(notice: Notice) -> str:
    """One alert in a line."""
    alert = notice.alert
    return f"[{alert.severity}] {alert.status}: {alert.text or alert.rule_id}"


def detail_lines(notice: Notice) -> list[str]:
    """What there is to know of one alert."""
    alert = notice.alert
    told: list[tuple[str, Any]] = [("alert", alert.alert_id), ("rule", alert.rule_id), ("subject", alert.subject)]
    told += [("site", alert.site), ("customer", alert.customer), ("metric", alert.metric)]
    told += [("value", alert.last_value), ("threshold", alert.threshold)]
    told += [("first event", time_text(alert.first_event_time)), ("last event", time_text(alert.last_event_time))]
    told += [("signals", alert.signal_count), ("acknowledged by", alert.acknowledged_by)]
    told += [("why", alert.acknowledged_why), ("resolved", alert.resolved_why), ("runbook", alert.runbook)]
    return [f"{name}: {value}" for name, value in told if value is not None]


def _rank(severity: str) -> int:
    return _SEVERITIES.index(severity) if severity in _SEVERITIES else len(_SEVERITIES)

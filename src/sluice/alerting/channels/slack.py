"""The channel `slack`: a message as text to an incoming webhook, whose URL is the secret."""

from __future__ import annotations

import json
from typing import Literal

from sluice.alerting.http_delivery import Hook, HookSettings
from sluice.alerting.messages import Message
from sluice.alerting.secret_sources import SecretSource
from sluice.alerting.targets import Resolve, resolve_host

# What Slack shows of one text (https://docs.slack.dev/reference/block-kit/blocks/section-block).
_MOST_CHARACTERS = 3_000


class SlackSettings(HookSettings):
    """An incoming webhook; without `hosts` Slack's own."""

    type: Literal["slack"]
    url: None = None
    url_from: SecretSource
    hosts: tuple[str, ...] = ("hooks.slack.com",)


class SlackChannel:
    """Posts the title and the lines of a message."""

    def __init__(self, settings: SlackSettings, resolve: Resolve = resolve_host) -> None:
        self._hook = Hook(settings, resolve)

    def deliver(self, message: Message) -> None:
        """Posts a message.

        Raises:
            DeliveryFailed: it was not taken.
        """
        self._hook.post(json.dumps({"text": slack_text(message)}).encode(), {})

    def close(self) -> None:
        """Has nothing open."""


def slack_text(message: Message) -> str:
    """The message as Slack's markup; nothing that comes from data is a link, a mention or bold."""
    from sluice.serving.values import printable

    lines = [f"*{_escaped(printable(message.title))}*", *(_escaped(printable(line)) for line in message.lines)]
    text = "\n".join(lines)
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 2] + " …"


def _escaped(text: str) -> str:
    # The three that Slack reads as control characters; a star or tick is made harmless by what cannot be seen.
    marked = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"{sign}\u200b" if sign in "*_~`" else sign for sign in marked)

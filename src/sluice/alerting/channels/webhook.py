"""The channel `webhook`: a message as JSON, signed after the Standard Webhooks convention."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Literal

from pydantic import Field, model_validator

from sluice.alerting.channels.channel import DeliveryFailed
from sluice.alerting.http_delivery import Hook, HookSettings
from sluice.alerting.messages import Message
from sluice.alerting.secret_sources import SecretSource
from sluice.alerting.signing import sign
from sluice.alerting.targets import Resolve, resolve_host
from sluice.errors import SecretMissing


class WebhookSettings(HookSettings):
    """A URL and one or, while they are exchanged, two secrets (`whsec_…`)."""

    type: Literal["webhook"]
    secrets: tuple[SecretSource, ...] = Field(min_length=1, max_length=2)

    @model_validator(mode="after")
    def _one_url(self) -> WebhookSettings:
        if (self.url is None) == (self.url_from is None):
            raise ValueError("give one of url and url_from")
        return self


class WebhookChannel:
    """Posts messages; `webhook-id` is the message's id.

    Args:
        clock: seconds since 1970.
    """

    def __init__(
        self, settings: WebhookSettings, resolve: Resolve = resolve_host, clock: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._hook = Hook(settings, resolve)
        self._clock = clock

    def deliver(self, message: Message) -> None:
        """Posts a message, signed anew at each attempt.

        Raises:
            DeliveryFailed: it was not taken.
        """
        body = json.dumps(message.as_json()).encode()
        try:
            secrets = [source.read() for source in self._settings.secrets]
            headers = sign(secrets, message.message_id, int(self._clock()), body)
        except SecretMissing as error:
            raise DeliveryFailed(error.message) from None
        self._hook.post(body, headers)

    def close(self) -> None:
        """Has nothing open."""

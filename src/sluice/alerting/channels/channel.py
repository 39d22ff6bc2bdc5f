"""What all channels have: how often they may be used, how long one that fails is tried, and what failing is."""

from __future__ import annotations

from typing import Protocol

from pydantic import Field

from sluice.alerting.messages import Message
from sluice.errors import SluiceError
from sluice.sections import Section


class ChannelSettings(Section):
    """What every channel has in conf/alerts.yaml.

    Attributes:
        group_seconds: so long a message waits for more alerts to join it.
        max_alerts: that one message lists; it says how many more there are.
        messages_per_minute: at most; alerts that come meanwhile join the next message.
        max_attempts: after so many a message is put with what could not be delivered.
        retry_seconds, retry_max_seconds: the first pause between two attempts, which doubles, and the longest.
        breaker_failures, breaker_seconds: after so many failures in a row it is left alone for so long.
    """

    group_seconds: float = Field(default=5.0, ge=0, le=3600)
    max_alerts: int = Field(default=20, ge=1, le=1000)
    messages_per_minute: float = Field(default=30.0, gt=0)
    max_attempts: int = Field(default=8, ge=1, le=1000)
    retry_seconds: float = Field(default=1.0, gt=0)
    retry_max_seconds: float = Field(default=300.0, gt=0)
    breaker_failures: int = Field(default=5, ge=1)
    breaker_seconds: float = Field(default=60.0, ge=0)


class DeliveryFailed(SluiceError):
    """A channel has not taken a message.

    Args:
        message: why; never what may be secret: no address of a hook, no answer of a server.
        is_final: whether another attempt would fail as well.
        retry_after_seconds: how long the receiver wants to be left alone.
    """

    def __init__(self, message: str, *, is_final: bool = False, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.is_final = is_final
        self.retry_after_seconds = retry_after_seconds


class Channel(Protocol):
    """What delivers messages; used by one thread."""

    def deliver(self, message: Message) -> None:
        """Hands a message over; a second time it is the same message, with the same id.

        Raises:
            DeliveryFailed: it may or may not have arrived.
        """

    def close(self) -> None:
        """Gives up connections."""

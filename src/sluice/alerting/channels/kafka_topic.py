"""The channel `kafka`: one record an alert and status, in a topic of the same broker."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Literal

from pydantic import Field

from sluice.alerting.channels.channel import ChannelSettings, DeliveryFailed
from sluice.alerting.messages import Message
from sluice.alerting.state_messages import notice_as_json
from sluice.errors import BrokerDown, TopicMissing
from sluice.sections import TOPIC_PATTERN
from sluice.sources.kafka_records import OutgoingRecord, RecordSender


class KafkaSettings(ChannelSettings):
    """An existing topic. Nothing is grouped: every alert has its record, with the subject as key."""

    type: Literal["kafka"]
    topic: str = Field(pattern=TOPIC_PATTERN)
    group_seconds: float = Field(default=0.0, ge=0, le=3600)
    messages_per_minute: float = Field(default=600.0, gt=0)


class KafkaChannel:
    """Sends to a topic and waits for the broker's acknowledgement.

    Args:
        open_sender: connects to the broker.
    """

    def __init__(self, open_sender: Callable[[], RecordSender]) -> None:
        self._open_sender = open_sender
        self._sender: RecordSender | None = None

    def deliver(self, message: Message) -> None:
        """Sends a record for each alert.

        Raises:
            DeliveryFailed: not all were acknowledged.
        """
        headers = [("sluice-message-id", message.message_id.encode())]
        records = []
        for notice in message.notices:
            value = json.dumps(notice_as_json(notice)["alert"]).encode()
            own = [*headers, ("sluice-notice-id", notice.notice_id.encode())]
            records.append(OutgoingRecord(notice.alert.subject.encode(), value, own))
        try:
            if self._sender is None:
                self._sender = self._open_sender()
            too_large = self._sender.send(records)
        except (BrokerDown, TopicMissing) as error:
            self.close()
            raise DeliveryFailed(error.message) from None
        if too_large:
            raise DeliveryFailed(f"{len(too_large)} records are too large for the topic", is_final=True)

    def close(self) -> None:
        """Disconnects."""
        if self._sender is not None:
            self._sender.close()
            self._sender = None

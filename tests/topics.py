"""Topics of their own for tests that share a broker."""

from __future__ import annotations

import uuid

from sluice.embedded.broker import RunningBroker
from sluice.embedded.topics import create_topic


def new_topic(broker: RunningBroker, partitions: int, prefix: str = "test") -> str:
    """The name of a new topic, every partition of which has a leader."""
    name = f"{prefix}.{uuid.uuid4().hex[:12]}"
    assert create_topic(broker.bootstrap_servers, name, partitions)
    return name

"""What all Kafka clients here are made with, and what becomes of their failures."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sluice.errors import BrokerDown, SettingsInvalid

# How long a command waits for a first answer before it says that no broker is there.
BOOTSTRAP_TIMEOUT_MS = 4_000
# How long one question of Spark's to the broker may take; not less than Kafka's own limit for a request.
API_TIMEOUT_MS = 30_000


def client(bootstrap_servers: str, options: Mapping[str, object]) -> dict[str, Any]:
    """Where the broker is, with options in kafka-python's names."""
    return {
        **options,
        "bootstrap_servers": bootstrap_servers.split(","),
        "bootstrap_timeout_ms": BOOTSTRAP_TIMEOUT_MS,
    }


def short_timeout(options: Mapping[str, str], milliseconds: int) -> dict[str, int]:
    """A limit of a request, unless the options have one."""
    return {} if "request.timeout.ms" in options else {"request_timeout_ms": milliseconds}


@contextmanager
def reaching_broker(bootstrap_servers: str) -> Iterator[None]:
    """Turns a client's failure into BrokerDown, and keeps the client's own log off standard error.

    Raises:
        BrokerDown: nobody answers, or the login is refused.
        SettingsInvalid: an option cannot be used.
    """
    from kafka.errors import KafkaConfigurationError, KafkaError

    logging.getLogger("kafka").propagate = False
    try:
        yield
    except (KafkaConfigurationError, ValueError, AssertionError) as error:
        raise SettingsInvalid(
            f"the settings of Kafka cannot be used: {error}", "see kafka.bootstrap_servers (host:port,…), kafka.options"
        ) from None
    except (KafkaError, OSError) as error:
        reason = "" if "bootstrap" in str(error) else f" ({error})"
        raise BrokerDown(
            f"no Kafka broker answers at {bootstrap_servers}{reason}", "sluice up, or set kafka.bootstrap_servers"
        ) from None

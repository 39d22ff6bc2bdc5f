"""Where the alert query begins in the topic: written down before its first start, and never chosen again.

So what comes while Spark starts is read, and a query that dies before Spark has written any offset down begins again
at the same place. Kafka's id of the topic stands beside it: Spark would go on in another topic of that name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from sluice.errors import CheckpointDamaged, TopicReplaced
from sluice.sources.kafka import LiveTopic, offset_bounds, require_topic
from sluice.tables.lake import write_atomically

# The lock and the checkpoint in the lake, and the query's name.
NAME = "alerts"
REAL_TIME, MICRO = "real_time", "micro"
USE_MICRO = "sluice alerts run --mode micro does the same in micro-batches, seconds later"
START = "start.json"
# To Spark's source: from the first record of a partition on.
_EARLIEST = -2


@dataclass(frozen=True)
class Start:
    """Where the first start began.

    Attributes:
        topic_id: Kafka's own id; None from brokers that give none.
        offsets: by partition the first offset that was to be read.
    """

    topic: str
    topic_id: str | None
    offsets: Mapping[str, int]


def settle_start(
    checkpoint: Path,
    bootstrap_servers: str,
    topic: str,
    options: Mapping[str, str],
    wanted: Literal["latest", "earliest"],
) -> LiveTopic:
    """The topic, once it is written down where the query begins in it.

    Raises:
        BrokerDown, TopicMissing, SettingsInvalid: it cannot be asked.
        TopicReplaced: the query has read another topic.
        CheckpointDamaged: where it began cannot be read.
    """
    live = require_topic(bootstrap_servers, topic, options)
    known = read_start(checkpoint)
    if known is None:
        bounds = offset_bounds(bootstrap_servers, topic, options)
        offsets = {str(partition): ends[1 if wanted == "latest" else 0] for partition, ends in bounds.items()}
        write_atomically(checkpoint / START, json.dumps(asdict(Start(topic, live.topic_id, offsets))) + "\n")
    elif known.topic != topic or (known.topic_id and live.topic_id and known.topic_id != live.topic_id):
        raise TopicReplaced(
            f"the topic {topic} on {bootstrap_servers} is not the one the alert query has read", anew(checkpoint)
        )
    return live


def starting_offsets(checkpoint: Path, topic: str, partitions: int) -> str:
    """What `startingOffsets` of Spark's source is to be; a partition that came later is read from its beginning.

    Raises:
        CheckpointDamaged: as settle_start.
    """
    start = read_start(checkpoint)
    known = start.offsets if start else {}
    return json.dumps({topic: {str(number): known.get(str(number), _EARLIEST) for number in range(partitions)}})


def read_start(checkpoint: Path) -> Start | None:
    """Where the first start began; None before it.

    Raises:
        CheckpointDamaged: the file that says it cannot be read.
    """
    path = checkpoint / START
    try:
        content = json.loads(path.read_text("utf-8"))
        offsets = {str(number): int(offset) for number, offset in content["offsets"].items()}
        return Start(str(content["topic"]), content["topic_id"], offsets)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise CheckpointDamaged(f"{path} cannot be read", anew(checkpoint)) from None


def anew(checkpoint: Path) -> str:
    """How a person lets the query begin anew."""
    return f"remove {checkpoint}; the alert query then begins where alerts.start says"

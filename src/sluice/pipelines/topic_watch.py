"""Whether the topic is still the one that bronze has read, and still holds what bronze has not read yet.

Spark compares offsets alone: a topic that was deleted and made anew under the same name goes unseen once it is longer
than the old one was. Kafka gives each topic an id of its own; bronze's is kept beside its checkpoint.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sluice.errors import BrokerDown, RecordsLost, SluiceError, TopicReplaced
from sluice.settings import Settings
from sluice.sources.kafka import LiveTopic, TopicObserver, offset_bounds, require_topic
from sluice.tables.checkpoints import OFFSETS, batch_ids, kafka_offsets, read_generation
from sluice.tables.damage import last_written
from sluice.tables.lake import Lake
from sluice.tables.topics import ReadTopic, keep_topic, read_topic

logger = logging.getLogger("sluice")
LAYER = "bronze"
_SHOWN = 5
# What Kafka's clients say of a broker that is away or busy; they have tried again themselves before.
AWAY = re.compile(r"(Timeout|Disconnect|Network|NotLeader\w*|LeaderNotAvailable|\w*NotAvailable|Retriable)Exception")
_ACCEPT_TOPIC = "sluice recover bronze --accept-new-topic --by NAME --why REASON"
_ACCEPT_GAP = "sluice recover bronze --accept-gap --by NAME --why REASON"


@dataclass(frozen=True)
class Gap:
    """Offsets of a partition that are gone and were not read: from `since` up to, and without, `before`."""

    partition: int
    since: int
    before: int

    def __str__(self) -> str:
        return f"partition {self.partition} offsets {self.since:,} to {self.before - 1:,}"


class TopicWatch:
    """Watches the topic for bronze's stream.

    Raises:
        CheckpointDamaged: which topic was read is noted, and cannot be read.
    """

    def __init__(self, lake: Lake, settings: Settings, bootstrap_servers: str) -> None:
        self._lake = lake
        self._where = (bootstrap_servers, settings.kafka.topic, settings.kafka.options)
        self._observer = TopicObserver(*self._where)
        self._known = read_topic(lake)

    @property
    def generation(self) -> int:
        """Of the topic; part of the coordinates of its records."""
        return self._known.generation if self._known else 1

    def ready(self) -> None:
        """To be called before the stream starts: notes the topic at the first start, compares it at every other.

        Raises:
            BrokerDown, TopicMissing: it cannot be asked.
            TopicReplaced: it is another one.
            RecordsLost: records are gone that bronze has not read.
        """
        self._note(self.examine())

    def examine(self) -> LiveTopic:
        """The topic, which is the one that was read and still holds what was not; changes nothing.

        Raises:
            BrokerDown, TopicMissing, TopicReplaced, RecordsLost: as ready.
        """
        live = require_topic(*self._where)
        next_offsets, planned = _positions(self._lake)
        gaps = compare_topic(self._where, self._known, live, next_offsets, planned)
        if gaps:
            raise records_lost(live.name, gaps)
        return live

    def verify(self) -> None:
        """To be called before a micro-batch lands: one question to the broker, whether it is the same topic.

        Raises:
            BrokerDown, TopicMissing, TopicReplaced: as ready.
        """
        live = self._observer.look()
        if self._known:
            _require_same(self._where[0], self._known, live)

    def diagnose(self, reason: str) -> SluiceError | None:
        """What a failure of the stream comes from, if it comes from the topic or its broker.

        Args:
            reason: what the stream said, with the class of Kafka's exception.
        """
        try:
            self.ready()
        except SluiceError as error:
            return error
        if AWAY.search(reason):
            return BrokerDown(f"the broker at {self._where[0]} was away: {reason}", "see that it keeps running")
        return None

    def close(self) -> None:
        """Ends the connection to the broker."""
        self._observer.close()

    def _note(self, live: LiveTopic) -> None:
        known = self._known or ReadTopic(live.name, None, None)
        found = replace(known, topic_id=known.topic_id or live.topic_id, cluster_id=known.cluster_id or live.cluster_id)
        if self._known and found != self._known:
            logger.warning(
                "bronze: which %s it has read is not known; it is taken for the one that is there", found.name
            )
        self._known = found
        keep_topic(self._lake, found)


def compare_topic(
    where: tuple[str, str, Mapping[str, str]],
    known: ReadTopic | None,
    live: LiveTopic,
    next_offsets: Mapping[int, int],
    planned: Mapping[int, int],
) -> list[Gap]:
    """What is gone from the topic and was not read.

    Args:
        where: bootstrap servers, topic and options.
        next_offsets: by partition the first offset that bronze has not read; empty before its first start.
        planned: by partition where the newest micro-batch ends, read or not.

    Raises:
        TopicReplaced: it is another topic, or ends before what bronze has read of it.
        BrokerDown, TopicMissing: it cannot be asked.
    """
    if known:
        _require_same(where[0], known, live)
    bounds = offset_bounds(*where)
    for partition, offset in sorted(planned.items()):
        end = bounds.get(partition, (0, -1))[1]
        if end < offset:
            state = f"ends at offset {end:,}" if end >= 0 else "is not there"
            raise _replaced(where[0], live.name, f"partition {partition} {state}, bronze was at {offset:,}", known)
    if not next_offsets:
        return []
    starts = {partition: next_offsets.get(partition, 0) for partition in bounds}
    gaps = [Gap(partition, starts[partition], first) for partition, (first, _) in bounds.items()]
    return [gap for gap in gaps if gap.before > gap.since]


def records_lost(topic: str, gaps: Sequence[Gap]) -> RecordsLost:
    """The error for records that went before they were read, naming the first of them and their number."""
    shown = "; ".join(map(str, gaps[:_SHOWN])) + (f" and {len(gaps) - _SHOWN} more" if len(gaps) > _SHOWN else "")
    count = sum(gap.before - gap.since for gap in gaps)
    return RecordsLost(
        f"{count:,} records of {topic} are gone that bronze has not read: {shown}",
        f"{_ACCEPT_GAP} notes them in ops/floors and goes on after them",
    )


def _require_same(bootstrap_servers: str, known: ReadTopic, live: LiveTopic) -> None:
    if known.name != live.name:
        raise _replaced(bootstrap_servers, live.name, f"it has read {known.name}", known)
    for what, before, now in (
        ("topic id", known.topic_id, live.topic_id),
        ("cluster id", known.cluster_id, live.cluster_id),
    ):
        if before and now and before != now:
            raise _replaced(bootstrap_servers, live.name, f"its {what} was {before}, and is {now}", known)


def _replaced(bootstrap_servers: str, topic: str, why: str, known: ReadTopic | None) -> TopicReplaced:
    generation = (known.generation if known else 1) + 1
    return TopicReplaced(
        f"the topic {topic} on {bootstrap_servers} is not the one bronze has read: {why}",
        f"{_ACCEPT_TOPIC} reads it from its beginning as generation {generation}; "
        "or set kafka.topic and kafka.bootstrap_servers to the one that was read",
    )


def _positions(lake: Lake) -> tuple[dict[int, int], dict[int, int]]:
    """Where bronze goes on in each partition, and where its newest micro-batch ends; empty before the first one."""
    checkpoint = lake.checkpoint_path(LAYER)
    planned, generation = batch_ids(checkpoint, OFFSETS), read_generation(checkpoint)
    if not planned or not generation:
        return {}, {}
    written = last_written(lake, LAYER, generation)
    # A batch may be in the table without being committed to the checkpoint.
    done = kafka_offsets(checkpoint, planned[-1] if written == planned[-1] else None)
    return _only(done), _only(kafka_offsets(checkpoint, planned[-1]))


def _only(topics: Mapping[str, dict[int, int]]) -> dict[int, int]:
    return next(iter(topics.values()), {})

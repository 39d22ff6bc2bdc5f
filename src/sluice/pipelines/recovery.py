"""`sluice recover`: a layer's checkpoint rebuilt from the tables, and what a person accepts of its topic.

The steps are in an order in which a death between any two of them is mended by doing all of them again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from sluice.errors import TopicReplaced, UsageError
from sluice.pipelines.positions import (
    decided_offsets,
    landed_offsets,
    last_batch,
    newest_generation,
    start_of,
)
from sluice.pipelines.start import find_broker
from sluice.pipelines.topic_watch import Gap, compare_topic
from sluice.schemas import BRONZE_EVENTS, LAYERS, OPS_FLOORS, UPSTREAM
from sluice.settings import Settings
from sluice.sources.kafka import LiveTopic, require_topic
from sluice.tables.checkpoints import new_generation, read_generation
from sluice.tables.damage import find_damage
from sluice.tables.lake import Lake, own_layer
from sluice.tables.rebuild import Start, replace_checkpoint
from sluice.tables.topics import TOPIC, ReadTopic, keep_topic, recall_topic

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

NEW_TOPIC, GAP = "new topic", "gap"


@dataclass(frozen=True)
class Acceptance:
    """What a person accepts of bronze's topic.

    Attributes:
        what: NEW_TOPIC or GAP.
    """

    what: str
    by: str
    why: str


@dataclass(frozen=True)
class Recovery:
    """What a recovery found and did.

    Attributes:
        damage: what was wrong, one line each; empty for a checkpoint that was whole.
        rebuilt: whether there is a new checkpoint.
        set_aside: folder of the old one; None where there was none.
        finished: promotions that had no ledger row yet, each with its rows.
        goes_on: where the next start goes on, for people.
    """

    layer: str
    damage: Sequence[str]
    rebuilt: bool = False
    set_aside: str | None = None
    generation: str | None = None
    finished: Sequence[str] = ()
    accepted: Sequence[str] = ()
    goes_on: str = ""


def recover_layer(
    settings: Settings,
    layer: str,
    *,
    accept: Acceptance | None = None,
    force: bool = False,
    spark: SparkSession | None = None,
) -> Recovery:
    """Rebuilds a layer's checkpoint from the tables if it is damaged or gone, or if it is asked for all the same.

    Args:
        accept: of bronze's topic.
        force: also where nothing is found to be wrong.
        spark: a session to use where one is needed; without it one is started and stopped.

    Raises:
        UsageError: the layer is unknown, or there is nothing of the kind to accept.
        LakeMissing, LakeTooNew: there is nothing to recover, or not by this version.
        LayerLocked: a job runs.
        BrokerDown, TopicMissing: something is to be accepted of a topic that cannot be asked.
        TopicReplaced: a gap is to be accepted of a topic that is another one.
    """
    if layer not in LAYERS:
        raise UsageError(f"unknown layer {layer}", f"layers are {', '.join(LAYERS)}")
    if accept and layer != "bronze":
        raise UsageError(f"{layer} reads no topic", "only bronze takes --accept-new-topic and --accept-gap")
    lake = Lake(settings.lake.path)
    lake.require()
    with ExitStack() as stack:
        stack.enter_context(own_layer(lake, layer))
        damage = [str(fault) for fault in find_damage(lake, layer)]
        if not damage and not accept and not force:
            return Recovery(layer, damage)
        if layer == "bronze":
            return _recover_bronze(settings, lake, Recovery(layer, damage), accept)
        session = _Session(settings, spark, stack)
        finish = _finish_promotions if layer == "silver" else _drop_held_minutes
        finished = finish(settings, lake, session)
        start = start_of(lake, layer)
        return _rebuild(lake, Recovery(layer, damage, finished=finished, goes_on=_told(layer, start)), start)


@dataclass(frozen=True)
class _Session:
    """Spark, started only where it is needed."""

    settings: Settings
    given: SparkSession | None
    stack: ExitStack

    def open(self) -> SparkSession:
        if self.given is not None:
            return self.given
        from sluice.session import open_session

        opened = open_session(self.settings, "sluice recover")
        self.stack.callback(opened.stop)
        return opened


def _rebuild(lake: Lake, recovery: Recovery, start: Start, topic: ReadTopic | None = None) -> Recovery:
    files = {TOPIC: topic.as_text()} if topic else {}
    aside = replace_checkpoint(lake, recovery.layer, start, files)
    if topic:
        keep_topic(lake, topic)
    generation = read_generation(lake.checkpoint_path(recovery.layer))
    return replace(recovery, rebuilt=True, set_aside=str(aside) if aside else None, generation=generation)


def _told(layer: str, start: Start) -> str:
    if start.offset is None:
        return "from the beginning"
    upstream, version = UPSTREAM[layer].full_name, start.offset["reservoirVersion"]
    where = (
        f"with all rows of {upstream}" if start.offset["isStartingVersion"] else f"with {upstream} version {version}"
    )
    return f"{where}, after batch {start.batch_id}"


def _finish_promotions(settings: Settings, lake: Lake, session: _Session) -> list[str]:
    from sluice.pipelines.unfinished import find_unfinished, finish

    unfinished = find_unfinished(lake)
    if not unfinished:
        return []
    from sluice.pipelines.rulebook import check_zones, load_rulebook
    from sluice.pipelines.silver import SilverJob
    from sluice.tables.rows import create_tables

    rulebook, spark = load_rulebook(settings, "silver"), session.open()
    check_zones(spark, rulebook)
    create_tables(lake, "silver")
    told = []
    for promotion in unfinished:
        # A generation of its own: what an earlier attempt wrote is found by its rows, not by its transactions.
        job = SilverJob(settings, lake, rulebook, f"recover:{new_generation()}")
        rows = finish(spark, lake, job, promotion, decided_offsets(lake))
        counts = ", ".join(f"{count:,} {name.removeprefix('rows_')}" for name, count in rows.items())
        told.append(f"{promotion.promotion_id}: {counts or 'the next start finishes it'}")
    return told


def _drop_held_minutes(_: Settings, lake: Lake, session: _Session) -> list[str]:
    from sluice.pipelines.unfinished import drop_held_minutes, find_held_minutes

    found = find_held_minutes(lake)
    if found:
        drop_held_minutes(session.open(), lake, found)
    return [f"{promotion_id}: {minutes:,} minutes are judged anew" for promotion_id, minutes in found.items()]


def _recover_bronze(settings: Settings, lake: Lake, recovery: Recovery, accept: Acceptance | None) -> Recovery:
    known = recall_topic(lake)
    generation = known.generation if known else newest_generation(lake)
    topic = known or ReadTopic(settings.kafka.topic, None, None, generation)
    offsets = landed_offsets(lake, topic.name, generation)
    if accept is None:
        return _rebuild_bronze(lake, recovery, topic, offsets)
    bootstrap_servers = find_broker(settings)
    where = (bootstrap_servers, settings.kafka.topic, settings.kafka.options)
    live = require_topic(*where)
    ask = _ask_about(where, topic, live, offsets)
    if accept.what == NEW_TOPIC:
        return _accept_topic(lake, recovery, ask, topic, live, accept)
    gaps = ask()
    if not gaps:
        raise UsageError(f"no record of {topic.name} is gone that bronze has not read", "there is no gap to accept")
    lines = _note_gaps(lake, topic, gaps, accept)
    moved = {**offsets, **{gap.partition: gap.before for gap in gaps}}
    return _rebuild_bronze(lake, replace(recovery, accepted=lines), topic, moved)


def _ask_about(
    where: tuple[str, str, dict[str, str]], topic: ReadTopic, live: LiveTopic, offsets: dict[int, int]
) -> Callable[[], list[Gap]]:
    return lambda: compare_topic(where, topic, live, offsets, offsets)


def _rebuild_bronze(lake: Lake, recovery: Recovery, topic: ReadTopic, offsets: dict[int, int]) -> Recovery:
    if not offsets:
        return _rebuild(lake, replace(recovery, goes_on="from the beginning"), Start(1, None), topic)
    offset = {topic.name: {str(partition): next_offset for partition, next_offset in offsets.items()}}
    shown = ", ".join(f"{next_offset:,} of partition {partition}" for partition, next_offset in offsets.items())
    start = Start(last_batch(lake, "bronze"), offset)
    goes_on = f"in {topic.name} at offset {shown}, after batch {start.batch_id}"
    return _rebuild(lake, replace(recovery, goes_on=goes_on), start, topic)


def _accept_topic(
    lake: Lake,
    recovery: Recovery,
    ask: Callable[[], list[Gap]],
    topic: ReadTopic,
    live: LiveTopic,
    accept: Acceptance,
) -> Recovery:
    try:
        ask()
    except TopicReplaced as replaced:
        reason = replaced.message
    else:
        raise UsageError(f"{topic.name} is the topic that bronze reads", "there is no new topic to accept")
    generation = topic.generation + 1
    entry = {"generation": generation, "by": accept.by, "why": accept.why, "at": _now().isoformat()}
    accepted = ReadTopic(live.name, live.topic_id, live.cluster_id, generation, (*topic.accepted, entry))
    line = f"{live.name} as generation {generation}: {reason}"
    goes_on = f"at the beginning of {live.name}, generation {generation}"
    return _rebuild(lake, replace(recovery, accepted=(line,), goes_on=goes_on), Start(1, None), accepted)


def _note_gaps(lake: Lake, topic: ReadTopic, gaps: Sequence[Gap], accept: Acceptance) -> list[str]:
    from sluice.tables.delta import Transaction
    from sluice.tables.rows import append_rows, create_table

    create_table(lake, OPS_FLOORS)
    streams = {gap: f"{topic.name}:{topic.generation}:{gap.partition}" for gap in gaps}
    rows = [
        dict(zip(OPS_FLOORS.column_names, values, strict=True))
        for values in (
            (BRONZE_EVENTS.full_name, stream, str(gap.since), str(gap.before), accept.by, accept.why, _now())
            for gap, stream in streams.items()
        )
    ]
    # The same gaps accepted again, after a death before the checkpoint was replaced, are noted once.
    digest = hashlib.sha256(" ".join(f"{stream} {gap}" for gap, stream in streams.items()).encode()).hexdigest()
    append_rows(rows, lake, OPS_FLOORS, Transaction(f"bronze:gap:{digest}", 0))
    return [str(gap) for gap in gaps]


def _now() -> datetime:
    return datetime.now(timezone.utc)

"""Where an event has been: every place, every promotion, the rules that decided, its copies and its gold minutes.

Reads the Delta tables alone. A second answer, what another suite would do with the event, needs its rules run
and is not given here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sluice.errors import EventUnknown
from sluice.schemas import (
    BRONZE_EVENTS,
    COORDINATES,
    DUPLICATE_CONFLICT,
    EVENT_KEY,
    GOLD_HELD,
    GOLD_READINGS_1MIN,
    METRICS,
    QUARANTINE_REPLAYED,
    READING_METRIC,
    SILVER_DUPLICATES,
    SILVER_HELD,
    SILVER_QUARANTINE,
    SILVER_READINGS,
    Table,
)
from sluice.serving.evidence import Configs, failed_rules
from sluice.serving.lake import OpenLake
from sluice.serving.promotions import promotions_about
from sluice.serving.records import Coordinates, Found, RecordFinder, Row, conflicting_with, coordinates_of
from sluice.serving.retries import judging_promotion, later_promotions, read_retries
from sluice.serving.target import Target, read_target
from sluice.serving.values import printable

# States of a record.
PROMOTED, QUARANTINED, DUPLICATE, HELD, REJECTED = "promoted", "quarantined", "duplicate", "held", "rejected"
PENDING, MISSING = "pending", "missing"
# Copies of one event that are shown; a device gone mad sends thousands.
MOST_COPIES = 200

Place = tuple[Table, Row]


@dataclass(frozen=True)
class Record:
    """A Kafka record, the rows it has in the lake in the order of its journey, and where that leaves it."""

    coordinates: Coordinates
    places: tuple[Place, ...]
    state: str

    def row(self, table: Table) -> Row | None:
        """Its row in a table, if it has one."""
        return next((row for place, row in self.places if place is table), None)


@dataclass(frozen=True)
class Event:
    """An event with all records that were sent of it, or a record of which no event was made.

    Attributes:
        key: device_id, event_time, event_id; None where silver made no event of it.
        records: the kept one first, then its copies.
        promotions: ledger rows that touched it, the earliest first.
        failed_rules: see `evidence.failed_rules`, with the `coordinates` of the record.
        minutes, held_minutes: its rows of gold/readings_1min and gold/held.
    """

    key: Row | None
    records: tuple[Record, ...]
    promotions: tuple[Row, ...] = ()
    failed_rules: tuple[Row, ...] = ()
    minutes: tuple[Row, ...] = ()
    held_minutes: tuple[Row, ...] = ()

    @property
    def state(self) -> str:
        """That of the kept record, else of the first."""
        return self.records[0].state

    @property
    def kept(self) -> Record | None:
        """The record that became the event's row in silver/readings."""
        return next((record for record in self.records if record.row(SILVER_READINGS)), None)

    @property
    def copies(self) -> tuple[Record, ...]:
        """All other records."""
        return tuple(record for record in self.records if record is not self.kept)


@dataclass(frozen=True)
class Trace:
    """The answer: the target as it was understood, its events in order, and what the reader should know."""

    target: Target
    events: tuple[Event, ...]
    notes: tuple[str, ...] = field(default=())


def trace(lake: OpenLake, text: str, kind: str | None = None, limit: int = 20) -> Trace:
    """Every event or record that a text means.

    Args:
        text: an event id, DEVICE@TIME or TOPIC[:GENERATION]:PARTITION:OFFSET; see `target.read_target`.
        kind: id, time or coordinates where the text shall be read as nothing else.
        limit: at most so many events.

    Raises:
        TargetInvalid: the text is not of that kind.
        EventUnknown: no table knows it.
    """
    finder = RecordFinder(lake)
    targets = read_target(text, kind)
    found = Found((), False)
    for target in targets:
        found = finder.find(target, limit)
        if found.coordinates:
            break
    notes = list(_notes(targets, target, found, limit))
    if not found.coordinates:
        meant = " or ".join(printable(str(each)) for each in targets)
        raise EventUnknown(f"no table of the lake knows {meant}", "; ".join(notes) or _UNKNOWN)
    events, is_cut = _gather(finder, found.coordinates)
    configs = Configs(finder.files)
    if is_cut:
        notes.append(f"more than {MOST_COPIES} copies; not all are shown")
    return Trace(target, tuple(_complete(event, finder, configs) for event in events), tuple(notes))


_UNKNOWN = "ids are compared exactly; what Kafka holds and bronze has not read is not known yet (`sluice status`)"


def _notes(targets: Sequence[Target], taken: Target, found: Found, limit: int) -> Iterable[str]:
    if found.coordinates and len(targets) > 1:
        others = ", ".join(f"--as {each.kind}" for each in targets if each is not taken)
        yield f"read as {taken.kind}; {others} reads it otherwise"
    if found.is_cut:
        yield f"only the first {limit} records are followed; --limit N follows more"
    for name in found.unsearched:
        yield f"the raw bytes in {name} are too many: only the newest were searched"


def _gather(finder: RecordFinder, seeds: Sequence[Coordinates]) -> tuple[list[Event], bool]:
    """The events of the seeds, each with all of its records."""
    places = finder.places(seeds)
    roots = list(dict.fromkeys(_root(at, places[at]) for at in seeds))
    places |= finder.places([root for root in roots if root not in places])
    readings = [row for root in roots for table, row in places[root] if table is SILVER_READINGS]
    siblings = finder.siblings(readings, MOST_COPIES + 1)
    places |= finder.places([each for each in siblings[:MOST_COPIES] if each not in places])
    records = {at: Record(at, tuple(found), _state(at, found, finder)) for at, found in places.items()}
    events = []
    for root in roots:
        members = [each for at, each in records.items() if at != root and _root(at, places[at]) == root]
        members.sort(key=lambda record: record.coordinates)
        own = [records[root]] if places[root] else []
        events.append(Event(_key([*own, *members]), (*own, *members)))
    return sorted(events, key=_order), len(siblings) > MOST_COPIES


def _root(at: Coordinates, places: Sequence[Place]) -> Coordinates:
    """The coordinates of the row that is kept of a record's event; its own where it is that row, or none is."""
    tables = [table for table, _ in places]
    for table, row in places:
        if SILVER_READINGS in tables:
            return at
        if table is SILVER_DUPLICATES:
            return coordinates_of(row, "kept_")
        if table is SILVER_QUARANTINE and _is_there(row) and (kept := conflicting_with(row["error_detail"])):
            return kept
    return at


def _state(at: Coordinates, places: Sequence[Place], finder: RecordFinder) -> str:
    rows = {table.full_name: row for table, row in places}
    if SILVER_READINGS.full_name in rows:
        return PROMOTED
    if SILVER_DUPLICATES.full_name in rows:
        return DUPLICATE
    if (refused := rows.get(SILVER_QUARANTINE.full_name)) and _is_there(refused):
        return QUARANTINED
    if held := rows.get(SILVER_HELD.full_name):
        return {"open": HELD, "rejected": REJECTED}.get(held["status"], MISSING)
    return MISSING if finder.is_read(at) else PENDING


def _is_there(quarantined: Row) -> bool:
    """Whether quarantine is still the place of the record."""
    return bool(quarantined["status"] != QUARANTINE_REPLAYED)


def _key(records: Sequence[Record]) -> Row | None:
    for table in (SILVER_READINGS, SILVER_DUPLICATES):
        for record in records:
            if row := record.row(table):
                return {name: row[name] for name in EVENT_KEY}
    return None


def _order(event: Event) -> tuple[bool, str, int, Coordinates]:
    moment = event.key["event_time"] if event.key else None
    known = isinstance(moment, datetime)
    first = event.records[0].coordinates
    return (not known, moment.isoformat() if isinstance(moment, datetime) else "", -first.generation, first)


def _complete(event: Event, finder: RecordFinder, configs: Configs) -> Event:
    """The event with its gold minutes, the promotions that touched it, and the rules it broke."""
    readings = [row for record in event.records if (row := record.row(SILVER_READINGS))]
    minutes = _gold_rows(finder, GOLD_READINGS_1MIN, readings)
    held = _gold_rows(finder, GOLD_HELD, readings)
    rows = [row for record in event.records for table, row in record.places if table is not BRONZE_EVENTS]
    ids = {row["promotion_id"] for row in (*rows, *held) if row.get("promotion_id")}
    about = promotions_about(finder.files, ids, {row["updated_at"] for row in minutes if row["updated_at"]})
    refused = [row for record in event.records if (row := record.row(SILVER_QUARANTINE))]
    retries = read_retries(finder.files) if any(row["last_seen_at"] != row["first_seen_at"] for row in refused) else []
    later = [promotion for row in refused for promotion in later_promotions(row, retries)]
    by_id = {row["promotion_id"]: row for row in (*about, *later)}
    promotions = sorted(by_id.values(), key=lambda row: (row["decided_at"], row["layer"] != "silver"))
    failed = [
        {"coordinates": str(record.coordinates), **rule}
        for record in event.records
        for table, row in record.places
        for rule in failed_rules(table, row, judging_promotion(table, row, by_id, retries), configs)
    ]
    return replace(
        event,
        promotions=tuple(promotions),
        failed_rules=tuple(failed),
        minutes=tuple(minutes),
        held_minutes=tuple(held),
    )


def _gold_rows(finder: RecordFinder, table: Table, readings: Sequence[Row]) -> list[Row]:
    found = []
    for row in readings:
        bucket = row["event_time"].replace(second=0, microsecond=0)
        parameters = {"bucket": bucket, "device_id": row["device_id"], "metrics": metrics_of(row)}
        where = "bucket = $bucket AND device_id = $device_id AND list_contains($metrics, metric)"
        wanted = {"bucket": [bucket], "device_id": [row["device_id"]]}
        if table.partition_by:
            wanted[table.partition_by] = [bucket.date()]
        found += finder.files.rows(table, where, parameters, wanted)
    order = {name: place for place, name in enumerate(METRICS)}
    return sorted(found, key=lambda row: (order.get(row["metric"], len(order)), row["metric"]))


def metrics_of(reading: Row) -> list[str]:
    """The metrics that a reading has a value of."""
    own = [reading["metric"] or READING_METRIC] if reading["value"] is not None else []
    return [name for name in METRICS if reading[name] is not None] + own


def is_conflict(record: Record) -> bool:
    """Whether the record is quarantined as a copy with other values than the event it repeats."""
    refused = record.row(SILVER_QUARANTINE)
    return refused is not None and _is_there(refused) and refused["error_code"] == DUPLICATE_CONFLICT


def as_json(answer: Trace) -> dict[str, Any]:
    """The trace as values of which `values.plain` makes JSON; coordinates are texts."""
    return {
        "target": {"as": answer.target.kind, **vars(answer.target)},
        "events": [_event_as_json(event) for event in answer.events],
        "notes": list(answer.notes),
    }


def _event_as_json(event: Event) -> dict[str, Any]:
    return {
        "key": event.key,
        "state": event.state,
        "kept": event.kept and str(event.kept.coordinates),
        "duplicates": [str(record.coordinates) for record in event.copies if record.row(SILVER_DUPLICATES)],
        "conflicts": [str(record.coordinates) for record in event.copies if is_conflict(record)],
        "records": [
            {
                "coordinates": str(record.coordinates),
                **dict(zip(COORDINATES, record.coordinates, strict=True)),
                "state": record.state,
                "places": [{"table": table.full_name, "row": row} for table, row in record.places],
            }
            for record in event.records
        ],
        "promotions": list(event.promotions),
        "failed_rules": list(event.failed_rules),
        "gold": {"minutes": list(event.minutes), "held": list(event.held_minutes)},
    }

"""Finding Kafka records in the tables of a lake: by event id, by device and time, by coordinates."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from sluice.schemas import (
    BRONZE_EVENTS,
    CONFLICT_DETAIL,
    COORDINATES,
    DUPLICATE_CONFLICT,
    OPS_SILVER_PROMOTIONS,
    SILVER_DUPLICATES,
    SILVER_HELD,
    SILVER_QUARANTINE,
    SILVER_READINGS,
    Table,
)
from sluice.serving.files import DataFile, TableFiles
from sluice.serving.lake import OpenLake
from sluice.serving.raw import needles, speaks_of
from sluice.serving.target import DeviceTime, EventId, RecordAt

# The tables that a record can be in, in the order of its journey.
RECORD_TABLES = (BRONZE_EVENTS, SILVER_HELD, SILVER_QUARANTINE, SILVER_DUPLICATES, SILVER_READINGS)
# Raw bytes are searched for what silver never read: at most so many of each table, the newest first.
SEARCHED_BYTES = 64 * 1024 * 1024

Row = dict[str, Any]
LastRead = Mapping[tuple[str, int, int], int]


class Coordinates(NamedTuple):
    """The identity of a Kafka record."""

    topic: str
    generation: int
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}:{self.generation}:{self.partition}:{self.offset}"


def coordinates_of(row: Mapping[str, Any], prefix: str = "") -> Coordinates:
    """The coordinates in a row's columns, or, with `kept_`, those of the row that was kept instead."""
    return Coordinates(*(row[f"{prefix}{name}"] for name in COORDINATES))


@dataclass(frozen=True)
class Found:
    """Coordinates that answer to a target.

    Attributes:
        is_cut: there are more than the limit.
        unsearched: tables whose raw bytes were too many to search them all.
    """

    coordinates: tuple[Coordinates, ...]
    is_cut: bool
    unsearched: tuple[str, ...] = ()


class RecordFinder:
    """Finds records in one lake; opens only the files that can hold them."""

    def __init__(self, lake: OpenLake) -> None:
        self.files = TableFiles(lake)
        # Before any other table: what silver commits meanwhile must look pending, never missing.
        self._last_read: LastRead = dict(self._read_ledger())

    def find(self, target: EventId | DeviceTime | RecordAt, limit: int) -> Found:
        """The records of a target: those read by silver by its columns, all others by their bytes.

        Args:
            limit: at most so many of each table.
        """
        if isinstance(target, RecordAt):
            return self._find_at(target, limit)
        seen = [coordinates_of(row) for row in self._find_read(target, limit + 1)]
        raw = [self._find_raw(table, target) for table in (SILVER_QUARANTINE, SILVER_HELD, BRONZE_EVENTS)]
        every = sorted({*seen, *(each for found, _ in raw for each in found)})
        names = ("silver.quarantine", "silver.held", "bronze.events (what silver has not read yet)")
        unsearched = tuple(name for name, (_, is_whole) in zip(names, raw, strict=True) if not is_whole)
        return Found(tuple(every[:limit]), len(every) > limit, unsearched)

    def places(self, coordinates: Collection[Coordinates]) -> dict[Coordinates, list[tuple[Table, Row]]]:
        """The rows with these coordinates in every table, in the order of the journey."""
        found: dict[Coordinates, list[tuple[Table, Row]]] = {each: [] for each in sorted(coordinates)}
        if not found:
            return found
        wanted = {"offset": {each.offset for each in found}, "partition": {each.partition for each in found}}
        where = f'"offset" IN ({_listed(found)})'
        for table in RECORD_TABLES:
            for row in self.files.rows(table, where, {}, wanted):
                if (at := coordinates_of(row)) in found:
                    found[at].append((table, row))
        return found

    def siblings(self, readings: Sequence[Row], limit: int) -> list[Coordinates]:
        """The copies and conflicting copies that were refused in favour of these readings."""
        if not readings:
            return []
        keeping = {coordinates_of(row) for row in readings}
        copies = self.files.rows(
            SILVER_DUPLICATES,
            f"kept_offset IN ({_listed(keeping)})",
            {},
            {"event_time": [row["event_time"] for row in readings]},
            columns=(*COORDINATES, *(f"kept_{name}" for name in COORDINATES)),
            limit=limit,
        )
        details = sorted(conflict_detail(each) for each in keeping)
        conflicts = self.files.rows(
            SILVER_QUARANTINE,
            "error_code = $code AND error_detail IN $details",
            {"code": DUPLICATE_CONFLICT, "details": details},
            {"error_code": [DUPLICATE_CONFLICT]},
            columns=COORDINATES,
            limit=limit,
        )
        same = [row for row in copies if coordinates_of(row, "kept_") in keeping]
        return [coordinates_of(row) for row in (*same, *conflicts)]

    def is_read(self, at: Coordinates) -> bool:
        """Whether a promotion of silver has gone past the record."""
        return at.offset <= self._last_read.get((at.topic, at.generation, at.partition), -1)

    def _read_ledger(self) -> Iterator[tuple[tuple[str, int, int], int]]:
        """The greatest offset that the ledger says silver has read, by topic, generation and partition."""
        sql = """SELECT entry.key AS name, max(entry.value) AS last FROM (
            SELECT unnest(map_entries(offsets)) AS entry FROM ops.silver_promotions WHERE kind = 'batch'
        ) GROUP BY ALL"""
        for row in self.files.query(sql, {}, [OPS_SILVER_PROMOTIONS]):
            topic, generation, partition = row["name"].rsplit(":", 2)
            yield (topic, int(generation), int(partition)), row["last"]

    def _find_at(self, target: RecordAt, limit: int) -> Found:
        found: set[Coordinates] = set()
        where = 'topic = $topic AND partition = $partition AND "offset" = $offset'
        parameters = {"topic": target.topic, "partition": target.partition, "offset": target.offset}
        wanted = {"partition": [target.partition], "offset": [target.offset]}
        for table in RECORD_TABLES:
            rows = self.files.rows(table, where, parameters, wanted, columns=COORDINATES)
            found |= {coordinates_of(row) for row in rows}
        fitting = [each for each in found if target.generation in (None, each.generation)]
        newest_first = sorted(fitting, key=lambda each: -each.generation)
        return Found(tuple(newest_first[:limit]), len(newest_first) > limit)

    def _find_read(self, target: EventId | DeviceTime, limit: int) -> Iterator[Row]:
        if isinstance(target, EventId):
            where = "event_id = $event_id"
            parameters: dict[str, object] = {"event_id": target.event_id}
            wanted: dict[str, list[Any]] = {}
        else:
            where = "device_id = $device_id AND event_time = $event_time"
            parameters = {"device_id": target.device_id, "event_time": target.event_time}
            wanted = {"device_id": [target.device_id], "event_time": [target.event_time]}
        for table in (SILVER_READINGS, SILVER_DUPLICATES):
            dated = {**wanted, **_dated(table, target)}
            yield from self.files.rows(table, where, parameters, dated, columns=COORDINATES, limit=limit)

    def _find_raw(self, table: Table, target: EventId | DeviceTime) -> tuple[list[Coordinates], bool]:
        read = self._last_read if table is BRONZE_EVENTS else {}
        files = [file for file in self.files.files(table) if _reaches_beyond(file, read)]
        chosen = list(_within_budget(files))
        found = []
        for batch in self.files.batches(chosen, (*COORDINATES, "value")):
            for row in _holding(batch, needles(target)):
                at = coordinates_of(row)
                is_unread = at.offset > read.get((at.topic, at.generation, at.partition), -1)
                if is_unread and speaks_of(row["value"], target):
                    found.append(at)
        return found, len(chosen) == len(files)


def conflict_detail(kept: Coordinates) -> str:
    """What quarantine says of a copy with other values than the reading at these coordinates."""
    return f"{CONFLICT_DETAIL}{kept}"


def conflicting_with(detail: str | None) -> Coordinates | None:
    """The coordinates of the reading that a conflicting copy lost against, out of its `error_detail`."""
    if not detail or not detail.startswith(CONFLICT_DETAIL):
        return None
    topic, *numbers = detail.removeprefix(CONFLICT_DETAIL).rsplit(":", 3)
    if len(numbers) != len(COORDINATES) - 1 or not all(each.isdecimal() for each in numbers):
        return None
    return Coordinates(topic, *map(int, numbers))


def _listed(coordinates: Collection[Coordinates]) -> str:
    # Literals, not a parameter: only those are compared with the statistics inside a file.
    return ", ".join(str(each) for each in sorted({each.offset for each in coordinates}))


def _dated(table: Table, target: EventId | DeviceTime) -> dict[str, list[date]]:
    if table.partition_by != "event_date" or isinstance(target, EventId):
        return {}
    return {"event_date": [target.event_time.date()]}


def _reaches_beyond(file: DataFile, read: LastRead) -> bool:
    """Whether the file may hold records that come after the last ones read."""
    if not {"topic_generation", "partition", "offset"} <= set(file.bounds) or not read:
        return True
    (first, last), (low, high) = file.bounds["topic_generation"], file.bounds["partition"]
    # Topics have no statistics: of several, the one that was read least far counts.
    ends: dict[tuple[int, int], int] = {}
    for (_, generation, partition), offset in read.items():
        ends[generation, partition] = min(offset, ends.get((generation, partition), offset))
    possible = [
        ends.get((generation, each), -1) for generation in range(first, last + 1) for each in range(low, high + 1)
    ]
    return any(file.bounds["offset"][1] > offset for offset in possible)


def _within_budget(files: Iterable[DataFile]) -> Iterator[DataFile]:
    left = SEARCHED_BYTES
    for file in files:
        left -= file.size_bytes
        if left < 0:
            return
        yield file


def _holding(batch: pa.RecordBatch, wanted: Sequence[Sequence[bytes]]) -> list[Row]:
    for alternatives in wanted:
        values = batch.column("value")
        mask = pc.match_substring(values, alternatives[0])
        for needle in alternatives[1:]:
            mask = pc.or_(mask, pc.match_substring(values, needle))
        batch = batch.filter(pc.fill_null(mask, False))
    rows: list[Row] = batch.to_pylist()
    return rows

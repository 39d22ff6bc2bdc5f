"""Which rows are old enough to go, and may: never what a later layer has not read, never more than the books can tell.

A record goes from bronze first, with its whole day, once silver has read it. Only below what bronze has let go may
quarantine and duplicates let go as well: so a record that is on the books is on them whole, and `ops/floors` says, for
each stream, from which offset on. The floor is written before the rows go; repeating both changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from sluice.pipelines.positions import decided_offsets
from sluice.schemas import (
    BRONZE_EVENTS,
    OPS_SILVER_PROMOTIONS,
    SILVER_DUPLICATES,
    SILVER_QUARANTINE,
    Table,
)
from sluice.serving.files import DataFile, TableFiles
from sluice.serving.lake import OpenLake
from sluice.tables.floors import Stream, note_floors, read_floors, stream_name
from sluice.tables.lake import Lake
from sluice.tables.readers import find_reader
from sluice.tables.reading import connect
from sluice.tables.upkeep import delete_days, delete_up_to

_STREAM = 'topic, topic_generation, "partition"'
# What dates a row; a copy is as old as the promotion that found it.
_SEEN = {
    SILVER_QUARANTINE: "last_seen_at",
    SILVER_DUPLICATES: "(SELECT max(decided_at) FROM ops.silver_promotions AS l WHERE l.promotion_id = t.promotion_id)",
}
# The column that says to which day of the quality scores a row belongs.
SCORED = {SILVER_QUARANTINE: "kafka_timestamp", SILVER_DUPLICATES: "event_time"}


@dataclass(frozen=True)
class Removal:
    """What of a table goes.

    Attributes:
        befores: by stream the first offset that stays.
        days: by column the first day of which nothing goes.
        refused: why nothing goes, though it is old enough.
        kept: why some of it stays.
    """

    table: Table
    keep_from: date
    rows: int = 0
    befores: Mapping[Stream, int] = field(default_factory=dict)
    days: Mapping[str, date] = field(default_factory=dict)
    refused: str = ""
    kept: str = ""

    @property
    def floors(self) -> list[str]:
        """What ops/floors is told, for people."""
        return [f"{stream_name(stream)} before {before:,}" for stream, before in sorted(self.befores.items())]


def find_removal(lake: Lake, table: Table, keep_from: date) -> Removal:
    """The rows of bronze/events, silver/quarantine or silver/duplicates that are older than a day, and may go."""
    return _of_bronze(lake, keep_from) if table == BRONZE_EVENTS else _of_silver(lake, table, keep_from)


def carry_out(lake: Lake, removal: Removal, by: str, why: str) -> None:
    """Notes the floors, then deletes the rows; the caller owns the table's layer."""
    if removal.rows:
        bounds: dict[str, int | date] = {stream_name(stream): before for stream, before in removal.befores.items()}
        note_floors(lake, removal.table, {**bounds, **removal.days}, by, why)
        if removal.table == BRONZE_EVENTS:
            delete_days(lake, removal.table, removal.keep_from)
        else:
            delete_up_to(lake, removal.table, removal.befores.items())


def _of_bronze(lake: Lake, keep_from: date) -> Removal:
    files = TableFiles(OpenLake(lake)).files(BRONZE_EVENTS)
    old = [file for file in files if _day(file) < keep_from]
    going = _extents(old)
    rows = sum(each["records"] for each in going)
    if not rows:
        return Removal(BRONZE_EVENTS, keep_from)
    last = max(each["last"] for each in going)
    staying = {
        _stream(each): each["first"]
        for each in _extents([file for file in files if _day(file) >= keep_from and _first_offset(file) <= last])
    }
    befores = {_stream(each): each["last"] + 1 for each in going}
    refused = _unread(lake, going) or _mixed(befores, staying)
    if refused:
        return Removal(BRONZE_EVENTS, keep_from, refused=f"{rows:,} records older than {keep_from} stay: {refused}")
    return Removal(BRONZE_EVENTS, keep_from, rows, befores)


def _unread(lake: Lake, going: Sequence[Mapping[str, Any]]) -> str:
    """That silver has not read all of what is to go, and how far it is; empty where it has."""
    read = decided_offsets(lake)
    behind = {
        stream_name(_stream(each)): each["last"] - read.get(stream_name(_stream(each)), each["first"] - 1)
        for each in going
    }
    waiting = {name: count for name, count in behind.items() if count > 0}
    if not waiting:
        return ""
    named = ", ".join(f"{count:,} of {name}" for name, count in sorted(waiting.items()))
    reader = find_reader(lake, BRONZE_EVENTS)
    position = str(reader) if reader else f"silver has not begun to read {BRONZE_EVENTS.full_name}"
    return f"{position} and still needs {named}; let it catch up: sluice run"


def _mixed(befores: Mapping[Stream, int], staying: Mapping[Stream, int]) -> str:
    """That younger records lie among those that are to go: a floor could not tell them apart."""
    found = sorted(stream for stream, before in befores.items() if staying.get(stream, before) < before)
    if not found:
        return ""
    names = ", ".join(map(stream_name, found))
    return f"among them lie records of {names} that landed later (a clock was set back); they go with the next day"


def _of_silver(lake: Lake, table: Table, keep_from: date) -> Removal:
    floors = read_floors(lake, BRONZE_EVENTS)
    tables = (table, OPS_SILVER_PROMOTIONS)
    files = TableFiles(OpenLake(lake))
    sql = f"""
        SELECT {_STREAM}, min("offset") FILTER (NOT is_old) AS young, count_if(is_old) AS old
        FROM (SELECT t.*, coalesce({_SEEN[table]} < $keep_from, false) AS is_old FROM {table.full_name} AS t)
        GROUP BY ALL
    """  # noqa: S608 (own names)
    found = files.query(sql, {"keep_from": keep_from}, tables)
    befores, rows, newest = {}, 0, None
    for each in found:
        stream, young = _stream(each), each["young"]
        before = min(floors.get(stream, 0), floors.get(stream, 0) if young is None else young)
        count, day = _count_below(files, table, stream, before)
        if count:
            befores[stream], rows = before, rows + count
            newest = max(filter(None, (newest, day)), default=None)
    old = sum(each["old"] for each in found)
    kept = (
        f"{old - rows:,} rows older than {keep_from} stay: bronze, or younger rows before them, do"
        if old > rows
        else ""
    )
    days = {SCORED[table]: newest + timedelta(days=1)} if newest else {}
    return Removal(table, keep_from, rows, befores, days, kept=kept)


def _count_below(files: TableFiles, table: Table, stream: Stream, before: int) -> tuple[int, date | None]:
    """How many rows of a stream lie before an offset, and the last day of the scores they belong to, today at most."""
    sql = f"""
        SELECT count(*) AS count, least(max({SCORED[table]}), now())::DATE AS day FROM {table.full_name}
        WHERE (topic, topic_generation, "partition") = ($topic, $generation, $partition) AND "offset" < $before
    """  # noqa: S608 (own names)
    named = dict(zip(("topic", "generation", "partition"), stream, strict=True))
    (row,) = files.query(sql, {**named, "before": before}, [table])
    return int(row["count"]), row["day"]


def _extents(files: Iterable[DataFile]) -> list[dict[str, Any]]:
    """Per stream of bronze its first and last offset in some files, and how many records there are."""
    paths = [str(file.path) for file in files]
    if not paths:
        return []
    result = connect().execute(
        f'SELECT {_STREAM}, min("offset") AS first, max("offset") AS last, count(*) AS records '  # noqa: S608
        "FROM read_parquet($paths, hive_partitioning = false) GROUP BY ALL",
        {"paths": paths},
    )
    names = [column[0] for column in result.description or ()]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _stream(row: Mapping[str, Any]) -> Stream:
    return row["topic"], int(row["topic_generation"]), int(row["partition"])


def _day(file: DataFile) -> date:
    day: date = file.bounds[BRONZE_EVENTS.partition_by][0]
    return day


def _first_offset(file: DataFile) -> int:
    return int(file.bounds["offset"][0]) if "offset" in file.bounds else 0

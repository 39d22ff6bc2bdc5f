"""Rows of files as events: which column feeds which field, and every value in the form its field asks for.

A value that cannot be converted is never dropped: it goes on as it was written, for silver to refuse with a reason.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sluice.errors import ContractInvalid, InputInvalid
from sluice.settings import read_yaml
from sluice.sources.rows import Number, Row, to_bytes, to_json
from sluice.sources.times import OffsetMissing, TimeReader

# Fields of the reading event, which names its device and time differently.
READING_DEVICE, READING_TIME, READING_VALUE = "id", "dt", "value"
DEVICE, TIME = "device_id", "timestamp"
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
_ANY_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)


class Message(NamedTuple):
    """What one row becomes.

    Attributes:
        key: the device's id, or None where there is none.
        value: the event.
        is_whole: false where a value, or the whole row, had to go on as it was written.
    """

    key: bytes | None
    value: bytes
    is_whole: bool


@dataclass(frozen=True)
class FieldSource:
    """One field of the event.

    Attributes:
        column: where its values stand.
        field: its name in the contract; a dot descends into an object.
        kind: time, number, text or id, as in the contract.
    """

    column: str
    field: str
    kind: str


@dataclass(frozen=True)
class EventMapping:
    """How rows become events of one form.

    Attributes:
        sources: the fields that come from columns, in order.
        device_field: `id` for reading events, else `device_id`.
        device: the id all rows get; None when it comes from a column.
    """

    sources: tuple[FieldSource, ...]
    device_field: str
    device: str | None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns asked of every row."""
        return tuple(source.column for source in self.sources)

    @property
    def time_place(self) -> int:
        """Where among the columns the event's time stands."""
        return next(place for place, source in enumerate(self.sources) if source.kind == "time")


def contract_fields(path: Path) -> dict[str, str]:
    """Every field a version of the contract reads, with its type.

    Raises:
        ContractInvalid: the file has not the form of a contract.
    """
    try:
        versions = read_yaml(path)["versions"]
        return {str(name): str(field["type"]) for version in versions for name, field in version["fields"].items()}
    except (KeyError, TypeError, AttributeError):
        raise ContractInvalid(f"{path} lists no versions with fields", "compare it with conf/contract.yaml") from None


def parse_assignments(texts: Iterable[str]) -> dict[str, str]:
    """`column=field` texts as a mapping from column to field.

    Raises:
        InputInvalid: a text is of another form, or a column or field stands twice.
    """
    assigned: dict[str, str] = {}
    for text in texts:
        column, equals, field = text.rpartition("=")
        column, field = column.strip(), field.strip()
        if not equals or not column or not field or column in assigned or field in assigned.values():
            raise InputInvalid(
                f"--map {text}: not of the form column=field, each once", "e.g. --map Temperature=temperature"
            )
        assigned[column] = field
    return assigned


def resolve_mapping(
    name: str,
    columns: Sequence[str] | None,
    assigned: Mapping[str, str],
    device: str | None,
    fields: Mapping[str, str],
) -> EventMapping:
    """The mapping for one file; without assignments the columns named like fields.

    Args:
        name: of the file, for messages.
        columns: of the file; None where each row brings its own.
        assigned: column to field, as given; may be empty.
        device: the constant device id, or None.
        fields: of the contract, with their types.

    Raises:
        InputInvalid: a column is missing or there twice, a field unknown, or the event would lack device or time.
    """
    chosen = dict(assigned) or _by_name(columns or (), fields)
    if not chosen:
        raise InputInvalid(
            f"{name}: no column is named like a field of an event; columns: {', '.join(columns or ())}",
            f"--map column=field, with a field of {', '.join(fields)}",
        )
    for column, field in chosen.items():
        if columns is not None and columns.count(column) != 1:
            what = "no column" if column not in columns else "more than one column"
            raise InputInvalid(f"{name} has {what} {column!r}", f"its columns: {', '.join(columns)}")
        if field not in fields:
            raise InputInvalid(f"--map {column}={field}: unknown field {field!r}", f"fields: {', '.join(fields)}")
    return _complete(name, chosen, device, fields)


def _by_name(columns: Sequence[str], fields: Mapping[str, str]) -> dict[str, str]:
    named = {column: column for column in columns if column in fields}
    looks_like_reading = READING_VALUE in named and not (
        set(named) - {TIME, READING_TIME, DEVICE, READING_DEVICE, READING_VALUE}
    )
    if looks_like_reading:
        renamed = {TIME: READING_TIME, DEVICE: READING_DEVICE}
        return {column: renamed.get(field, field) for column, field in named.items()}
    return named


def _complete(name: str, chosen: Mapping[str, str], device: str | None, fields: Mapping[str, str]) -> EventMapping:
    used = set(chosen.values())
    times = [field for field in chosen.values() if fields[field] == "time"]
    if len(times) != 1:
        what = "no field" if not times else f"{len(times)} fields"
        raise InputInvalid(
            f"{name}: {what} for the time of the event", f"map one column to {TIME}, or to {READING_TIME} for readings"
        )
    device_field = READING_DEVICE if times[0] == READING_TIME else DEVICE
    other = DEVICE if device_field == READING_DEVICE else READING_DEVICE
    if other in used:
        raise InputInvalid(f"{name}: {other} does not go with {times[0]}", f"map the column to {device_field}")
    if device is not None and device_field in used:
        raise InputInvalid(f"{name}: a column and --device both name the device", "leave one of them out")
    if device is None and device_field not in used:
        raise InputInvalid(f"{name}: nothing names the device", f"add --device NAME, or --map COLUMN={device_field}")
    sources = tuple(FieldSource(column, field, fields[field]) for column, field in chosen.items())
    return EventMapping(sources, device_field, device)


def message_of_line(row: Row) -> Message:
    """A line of JSON as it is, keyed by the device_id, else the id, it names; read with these two columns."""
    named = next((cell for cell in row.cells or () if isinstance(cell, str) and not isinstance(cell, Number)), None)
    return Message(to_bytes(named) if named else None, row.raw, row.cells is not None)


class RowMapper:
    """Turns rows into messages; the same row always into the same bytes.

    Args:
        mapping: what goes where.
        times: reads the time column, and counts what its zone leaves open.
    """

    def __init__(self, mapping: EventMapping, times: TimeReader) -> None:
        self._mapping = mapping
        self._times = times
        self._fixed = {mapping.device_field: mapping.device} if mapping.device is not None else {}
        self._paths = [source.field.split(".") for source in mapping.sources]

    def message(self, row: Row) -> Message:
        """The row as an event; empty cells are left out."""
        device = self._mapping.device
        if row.cells is None:
            return Message(to_bytes(device) if device is not None else None, row.raw, False)
        event: dict[str, Any] = dict(self._fixed)
        is_whole = True
        for source, path, cell in zip(self._mapping.sources, self._paths, row.cells, strict=True):
            if cell is None or cell == "":
                continue
            value, converted = self._convert(source.kind, cell)
            is_whole = is_whole and converted
            _put(event, path, value)
        named = event.get(self._mapping.device_field)
        key = to_bytes(named) if isinstance(named, str) else None
        return Message(key, to_json(event), is_whole)

    def _convert(self, kind: str, cell: Any) -> tuple[object, bool]:
        if kind == "number":
            return _to_number(cell)
        if kind == "time":
            try:
                return self._times.read(_text(cell)), True
            except ValueError:
                return cell, False
        if isinstance(cell, Number):
            return str(cell), True
        return cell, isinstance(cell, str)


def check_times(name: str, mapping: EventMapping, rows: Iterable[Row], times: TimeReader) -> None:
    """Refuses a file whose first rows show that its times will not be read.

    Raises:
        InputInvalid: a time lacks an offset and no zone is given, or no time at all can be read.
    """
    unread: list[str] = []
    read = 0
    for row in rows:
        cell = row.cells[mapping.time_place] if row.cells is not None else None
        if cell is None or cell == "":
            continue
        try:
            times.read(_text(cell))
            read += 1
        except OffsetMissing:
            raise InputInvalid(
                f"{name}: times without an offset, e.g. {cell}", "add --time-zone with an IANA name, e.g. Europe/Berlin"
            ) from None
        except ValueError:
            unread.append(str(cell))
    if unread and not read:
        raise InputInvalid(f"{name}: not a time: {unread[0][:80]}", "write times like 2015-02-04 17:51:00")


def _text(cell: object) -> str:
    if isinstance(cell, Number) or not isinstance(cell, str):
        raise ValueError("no text")
    return cell


def _to_number(cell: Any) -> tuple[object, bool]:
    if isinstance(cell, Number):
        return cell, True
    if not isinstance(cell, str):
        return cell, False
    text = cell.strip()
    if not _ANY_NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        return cell, False
    return Number(text if _JSON_NUMBER.fullmatch(text) else repr(float(text))), True


def _put(event: dict[str, Any], path: Sequence[str], value: object) -> None:
    for name in path[:-1]:
        event = event.setdefault(name, {})
    event[path[-1]] = value

"""The contract: how each version of an event is recognised, and which field feeds which column.

Everything checkable is checked here, before Spark starts; the transforms then only apply it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from sluice.errors import ContractInvalid
from sluice.schemas import METRIC_UNITS, METRICS, READING_METRIC

ID, TEXT, TIME, NUMBER = "id", "text", "time", "number"
FIELD_TYPES = (ID, TEXT, TIME, NUMBER)
# Columns an event may feed, with the field types that may feed them.
COLUMN_TYPES: dict[str, tuple[str, ...]] = {
    "device_id": (ID,),
    "event_time": (TIME,),
    "event_id": (ID,),
    "temperature_celsius": (NUMBER,),
    "humidity_percent": (NUMBER,),
    "pressure_hpa": (NUMBER,),
    "battery_percent": (NUMBER,),
    "latitude": (NUMBER,),
    "longitude": (NUMBER,),
    "status": (TEXT,),
    "firmware": (TEXT,),
    "value": (NUMBER,),
}
METRIC_COLUMNS = (*METRIC_UNITS, "value")
REQUIRED_COLUMNS = ("device_id", "event_time")

# (unit in the event, unit of the column): column value = factor * field value + offset.
UNIT_CONVERSIONS: dict[tuple[str, str], tuple[float, float]] = {
    ("K", "°C"): (1.0, -273.15),
    ("°F", "°C"): (5 / 9, -160 / 9),
    ("1", "%"): (100.0, 0.0),
    ("Pa", "hPa"): (0.01, 0.0),
    ("kPa", "hPa"): (10.0, 0.0),
    ("bar", "hPa"): (1000.0, 0.0),
}


@dataclass(frozen=True)
class Field:
    """One source field of a version.

    Attributes:
        source: the field's path in the event; a dot descends into an object.
        column: the canonical column it feeds.
        type: one of FIELD_TYPES.
        factor: with `offset`: column value = factor * field value + offset.
        default: the column's value where the field is absent; None leaves it null.
    """

    source: str
    column: str
    type: str
    required: bool = False
    factor: float = 1.0
    offset: float = 0.0
    default: str | float | None = None


@dataclass(frozen=True)
class Version:
    """One version of an event.

    Attributes:
        number: what `schema_version` of the tables shows.
        number_in_event: whether an event may name the number in its own `schema_version`.
        all_of, none_of, any_of: source fields whose presence recognises an event without `schema_version`.
        assume_time_zone: IANA name for times without offset; empty refuses them.
    """

    number: int
    number_in_event: bool
    all_of: tuple[str, ...]
    none_of: tuple[str, ...]
    any_of: tuple[str, ...]
    fields: tuple[Field, ...]
    assume_time_zone: str = ""

    def feeding(self, column: str) -> Field | None:
        """The field that feeds a column in this version."""
        return next((found for found in self.fields if found.column == column), None)


@dataclass(frozen=True)
class Contract:
    """All versions, and the union of their fields."""

    versions: tuple[Version, ...]
    field_types: Mapping[str, str] = field(hash=False)

    @property
    def objects(self) -> tuple[str, ...]:
        """Source fields that are objects, because another field lies inside them."""
        return tuple(dict.fromkeys(source.rpartition(".")[0] for source in self.field_types if "." in source))

    @property
    def registered_numbers(self) -> tuple[int, ...]:
        """The numbers an event may name in `schema_version`."""
        return tuple(version.number for version in self.versions if version.number_in_event)

    def largest_factor(self, source: str) -> float:
        """The greatest factor by which any version multiplies the field."""
        return max(found.factor for version in self.versions for found in version.fields if found.source == source)


def parse_contract(content: Mapping[str, Any], origin: str = "the contract") -> Contract:
    """The contract in the content of conf/contract.yaml.

    Raises:
        ContractInvalid: names the file, the version and the key that is unknown, missing or wrong.
    """
    try:
        return _parse(content)
    except ContractInvalid as error:
        raise ContractInvalid(f"{origin}: {error.message}", error.hint or "mend the file; docs/contract.md") from None


def _parse(content: Mapping[str, Any]) -> Contract:
    _check_keys(content, {"versions"}, set(), "top level")
    entries = content["versions"]
    if not isinstance(entries, list) or not entries:
        raise ContractInvalid("versions must be a list with at least one version")
    versions = tuple(_parse_version(entry, index) for index, entry in enumerate(entries))
    numbers = [version.number for version in versions]
    if len(set(numbers)) != len(numbers):
        raise ContractInvalid(f"two versions have one number: {sorted(numbers)}")
    types: dict[str, str] = {}
    for version in versions:
        for found in version.fields:
            if _json_kind(types.setdefault(found.source, found.type)) != _json_kind(found.type):
                raise ContractInvalid(
                    f"version {version.number}: {found.source} is {found.type} here, {types[found.source]} elsewhere",
                    "a field has the same JSON type in all versions; give the new one another name",
                )
    for source in types:
        if any(other.startswith(f"{source}.") for other in types):
            raise ContractInvalid(f"{source} is both a value and an object")
    contract = Contract(versions, types)
    known = {*types, *contract.objects}
    for version in versions:
        for name in (*version.all_of, *version.none_of, *version.any_of):
            if name not in known:
                raise ContractInvalid(f"version {version.number}: recognised_by names {name}, which no version has")
    return contract


def _json_kind(field_type: str) -> str:
    return "number" if field_type == NUMBER else "string"


def _parse_version(entry: Any, index: int) -> Version:
    where = f"versions[{index}]"
    if not isinstance(entry, Mapping):
        raise ContractInvalid(f"{where} must hold keys")
    _check_keys(entry, {"version", "number_in_event", "recognised_by", "fields"}, {"assume_time_zone"}, where)
    number, in_event = entry["version"], entry["number_in_event"]
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 2**31:
        raise ContractInvalid(f"{where}: version must be a whole number from 0, not {number!r}")
    where = f"version {number}"
    if not isinstance(in_event, bool):
        raise ContractInvalid(f"{where}: number_in_event must be true or false")
    recognised = entry["recognised_by"]
    if not isinstance(recognised, Mapping):
        raise ContractInvalid(f"{where}: recognised_by must hold all, none or any")
    _check_keys(recognised, set(), {"all", "none", "any"}, f"{where}: recognised_by")
    shape = {key: _names(recognised.get(key, []), f"{where}: recognised_by.{key}") for key in ("all", "none", "any")}
    if not shape["all"] and not shape["any"]:
        raise ContractInvalid(f"{where}: recognised_by needs all or any")
    zone = entry.get("assume_time_zone", "")
    check_time_zone(zone, where)
    fields = tuple(_parse_fields(entry["fields"], where))
    columns = [found.column for found in fields]
    if repeated := {column for column in columns if columns.count(column) > 1}:
        raise ContractInvalid(f"{where}: more than one field feeds {', '.join(sorted(repeated))}")
    if missing := [column for column in REQUIRED_COLUMNS if column not in columns]:
        raise ContractInvalid(f"{where}: no field feeds {', '.join(missing)}")
    if not set(METRIC_COLUMNS) & set(columns):
        raise ContractInvalid(f"{where}: no field feeds a metric ({', '.join(METRIC_COLUMNS)})")
    if READING_METRIC in columns and set(METRICS) & set(columns):
        raise ContractInvalid(f"{where}: {READING_METRIC} is fed beside a metric that has a column of its own")
    return Version(number, in_event, shape["all"], shape["none"], shape["any"], fields, zone)


def _parse_fields(entries: Any, where: str) -> Iterator[Field]:
    if not isinstance(entries, Mapping) or not entries:
        raise ContractInvalid(f"{where}: fields must hold source: {{column: …, type: …}}")
    for source, entry in entries.items():
        here = f"{where}: field {source}"
        parts = str(source).split(".")
        if not all(part.isidentifier() for part in parts) or len(parts) > 2:
            raise ContractInvalid(f"{here}: a field's name is letters, digits and _; one dot at most")
        if not isinstance(entry, Mapping):
            raise ContractInvalid(f"{here} must hold column and type")
        _check_keys(entry, {"column", "type"}, {"required", "unit", "default"}, here)
        column, kind = entry["column"], entry["type"]
        if column not in COLUMN_TYPES:
            raise ContractInvalid(f"{here}: unknown column {column!r}", f"known: {', '.join(COLUMN_TYPES)}")
        if kind not in COLUMN_TYPES[column]:
            raise ContractInvalid(f"{here}: {column} takes {' or '.join(COLUMN_TYPES[column])}, not {kind!r}")
        required = entry.get("required", column in REQUIRED_COLUMNS)
        if not isinstance(required, bool) or (column in REQUIRED_COLUMNS and not required):
            raise ContractInvalid(f"{here}: required must be true or false, and true for {column}")
        factor, offset = _conversion(entry.get("unit"), column, here)
        yield Field(str(source), column, kind, required, factor, offset, _default(entry.get("default"), kind, here))


def _conversion(unit: Any, column: str, where: str) -> tuple[float, float]:
    target = METRIC_UNITS.get(column)
    if unit is None or unit == target:
        return 1.0, 0.0
    if target is None:
        return 1.0, 0.0
    if (unit, target) in UNIT_CONVERSIONS:
        return UNIT_CONVERSIONS[(unit, target)]
    known = [target, *(source for source, goal in UNIT_CONVERSIONS if goal == target)]
    raise ContractInvalid(f"{where}: unit {unit!r} cannot feed {column}", f"known units: {', '.join(known)}")


def _default(value: Any, kind: str, where: str) -> str | float | None:
    if value is None:
        return None
    if kind == NUMBER and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if kind == TEXT and isinstance(value, str):
        return value
    raise ContractInvalid(f"{where}: default {value!r} does not fit the type {kind}; only text and number have one")


def check_time_zone(zone: Any, where: str) -> None:
    """Raises ContractInvalid unless `zone` is empty or an IANA time zone."""
    if zone == "":
        return
    try:
        if zone.startswith(("posix/", "right/")) or zone in ("localtime", "posixrules", "Factory"):
            raise ValueError(f"{zone} is a file beside the time zones, which Java does not know")
        ZoneInfo(zone)
    except (ValueError, OSError, TypeError, AttributeError, KeyError):
        raise ContractInvalid(f"{where}: unknown time zone {zone!r}", "use an IANA name, e.g. Europe/Berlin") from None


def _names(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ContractInvalid(f"{where} must be a list of field names")
    return tuple(value)


def _check_keys(entry: Mapping[str, Any], needed: set[str], optional: set[str], where: str) -> None:
    if unknown := [str(key) for key in entry if key not in needed | optional]:
        raise ContractInvalid(
            f"{where}: unknown key {', '.join(unknown)}", f"known: {', '.join(sorted(needed | optional))}"
        )
    if missing := sorted(needed - set(entry)):
        raise ContractInvalid(f"{where}: {', '.join(missing)} is missing")

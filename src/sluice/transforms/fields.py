"""Column expressions that apply the contract: which version an event has, and what feeds each column."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce

from pyspark.sql import Column
from pyspark.sql import functions as F

from sluice.schemas import CANONICAL_VALUES
from sluice.transforms.contract import COLUMN_TYPES, NUMBER, Contract, Version

SCHEMA_VERSION = "schema_version"
CORRUPT = "_corrupt"

# from_json is strict in all that it can be; what it still lets pass is found by `structure_is_certain`.
JSON_OPTIONS = {
    "mode": "PERMISSIVE",
    "columnNameOfCorruptRecord": CORRUPT,
    "allowSingleQuotes": "false",
    "allowNonNumericNumbers": "false",
}

_LOCAL_TIME = r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(?:[.]\d{1,9})?"
# https://www.rfc-editor.org/rfc/rfc3339#section-5.6
# Not $, which in Java also stands before a line break at the end.
TIME_WITH_OFFSET = rf"\A{_LOCAL_TIME}(?:[Zz]|[+-]\d{{2}}:\d{{2}})\z"
TIME_WITHOUT = rf"\A{_LOCAL_TIME}\z"


def json_schema(contract: Contract) -> str:
    """DDL of the union of all versions' fields, as from_json reads it."""
    parts = [f"{SCHEMA_VERSION} bigint"]
    for source, kind in contract.field_types.items():
        if "." not in source:
            parts.append(f"`{source}` {_sql_type(kind)}")
    for name in contract.objects:
        inner = [
            f"`{source.partition('.')[2]}`: {_sql_type(kind)}"
            for source, kind in contract.field_types.items()
            if source.startswith(f"{name}.")
        ]
        parts.append(f"`{name}` struct<{', '.join(inner)}>")
    return ", ".join([*parts, f"{CORRUPT} string"])


def _sql_type(field_type: str) -> str:
    return "double" if field_type == NUMBER else "string"


def version_matches(contract: Contract, number: Column, present: Callable[[str], Column]) -> dict[int, Column]:
    """For each version whether the event is recognised as it.

    Args:
        number: the event's schema_version, null where absent.
        present: whether a source field is there and not null.
    """
    return {version.number: _matches(version, number, present) for version in contract.versions}


def _matches(version: Version, number: Column, present: Callable[[str], Column]) -> Column:
    shape = reduce(Column.__and__, [present(name) for name in version.all_of], F.lit(True))
    if version.none_of:
        shape = shape & ~reduce(Column.__or__, [present(name) for name in version.none_of])
    if version.any_of:
        shape = shape & reduce(Column.__or__, [present(name) for name in version.any_of])
    if not version.number_in_event:
        return shape
    return F.when(number.isNull(), shape).otherwise(number == version.number)


def count_true(conditions: list[Column]) -> Column:
    """How many of the conditions hold; none may be null."""
    return reduce(Column.__add__, [condition.cast("int") for condition in conditions])


def column_values(contract: Contract, version: Column, value_of: Callable[[str], Column]) -> dict[str, Column]:
    """What each canonical column gets: converted to its unit, -0.0 as 0.0, default where absent.

    `event_time` is the time's text here. A column that no version feeds is null.
    """
    return {column: _column_value(contract, column, version, value_of) for column in COLUMN_TYPES}


def _column_value(contract: Contract, column: str, version: Column, value_of: Callable[[str], Column]) -> Column:
    numbers_by_value: dict[tuple[str, float, float, str | float | None], list[int]] = {}
    for each in contract.versions:
        if found := each.feeding(column):
            key = (found.source, found.factor, found.offset, found.default)
            numbers_by_value.setdefault(key, []).append(each.number)
    chosen: Column | None = None
    for (source, factor, offset, default), numbers in numbers_by_value.items():
        value = value_of(source)
        if NUMBER in COLUMN_TYPES[column]:
            value = _convert(value, factor, offset)
        if default is not None:
            value = F.coalesce(value, F.lit(default))
        applies = version.isin(numbers)
        chosen = F.when(applies, value) if chosen is None else chosen.when(applies, value)
    if chosen is None:
        return F.lit(None).cast("double" if NUMBER in COLUMN_TYPES[column] else "string")
    return chosen


def _convert(value: Column, factor: float, offset: float) -> Column:
    scaled = value if factor == 1.0 else value * F.lit(factor)
    # Adding 0.0 turns -0.0 into 0.0, and leaves every other number as it is.
    return scaled + F.lit(offset)


def parse_time(text: Column, zone: Column) -> Column:
    """The instant of an RFC 3339 time; null if it is none, or has no offset and `zone` is null."""
    instant = F.upper(text).try_cast("timestamp")
    return F.when(text.rlike(TIME_WITH_OFFSET), instant).when(
        text.rlike(TIME_WITHOUT) & zone.isNotNull(), F.to_utc_timestamp(instant, zone)
    )


def assumed_zone(contract: Contract, version: Column) -> Column:
    """The version's `assume_time_zone`, null where it has none."""
    zone = F.lit(None).cast("string")
    for each in contract.versions:
        if each.assume_time_zone:
            zone = F.when(version == each.number, F.lit(each.assume_time_zone)).otherwise(zone)
    return zone


def content_id(values: Mapping[str, Column]) -> Column:
    """The event_id of an event that names none: `sha256:` and the hex digest of its content.

    The content is, joined by ``|``: event_time in microseconds since 1970 UTC, then each of
    CANONICAL_VALUES, then device_id. A null is empty, a number is written as Java's Double.toString does, a
    text as its length in characters, ``:`` and the text, so that no two contents are written alike.

    Args:
        values: device_id, event_time (timestamp) and the canonical values.
    """
    micros = F.unix_micros(values["event_time"]).cast("string")
    parts = [_written(name, values[name]) for name in CANONICAL_VALUES]
    device = _written("device_id", values["device_id"])
    return F.concat(F.lit("sha256:"), F.sha2(F.concat_ws("|", micros, *parts, device), 256))


def _written(name: str, value: Column) -> Column:
    if NUMBER in COLUMN_TYPES[name]:
        return F.coalesce(value.cast("string"), F.lit(""))
    return F.coalesce(F.concat(F.char_length(value).cast("string"), F.lit(":"), value), F.lit(""))

"""The fast half of reading events: what is certainly right is parsed, all else is left for `suspects`.

One from_json over the union of all versions, and one pattern that proves what from_json does not check
(docs/parsing.md): nothing unknown, nothing behind the object, no number in a string. Nine events in ten and more
pass; a doubt costs only time, since `suspects` decides exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from sluice.schemas import CANONICAL_VALUES
from sluice.transforms.contract import METRIC_COLUMNS, NUMBER, Contract
from sluice.transforms.fields import (
    CORRUPT,
    JSON_OPTIONS,
    SCHEMA_VERSION,
    TIME_WITH_OFFSET,
    column_values,
    content_id,
    count_true,
    json_schema,
    version_matches,
)
from sluice.transforms.records import RECORD_COLUMNS
from sluice.transforms.shape import message_pattern

# What parsing adds to a record. `event_time` is a timestamp; all are null in a record that is no event.
EVENT_COLUMNS = ("event_id", "device_id", "event_time", "schema_version", *CANONICAL_VALUES)


@dataclass(frozen=True)
class Limits:
    """What a message may be at most, before it is TOO_LARGE, TOO_DEEP or BAD_ID."""

    message_bytes: int = 1_048_576
    nesting: int = 32
    text_characters: int = 1024
    id_characters: int = 256


def parse_events(records: DataFrame, contract: Contract, limits: Limits) -> DataFrame:
    """Records with EVENT_COLUMNS and `is_certain`, in one pass.

    No row leaves. Where `is_certain` is false, EVENT_COLUMNS mean nothing and `suspects` must decide.
    Lazy: a filter on the result would make Spark parse twice (it is pushed below); persist it first.

    Args:
        records: RECORD_COLUMNS.
    """
    certain_bytes = min(limits.message_bytes, limits.text_characters)
    text = F.when(F.octet_length("raw.value") <= certain_bytes, F.col("raw.value").cast("string"))
    read = records.select(*RECORD_COLUMNS, text.alias("_text")).withColumn(
        "_json", F.from_json("_text", json_schema(contract), JSON_OPTIONS)
    )
    number = _field(SCHEMA_VERSION)
    matches = version_matches(contract, number, _is_there)
    registered = number.isNull() | number.isin(*contract.registered_numbers)
    found = read.select(
        "*",
        structure_is_certain(contract).alias("_structure"),
        (registered & (count_true(list(matches.values())) == 1)).alias("_one_version"),
        F.coalesce(*[F.when(match, F.lit(version)) for version, match in matches.items()]).alias("schema_version"),
    )
    values = column_values(contract, F.col("schema_version"), _field)
    time_text = values.pop("event_time")
    timed = found.select(
        *RECORD_COLUMNS,
        "_structure",
        "_one_version",
        "schema_version",
        *[value.alias(name) for name, value in values.items()],
        F.when(time_text.rlike(TIME_WITH_OFFSET), F.upper(time_text).try_cast("timestamp")).alias("event_time"),
    )
    identity = F.coalesce("event_id", content_id({name: F.col(name) for name in timed.columns}))
    return timed.select(
        *RECORD_COLUMNS,
        identity.alias("event_id"),
        *EVENT_COLUMNS[1:],
        F.coalesce(_is_certain(contract, limits), F.lit(False)).alias("is_certain"),
    )


def structure_is_certain(contract: Contract) -> Column:
    """Whether `_text` is surely one strict JSON object of known, unrepeated, rightly typed fields.

    True is a proof, false or null only a doubt. The pattern proves strict JSON with known names and values of
    their types; each `":` in it ends a name, so as many of them as known fields that are there means that none is
    repeated; and a number that is finite in the largest unit it may be turned into is so in all.
    """
    text = F.col("_text")
    there = [*contract.objects, *contract.field_types, SCHEMA_VERSION]
    names = _occurrences(text, '":') == count_true([_is_there(source) for source in there])
    factors = {
        source: contract.largest_factor(source) for source, kind in contract.field_types.items() if kind == NUMBER
    }
    numbers = [_field(each) if factor == 1.0 else _field(each) * F.lit(factor) for each, factor in factors.items()]
    # Infinity times zero is NaN, which equals nothing: one comparison for all numbers.
    zeros = [F.coalesce(column * F.lit(0.0), F.lit(0.0)) for column in numbers]
    finite = reduce(Column.__add__, zeros, F.lit(0.0)) == F.lit(0.0)
    return _field(CORRUPT).isNull() & names & finite & text.rlike(message_pattern(contract))


def _is_certain(contract: Contract, limits: Limits) -> Column:
    required = _required_columns(contract)
    ids = F.char_length("device_id").between(1, limits.id_characters) & (F.trim("device_id") != "")
    given = F.col("event_id")
    ids = ids & (given.isNull() | (F.char_length(given).between(1, limits.id_characters) & (F.trim(given) != "")))
    measured = reduce(Column.__or__, [F.col(name).isNotNull() for name in METRIC_COLUMNS])
    complete = reduce(Column.__and__, [F.col(name).isNotNull() | ~applies for name, applies in required])
    return F.col("_structure") & F.col("_one_version") & F.col("event_time").isNotNull() & ids & measured & complete


def _required_columns(contract: Contract) -> list[tuple[str, Column]]:
    required: dict[str, list[int]] = {}
    for version in contract.versions:
        for found in version.fields:
            if found.required:
                required.setdefault(found.column, []).append(version.number)
    return [(column, F.col("schema_version").isin(numbers)) for column, numbers in required.items()]


def _field(source: str) -> Column:
    return F.col(f"_json.{source}")


def _is_there(source: str) -> Column:
    return _field(source).isNotNull()


def _occurrences(text: Column, sequence: str) -> Column:
    shorter = F.octet_length(F.replace(text, F.lit(sequence), F.lit("")))
    return ((F.octet_length(text) - shorter) / F.lit(len(sequence))).cast("int")

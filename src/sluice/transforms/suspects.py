"""The exact half of reading events: decides every record that `parse` was not certain of, with an error code.

What is no strict JSON is found by `strict`; types are judged on Variant, which keeps JSON's own (docs/parsing.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from sluice import schemas
from sluice.transforms.contract import ID, METRIC_COLUMNS, NUMBER, TEXT, TIME, Contract
from sluice.transforms.fields import (
    JSON_OPTIONS,
    SCHEMA_VERSION,
    TIME_WITH_OFFSET,
    TIME_WITHOUT,
    assumed_zone,
    column_values,
    content_id,
    count_true,
    json_schema,
    parse_time,
    version_matches,
)
from sluice.transforms.parse import EVENT_COLUMNS, Limits
from sluice.transforms.strict import has_lone_surrogate, over_limit, problem_when, read_strictly

# Control and invisible format characters (bidirectional marks among them), lone surrogates, line separators.
_FORBIDDEN_IN_IDS = r"[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]"
_INTEGER_KINDS = r"^(BIGINT|DECIMAL\(\d+,0\))$"
_NUMBER_KINDS = r"^(BIGINT|DOUBLE|FLOAT|DECIMAL.*)$"
_ABSENT_KINDS = ("VOID",)
MAX_DETAIL_CHARACTERS = 500


def decide_suspects(records: DataFrame, zones: DataFrame, contract: Contract, limits: Limits) -> DataFrame:
    """Records with EVENT_COLUMNS, `error_code`, `error_detail` and `unknown_fields`.

    Each row either is an event (error_code null, EVENT_COLUMNS as `parse` gives them) or is refused
    (error_code set; of EVENT_COLUMNS only device_id may be there). No row leaves.

    Args:
        records: RECORD_COLUMNS; further columns are kept.
        zones: `device_id`, `assume_time_zone` of registered devices; one row per device.
    """
    readable = read_strictly(records, limits)
    typed = _read_fields(readable, contract)
    valued = _read_time(_read_values(typed, contract), zones, contract)
    problem = F.coalesce(*_problems(contract, limits))
    judged = valued.withColumn("_problem", problem)
    is_event = F.col("_problem").isNull()
    identity = F.coalesce("event_id", content_id({name: F.col(name) for name in valued.columns}))
    kept = [
        F.when(is_event, F.col(name)).alias(name) for name in EVENT_COLUMNS if name not in ("event_id", "device_id")
    ]
    return judged.select(
        *records.columns,
        F.when(is_event, identity).alias("event_id"),
        F.when(is_event, F.col("device_id")).otherwise(F.col("_device")).alias("device_id"),
        *kept,
        F.col("_problem.code").alias("error_code"),
        F.substring("_problem.detail", 1, MAX_DETAIL_CHARACTERS).alias("error_detail"),
        F.when(is_event, F.col("_unknown")).alias("unknown_fields"),
    )


def _read_fields(readable: DataFrame, contract: Contract) -> DataFrame:
    """Adds `_json` (values), `_kinds` (JSON type per field), `_unknown` fields and `_device` (as far as known)."""
    sources = [SCHEMA_VERSION, *contract.field_types, *contract.objects]
    # A generator is a wall to the optimiser: else it would put each kind's expression wherever it is named.
    kinds = F.inline(F.array(F.struct(*[_kind_of(source).alias(_kind_name(source)) for source in sources])))
    top_level = [source for source in sources if "." not in source]
    keys = F.json_object_keys("_text")
    devices = [
        source for source, kind in contract.field_types.items() if kind == ID and _feeds_device(contract, source)
    ]
    is_object = F.coalesce(F.schema_of_variant("_variant").startswith("OBJECT"), F.lit(False))
    read = readable.select(
        "*",
        is_object.alias("_is_object"),
        F.when(is_object, F.from_json("_text", json_schema(contract), JSON_OPTIONS)).alias("_json"),
        kinds,
        F.when(is_object, F.array_except(keys, F.array(*map(F.lit, top_level)))).alias("_unknown"),
        (is_object & _repeats_in_other_case(keys, contract)).alias("_case_repeated"),
    )
    device = F.coalesce(*[F.when(_kind(source) == "STRING", _value(source)) for source in devices])
    return read.withColumn("_device", device)


def _repeats_in_other_case(keys: Column, contract: Contract) -> Column:
    inner = [F.json_object_keys(F.get_json_object("_text", f"$.{name}")) for name in contract.objects]
    folded = [F.transform(each, F.lower) for each in (keys, *inner)]
    repeated = [F.size(each) > F.size(F.array_distinct(each)) for each in folded]
    return reduce(Column.__or__, [F.coalesce(each, F.lit(False)) for each in repeated])


def _read_values(known: DataFrame, contract: Contract) -> DataFrame:
    """Adds `_matched` (how many versions), schema_version, the canonical columns and `_time_text`."""
    number = _value(SCHEMA_VERSION)
    matches = version_matches(contract, number, lambda source: F.coalesce(_is_there(source), F.lit(False)))
    only = F.coalesce(*[F.when(match, F.lit(each)) for each, match in matches.items()])
    counted = known.withColumn("_matched", count_true(list(matches.values()))).withColumn("schema_version", only)
    values = column_values(contract, F.col("schema_version"), _value)
    time_text = values.pop("event_time")
    return counted.select("*", *[value.alias(name) for name, value in values.items()], time_text.alias("_time_text"))


def _read_time(valued: DataFrame, zones: DataFrame, contract: Contract) -> DataFrame:
    """Adds `_zone`, the device's or else the version's, and event_time."""
    known = valued.join(F.broadcast(zones), on="device_id", how="left")
    zone = F.coalesce("assume_time_zone", assumed_zone(contract, F.col("schema_version")))
    zoned = known.withColumn("_zone", zone)
    return zoned.withColumn("event_time", parse_time(F.col("_time_text"), F.col("_zone")))


def _problems(contract: Contract, limits: Limits) -> Iterator[Column]:
    """Every problem a readable record can have, in the order in which it is named."""
    yield F.col("_early")
    yield problem_when(
        ~F.col("_is_object"), schemas.NOT_OBJECT, F.concat(F.lit("a JSON value, no object: "), _shown("_text"))
    )
    yield problem_when(
        F.col("_case_repeated"), schemas.DUPLICATE_FIELD, F.lit("a field stands there twice in other case")
    )
    yield from _version_problems(contract)
    yield from _field_problems(contract)
    yield from _text_problems(contract, limits)
    yield from _time_problems()
    no_metric = reduce(Column.__and__, [F.col(name).isNull() for name in METRIC_COLUMNS])
    yield problem_when(no_metric, schemas.NO_METRIC, F.lit("no field feeds a metric"))


def _version_problems(contract: Contract) -> Iterator[Column]:
    kind, number = _kind(SCHEMA_VERSION), _value(SCHEMA_VERSION)
    named = kind.isNotNull() & ~kind.isin(*_ABSENT_KINDS)
    shown = F.get_json_object("_text", f"$.{SCHEMA_VERSION}")
    is_whole = kind.rlike(_INTEGER_KINDS) & shown.rlike(r"^-?\d+$")
    yield problem_when(named & ~is_whole, schemas.WRONG_TYPE, F.lit("schema_version: expected a whole number"))
    registered = F.coalesce(number.isin(*contract.registered_numbers), F.lit(False))
    yield problem_when(named & ~registered, schemas.UNKNOWN_VERSION, F.concat(F.lit("schema_version "), shown))
    yield problem_when(
        F.col("_matched") > 1, schemas.AMBIGUOUS_VERSION, F.lit("the fields match more than one version")
    )
    identifying = [name for version in contract.versions for name in (*version.all_of, *version.any_of)]
    some = reduce(Column.__or__, [F.coalesce(_is_there(name), F.lit(False)) for name in dict.fromkeys(identifying)])
    lacking = F.concat(F.lit("no version is complete; "), _nearest_lack(contract))
    yield problem_when((F.col("_matched") == 0) & some, schemas.MISSING_FIELD, lacking)
    yield problem_when(F.col("_matched") == 0, schemas.UNKNOWN_VERSION, F.lit("no version has these fields"))


def _nearest_lack(contract: Contract) -> Column:
    lacks = []
    for version in contract.versions:
        absent = [F.when(~F.coalesce(_is_there(name), F.lit(False)), F.lit(name)) for name in version.all_of]
        if absent:
            lacks.append(F.concat(F.lit(f"version {version.number} lacks "), F.concat_ws(", ", *absent)))
    return F.concat_ws("; ", *lacks)


def _field_problems(contract: Contract) -> Iterator[Column]:
    for number, fields in ((version.number, version.fields) for version in contract.versions):
        here = F.col("schema_version") == number
        for name in dict.fromkeys(found.source.rpartition(".")[0] for found in fields if "." in found.source):
            wrong = _is_there(name) & ~_kind(name).startswith("OBJECT")
            yield problem_when(here & wrong, schemas.WRONG_TYPE, _wrong_type(name, "an object"))
        for found in fields:
            fits = _kind(found.source).rlike(_NUMBER_KINDS) if found.type == NUMBER else _kind(found.source) == "STRING"
            expected = "a number" if found.type == NUMBER else "a text"
            yield problem_when(
                here & _is_there(found.source) & ~fits, schemas.WRONG_TYPE, _wrong_type(found.source, expected)
            )
            if found.type == NUMBER:
                value = _value(found.source) * F.lit(found.factor)
                finite = F.coalesce(value * F.lit(0.0) == F.lit(0.0), F.lit(False))
                unbounded = here & _is_there(found.source) & ~finite
                yield problem_when(unbounded, schemas.WRONG_TYPE, F.lit(f"{found.source}: not a finite number"))
    for version in contract.versions:
        for found in version.fields:
            if found.required:
                absent = (F.col("schema_version") == version.number) & ~_is_there(found.source)
                yield problem_when(absent, schemas.MISSING_FIELD, F.lit(found.source))


def _text_problems(contract: Contract, limits: Limits) -> Iterator[Column]:
    unpaired = has_lone_surrogate(F.col("_text"))
    for name in ("device_id", "event_id"):
        column = F.col(name)
        too_long = F.char_length(column) > limits.id_characters
        yield problem_when(
            too_long, schemas.BAD_ID, over_limit(F.char_length(column), f"characters in {name}", limits.id_characters)
        )
        yield problem_when(F.trim(column) == "", schemas.BAD_ID, F.lit(f"{name} is empty"))
        hidden = column.rlike(_FORBIDDEN_IN_IDS) | (column.contains("?") & unpaired)
        yield problem_when(hidden, schemas.BAD_ID, F.lit(f"{name} has a control character, mark or lone surrogate"))
    texts = [source for source, kind in contract.field_types.items() if kind in (TEXT, TIME)]
    for source in texts:
        size = F.char_length(_value(source))
        detail = over_limit(size, f"characters in {source}", limits.text_characters)
        yield problem_when(size > limits.text_characters, schemas.TOO_LARGE, detail)


def _time_problems() -> Iterator[Column]:
    text = F.col("_time_text")
    local = text.rlike(TIME_WITHOUT)
    yield problem_when(local & F.col("_zone").isNull(), schemas.TIME_WITHOUT_OFFSET, _shown("_time_text"))
    yield problem_when(~local & ~text.rlike(TIME_WITH_OFFSET), schemas.BAD_TIME, _shown("_time_text"))
    yield problem_when(F.col("event_time").isNull(), schemas.BAD_TIME, _shown("_time_text"))


def _kind_of(source: str) -> Column:
    return F.schema_of_variant(F.try_variant_get("_variant", f"$.{source}", "variant"))


def _kind(source: str) -> Column:
    return F.col(_kind_name(source))


def _is_there(source: str) -> Column:
    return _kind(source).isNotNull() & ~_kind(source).isin(*_ABSENT_KINDS)


def _value(source: str) -> Column:
    return F.col(f"_json.{source}")


def _kind_name(source: str) -> str:
    return f"_kind_{source.replace('.', '__')}"


def _feeds_device(contract: Contract, source: str) -> bool:
    return any(f.source == source and f.column == "device_id" for version in contract.versions for f in version.fields)


def _wrong_type(source: str, expected: str) -> Column:
    return F.concat(F.lit(f"{source}: expected {expected}, is "), F.lower(_kind(source)))


def _shown(name: str) -> Column:
    return F.substring(F.col(name), 1, 80)

"""Flagged events into what leaves for Kafka: alert signals, processed readings, dead letters. No state, no clock.

Both ends of a signal are tested against each other: alerting/signals.py reads what is written here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from sluice import schemas
from sluice.schemas import COORDINATES, SILVER_READINGS
from sluice.transforms.judge import RowRule, quality_flag, rule_names
from sluice.transforms.reading_rules import RANGE_COLUMNS, ReadingRule
from sluice.transforms.silver import REFUSED

OUTGOING_COLUMNS = ("topic", "key", "value", "headers")
RAISE = "raise"
SEPARATOR = "\x1f"
_HEADERS = "array<struct<key:string,value:binary>>"
# Of silver/readings, what only a promotion knows.
_NOT_YET = ("ingested_at", "promoted_at", "promotion_id", "event_date")
PROCESSED_FIELDS = tuple(name for name in SILVER_READINGS.column_names if name not in _NOT_YET)
_MOMENTS = ("event_time", "kafka_timestamp")


@dataclass(frozen=True)
class Destinations:
    """The topics that rows go to."""

    processed: str
    alerts: str
    dead_letters: str


def route_records(
    flagged: DataFrame,
    registry: DataFrame,
    row_rules: Sequence[RowRule],
    rules: Sequence[ReadingRule],
    destinations: Destinations,
    *,
    signals_only: bool = False,
) -> DataFrame:
    """What leaves of each record: an accepted one's signals, then itself; a refused one as a dead letter.

    Args:
        flagged: FLAGGED_COLUMNS of records from `cut_large`, no suspects.
        registry: columns of REGISTRY_DDL; one row per device.
        row_rules: those that flagged.
        rules: alert rules; what they find is in their order.
        signals_only: whether nothing but signals leaves.

    Returns:
        OUTGOING_COLUMNS. Keys are the device's id, and of dead letters the record's own key.
    """
    ranges = registry.select("device_id", *RANGE_COLUMNS)
    known = flagged.join(F.broadcast(ranges), on="device_id", how="left")
    found = known.select(
        "*",
        quality_flag(row_rules).alias("quality_flag"),
        rule_names(row_rules).alias("failed_rules"),
        (F.col("state") == REFUSED).alias("_is_refused"),
        _findings(rules).alias("_found"),
    )
    signals = _signals(destinations.alerts)
    if signals_only:
        rows = F.when(~F.col("_is_refused"), signals)
    else:
        accepted = F.concat(signals, F.array(_processed(destinations.processed)))
        rows = F.when(F.col("_is_refused"), F.array(_dead_letter(destinations))).otherwise(accepted)
    return found.select(F.inline(rows)).toDF(*OUTGOING_COLUMNS)


def signal_id(kind: str, rule_id: Column, subject: Column, moment: Column, event_id: Column) -> Column:
    """As alerting/signals.py: `sha256:` over kind, rule, subject, event time and event id."""
    content = F.concat_ws(SEPARATOR, F.lit(kind), rule_id, subject, moment, F.coalesce(event_id, F.lit("")))
    return F.concat(F.lit("sha256:"), F.sha2(content, 256))


def moment_text(name: str) -> Column:
    """RFC 3339 in UTC with six digits of a second."""
    return F.date_format(name, "yyyy-MM-dd'T'HH:mm:ss.SSSSSS'Z'")


def _findings(rules: Sequence[ReadingRule]) -> Column:
    """What the rules see in a row, only those that raise; empty of none."""
    kind = "array<struct<rule_id:string,severity:string,metric:string,value:double,threshold:double>>"
    found = [
        F.when(
            rule.raises,
            F.struct(
                F.lit(rule.rule_id).alias("rule_id"),
                F.lit(rule.severity).alias("severity"),
                F.lit(rule.finding.metric).cast("string").alias("metric"),
                rule.finding.value.cast("double").alias("value"),
                rule.finding.threshold.cast("double").alias("threshold"),
            ),
        )
        for rule in rules
    ]
    return F.array_compact(F.array(*found).cast(kind))


def _signals(topic: str) -> Column:
    return F.transform("_found", lambda each: _outgoing(topic, F.col("device_id"), _signal(each)))


def _signal(found: Column) -> Column:
    device, moment, event = F.col("device_id"), moment_text("event_time"), F.col("event_id")
    content = {
        "signal_id": signal_id(RAISE, found["rule_id"], device, moment, event),
        "kind": F.lit(RAISE),
        "rule_id": found["rule_id"],
        "severity": found["severity"],
        "subject": device,
        "event_time": moment,
        "device_id": device,
        "customer": F.col("customer"),
        "site": F.col("site"),
        "metric": found["metric"],
        "value": found["value"],
        "threshold": found["threshold"],
        "event_id": event,
        "coordinates": F.concat_ws(":", "topic", F.col("partition").cast("string"), F.col("offset").cast("string")),
    }
    return _json(content)


def _processed(topic: str) -> Column:
    content = {name: moment_text(name) if name in _MOMENTS else F.col(name) for name in PROCESSED_FIELDS}
    return _outgoing(topic, F.col("device_id"), _json(content))


def _json(content: dict[str, Column]) -> Column:
    """JSON without the fields that are null."""
    return F.to_json(F.struct(*[value.alias(name) for name, value in content.items()]))


def _outgoing(topic: str, key: Column, value: Column, headers: Column | None = None) -> Column:
    return F.struct(
        F.lit(topic).alias("topic"),
        key.cast("binary").alias("key"),
        value.cast("binary").alias("value"),
        (F.lit(None) if headers is None else headers).cast(_HEADERS).alias("headers"),
    )


def cut_large(records: DataFrame, message_bytes: int, dead_letter_bytes: int) -> DataFrame:
    """Records without the bytes that nobody will read: each step of a plan holds a copy, and one message may be large.

    A value that is TOO_LARGE keeps so much of itself that it still is; key and headers go where a dead letter of the
    record would leave them out.

    Args:
        records: RECORD_COLUMNS.

    Returns:
        RECORD_COLUMNS; `raw` has the size of the whole value as `value_bytes`, and as `fits` whether a dead letter
        of the record holds key, value and headers.
    """
    key, value, headers = (F.col(f"raw.{name}") for name in ("key", "value", "headers"))
    bytes_of = {name: F.coalesce(F.octet_length(each), F.lit(0)) for name, each in (("key", key), ("value", value))}
    size = F.aggregate(
        F.coalesce(headers, F.array().cast(_HEADERS)),
        bytes_of["key"] + bytes_of["value"],
        lambda total, each: total + F.octet_length(each["key"]) + F.coalesce(F.octet_length(each["value"]), F.lit(0)),
    )
    fits = size <= dead_letter_bytes
    is_large = bytes_of["value"] > message_bytes
    raw = F.struct(
        F.when(fits, headers).alias("headers"),
        F.when(fits, key).alias("key"),
        F.when(is_large, F.substring(value, 1, message_bytes + 1)).otherwise(value).alias("value"),
        bytes_of["value"].alias("value_bytes"),
        fits.alias("fits"),
    )
    return records.withColumn("raw", raw)


def _dead_letter(destinations: Destinations) -> Column:
    """As pipelines/dead_letters.py sends what stands in quarantine; the promotion is not known."""
    fits, own = F.col("raw.fits"), F.coalesce(F.col("raw.headers"), F.array().cast(_HEADERS))
    left_out = _header(schemas.VALUE_LEFT_OUT, F.col("raw.value_bytes").cast("string"))
    nothing = F.lit(b"").cast("binary")
    kept = F.transform(
        own, lambda each: F.struct(each["key"].alias("key"), F.coalesce(each["value"], nothing).alias("value"))
    )
    described = F.array(*_described()).cast(_HEADERS)
    headers = F.concat(described, F.when(fits, kept.cast(_HEADERS)).otherwise(F.array(left_out).cast(_HEADERS)))
    return _outgoing(destinations.dead_letters, F.col("raw.key"), F.when(fits, F.col("raw.value")), headers)


def _described() -> list[Column]:
    coordinates = [F.col(name).cast("string") for name in COORDINATES]
    # What was cut is told as large as it was.
    size = F.concat(F.col("raw.value_bytes").cast("string"), F.lit(" bytes"))
    is_large = F.col("error_code") == schemas.TOO_LARGE
    detail = F.when(is_large, F.regexp_replace("error_detail", F.lit(r"^\d+ bytes"), size))
    told = {"promotion_id": F.lit(""), "error_detail": F.coalesce(detail, F.col("error_detail"))}
    names = (*COORDINATES, *schemas.DEAD_LETTER_TOLD)
    texts = {name: told[name] if name in told else F.col(name).cast("string") for name in names}
    named = {schemas.dead_letter_header(name): text for name, text in texts.items()}
    identity = F.concat_ws(":", *coordinates)
    return [_header(name, text) for name, text in {schemas.DEAD_LETTER_IDENTITY: identity, **named}.items()]


def _header(name: str, text: Column) -> Column:
    return F.struct(F.lit(name).alias("key"), F.coalesce(text, F.lit("")).cast("binary").alias("value"))

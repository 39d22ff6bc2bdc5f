"""What the pass over a silver micro-batch counts: rows by state, broken rules, and what the batch rules judge."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timezone

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from sluice.schemas import COORDINATES
from sluice.transforms.hours import LAST_HOUR, hour_of, moment_of
from sluice.transforms.judge import named_bits
from sluice.transforms.silver import ACCEPTED, PARSING, REFUSED, SUSPECT, Reader

MAX_UNKNOWN_FIELDS = 100
# Of accepted rows no raw bytes are kept.
_RAW_BYTES = (
    "coalesce(octet_length(raw.key), 0L) + coalesce(octet_length(raw.value), 0L) + aggregate(coalesce(raw.headers,"
    " array()), 0L, (size, each) -> size + octet_length(each.key) + coalesce(octet_length(each.value), 0))"
)
_GROUPED = ("state", "stage", "error_code", "broken_rules", "marks", "schema_version", *COORDINATES[:3])


@dataclass
class Tally:
    """Counts of one micro-batch.

    Attributes:
        states: rows by state; a suspect is counted again under what it was decided to be.
        unreadable: rows that could not be read, by error code.
        broken: readable rows by the bits of the rules they break.
        marks: readable rows by mark.
        versions: readable rows by schema version.
        unknown_fields: events by field that no version knows.
        hours: starts of the UTC hours that accepted events fall into.
        refused_bytes: keys, values and headers of refused rows.
        last_offsets: greatest offset by (topic, topic_generation, partition).
        newest_kafka_timestamp: None in an empty batch.
    """

    states: Counter[str] = field(default_factory=Counter)
    unreadable: Counter[str] = field(default_factory=Counter)
    broken: Counter[int] = field(default_factory=Counter)
    marks: Counter[str] = field(default_factory=Counter)
    versions: Counter[int] = field(default_factory=Counter)
    unknown_fields: Counter[str] = field(default_factory=Counter)
    hours: set[datetime] = field(default_factory=set)
    refused_bytes: int = 0
    last_offsets: dict[str, int] = field(default_factory=dict)
    newest_kafka_timestamp: datetime | None = None

    @property
    def rows_in(self) -> int:
        """Rows of the batch, once its suspects have been decided."""
        return self.states[ACCEPTED] + self.states[REFUSED]

    @property
    def readable(self) -> int:
        """Rows that were judged by rules."""
        return self.broken.total()

    def breaking(self, bits: int) -> int:
        """Readable rows that break at least one of the rules whose bits are set."""
        return sum(count for broken, count in self.broken.items() if broken & bits)

    def add_moment(self, microseconds: int | None) -> None:
        """Adds a Kafka timestamp, kept within the times that Python knows."""
        if microseconds is not None:
            moment = datetime.fromtimestamp(max(0.0, min(microseconds / 1e6, LAST_HOUR.timestamp())), timezone.utc)
            self.newest_kafka_timestamp = max(moment, self.newest_kafka_timestamp or moment)


def count_rows(flagged: DataFrame, reader: Reader, tally: Tally) -> None:
    """Adds the rows of a flagged frame to the tally; runs the frame's pass."""
    accepted_hour = F.when(F.col("state") == ACCEPTED, hour_of("event_time")).alias("hour")
    counted = flagged.groupBy(*_GROUPED, accepted_hour).agg(
        F.count("*").alias("rows"),
        F.sum(F.expr(_RAW_BYTES)).alias("bytes"),
        F.max("offset").alias("last_offset"),
        F.max(F.unix_micros("kafka_timestamp")).alias("newest"),
    )
    for row in counted.collect():
        tally.states[row["state"]] += row["rows"]
        _add_position(row, tally)
        if row["state"] != SUSPECT:
            _add_row(row, reader, tally)


def count_unknown_fields(decided: DataFrame, tally: Tally) -> None:
    """Adds how many events have each field that no version knows; at most MAX_UNKNOWN_FIELDS names."""
    names = decided.select(F.explode("unknown_fields").alias("name")).groupBy(F.substring("name", 1, 64).alias("name"))
    for row in names.count().take(MAX_UNKNOWN_FIELDS):
        tally.unknown_fields[row["name"]] += row["count"]


def _add_position(row: Row, tally: Tally) -> None:
    stream = f"{row['topic']}:{row['topic_generation']}:{row['partition']}"
    tally.last_offsets[stream] = max(row["last_offset"], tally.last_offsets.get(stream, -1))
    tally.add_moment(row["newest"])


def _add_row(row: Row, reader: Reader, tally: Tally) -> None:
    if row["state"] == REFUSED:
        tally.refused_bytes += row["bytes"]
    if row["hour"] is not None:
        tally.hours.add(moment_of(row["hour"]))
    if row["stage"] == PARSING:
        tally.unreadable[row["error_code"]] += row["rows"]
        return
    tally.broken[row["broken_rules"]] += row["rows"]
    tally.versions[row["schema_version"]] += row["rows"]
    for name in named_bits(row["marks"], [mark.name for mark in reader.marks]):
        tally.marks[name] += row["rows"]

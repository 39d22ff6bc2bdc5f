"""What the pass over a silver micro-batch counts: rows by state, broken rules, and the hours it touches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from sluice.schemas import UNREADABLE_CODES
from sluice.transforms.hours import LAST_HOUR
from sluice.transforms.judge import RowRule, broken_names
from sluice.transforms.silver import ACCEPTED, REFUSED

MAX_UNKNOWN_FIELDS = 100


@dataclass
class Tally:
    """Counts of one micro-batch.

    Attributes:
        states: rows by state; a suspect is counted again under what it was decided to be.
        rules: rows by broken rule, by error code of unreadable ones, and `unknown_field:NAME`.
        hours: starts of the UTC hours that accepted events fall into.
    """

    states: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    hours: set[datetime] = field(default_factory=set)

    @property
    def rows_in(self) -> int:
        """Rows of the batch, once its suspects have been decided."""
        return self.states[ACCEPTED] + self.states[REFUSED]


def count_rows(flagged: DataFrame, rules: Sequence[RowRule], tally: Tally) -> None:
    """Adds the rows of a flagged frame to the tally; runs the frame's pass."""
    # Spark's times go beyond Python's; a record stamped so late by a broker must not stop the query.
    hour = F.least(F.unix_seconds(F.date_trunc("hour", "event_time")), F.lit(int(LAST_HOUR.timestamp())))
    accepted_hour = F.when(F.col("state") == ACCEPTED, hour).alias("hour")
    for row in flagged.groupBy("state", "error_code", "broken_rules", accepted_hour).count().collect():
        tally.states[row["state"]] += row["count"]
        if row["state"] in (ACCEPTED, REFUSED):
            _add(row, rules, tally)


def count_unknown_fields(decided: DataFrame, tally: Tally) -> None:
    """Adds how many events have each field that no version knows; at most MAX_UNKNOWN_FIELDS names."""
    names = decided.select(F.explode("unknown_fields").alias("name")).groupBy(F.substring("name", 1, 64).alias("name"))
    for row in names.count().take(MAX_UNKNOWN_FIELDS):
        tally.rules[f"unknown_field:{row['name']}"] += row["count"]


def _add(row: Row, rules: Sequence[RowRule], tally: Tally) -> None:
    for name in broken_names(row["broken_rules"], rules):
        tally.rules[name] += row["count"]
    if row["error_code"] in UNREADABLE_CODES and not row["broken_rules"]:
        tally.rules[row["error_code"]] += row["count"]
    if row["hour"] is not None:
        tally.hours.add(datetime.fromtimestamp(row["hour"], timezone.utc))

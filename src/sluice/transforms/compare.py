"""The same records under two suites: what each row was decided to be, and what another suite makes of it."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from sluice.schemas import COORDINATES
from sluice.transforms.hours import readable
from sluice.transforms.judge import (
    JUDGED_TYPES,
    RowRule,
    judge_events,
    quality_flag,
    refusing_code,
    with_judged_columns,
)
from sluice.transforms.parse import EVENT_COLUMNS
from sluice.transforms.records import RECORD_COLUMNS
from sluice.transforms.silver import ACCEPTED, PARSING, REFUSED, SUSPECT, Reader, decide_doubtful

# Which promotion (an index) took which records of a stream: those with after < offset <= upto.
SPANS_DDL = "promotion INT, topic STRING, topic_generation INT, partition INT, after BIGINT, upto BIGINT"
_STREAM = COORDINATES[:3]
_RECORD = tuple(name for name in RECORD_COLUMNS if name != "raw")
# What one row was decided to be, and what the other suite makes of it.
COMPARED_COLUMNS = (
    "unreadable_code",
    "schema_version",
    *("state_then", "flag_then", "broken_then"),
    *("state_now", "flag_now", "broken_now", "marks_now"),
)


def decide_all(flagged: DataFrame, reader: Reader) -> DataFrame:
    """The rows of `flag_records` with its suspects decided: each accepted or refused; FLAGGED_COLUMNS.

    Args:
        flagged: persisted, else Spark parses twice.
    """
    return flagged.where(F.col("state") != SUSPECT).unionAll(decide_doubtful(flagged, reader))


def judge_again(decided: DataFrame, rules_then: Sequence[RowRule], reader: Reader) -> DataFrame:
    """Each decided row with what the suite of `reader` makes of it; nothing is parsed again, no row leaves.

    Args:
        decided: FLAGGED_COLUMNS, no suspects.
        rules_then: those that `broken_rules` is about.
        reader: of the same contract and registry as the one that decided.

    Returns:
        COORDINATES, `kafka_timestamp` and COMPARED_COLUMNS. A row that cannot be read stays refused under any suite
        and has `unreadable_code`; flags are null in refused rows.
    """
    unreadable = F.coalesce(F.col("stage") == PARSING, F.lit(False))
    then = decided.select(
        *_RECORD,
        *EVENT_COLUMNS,
        F.when(unreadable, F.col("error_code")).alias("unreadable_code"),
        F.col("state").alias("state_then"),
        F.when(F.col("state") == ACCEPTED, quality_flag(rules_then)).alias("flag_then"),
        F.col("broken_rules").alias("broken_then"),
    )
    readable = F.col("unreadable_code").isNull()
    refused = ~readable | refusing_code(reader.rules).isNotNull()
    judged = _judge(then, reader).withColumns(
        {
            "state_now": F.when(refused, REFUSED).otherwise(ACCEPTED),
            "flag_now": F.when(~refused, quality_flag(reader.rules)),
            "broken_now": F.when(readable, F.col("broken_rules")).otherwise(F.lit(0)),
            "marks_now": F.when(readable, F.col("marks")).otherwise(F.lit(0)),
        }
    )
    return judged.select(*COORDINATES, "kafka_timestamp", *COMPARED_COLUMNS)


def _judge(then: DataFrame, reader: Reader) -> DataFrame:
    if not reader.judges_together:
        return judge_events(then, reader.registry, reader.rules, reader.marks)
    # A rule that compares rows with each other must not see those that are no events.
    readable = F.col("unreadable_code").isNull()
    judged = judge_events(then.where(readable), reader.registry, reader.rules, reader.marks)
    return judged.unionByName(judge_events(then.where(~readable), reader.registry, (), ()))


def with_promotion(judged: DataFrame, spans: DataFrame) -> DataFrame:
    """The rows that lie in a span, with its `promotion`; the others leave.

    Args:
        spans: columns of SPANS_DDL; those of one stream do not overlap.
    """
    joined = judged.join(F.broadcast(spans), on=list(_STREAM), how="inner")
    return joined.where((F.col("offset") > F.col("after")) & (F.col("offset") <= F.col("upto")))


def count_decisions(judged: DataFrame, *by: str) -> DataFrame:
    """How many rows share everything that `judge_again` says of them: `by`, COMPARED_COLUMNS, `rows`, `newest`.

    `newest` is their greatest Kafka timestamp in microseconds.
    """
    newest = F.max(F.unix_micros("kafka_timestamp")).alias("newest")
    return judged.groupBy(*by, *COMPARED_COLUMNS).agg(F.count("*").alias("rows"), newest)


def show_judged(decided: DataFrame, reader: Reader, columns: Sequence[str]) -> DataFrame:
    """Each decided row with the values that its rules saw.

    Args:
        decided: FLAGGED_COLUMNS under `reader`, no suspects.
        columns: of JUDGED_COLUMNS.

    Returns:
        COORDINATES, `state`, `error_code`, `error_detail`, `broken_rules`, `quality_flag` (null if refused) and
        `seen`, a struct of `columns`, `readable`.
    """
    flag = F.when(F.col("state") == ACCEPTED, quality_flag(reader.rules)).alias("flag")
    said = ("state", "error_code", "error_detail", "broken_rules")
    kept = decided.select(*_RECORD, *EVENT_COLUMNS, *said, flag)
    seen = F.struct(*(readable({name: JUDGED_TYPES[name] for name in columns or COORDINATES}))).alias("seen")
    shown = with_judged_columns(kept, reader.registry)
    return shown.select(*COORDINATES, *said, F.col("flag").alias("quality_flag"), seen)

"""What another suite would do with single records: read from bronze and judged alone; changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from sluice.pipelines.kept import kept_in_memory
from sluice.pipelines.reader import open_reader
from sluice.pipelines.rulebook import Rulebook, load_rulebook, with_candidate
from sluice.schemas import BRONZE_EVENTS, COORDINATES
from sluice.serving.records import Coordinates
from sluice.session import open_session
from sluice.settings import Settings
from sluice.tables.delta import read_table
from sluice.tables.lake import Lake
from sluice.transforms.compare import decide_all, show_judged
from sluice.transforms.hours import read_value
from sluice.transforms.judge import named_bits
from sluice.transforms.records import as_records
from sluice.transforms.silver import flag_records

_LAYER = "silver"
_COORDINATES_DDL = "topic STRING, topic_generation INT, partition INT, offset BIGINT"


@dataclass(frozen=True)
class JudgedRecord:
    """What a suite makes of one record.

    Attributes:
        state: accepted or refused; whether it is a copy of another is not asked.
        quality_flag: None if it is refused.
        error_code, error_detail: None if it is accepted.
        broken_rules: of each `rule_id`, `severity`, `type`, `kwargs` and the `values` it saw; in the suite's order.
    """

    coordinates: str
    state: str
    quality_flag: str | None
    error_code: str | None
    error_detail: str | None
    broken_rules: tuple[Mapping[str, Any], ...]


def judge_records(settings: Settings, suite: Path, coordinates: Sequence[Coordinates]) -> list[JudgedRecord]:
    """What a suite makes of records, under the contract and registry in force; starts Spark, once it is needed.

    A rule that compares the rows of a batch sees these records only.

    Raises:
        SuiteInvalid: it would not be applied whole; names file and rule.
    """
    rulebook = with_candidate(load_rulebook(settings, _LAYER), suite, _LAYER)
    if not coordinates:
        return []
    spark = open_session(settings, "sluice trace")
    try:
        return judge_in(spark, settings, rulebook, coordinates)
    finally:
        spark.stop()


def judge_in(
    spark: SparkSession, settings: Settings, rulebook: Rulebook, coordinates: Sequence[Coordinates]
) -> list[JudgedRecord]:
    """As `judge_records`, in a session that is there; in the order of the coordinates, without those not in bronze."""
    rules, reader = open_reader(spark, settings, rulebook)
    columns = sorted({name for names in rules.sample_columns.values() for name in names})
    with kept_in_memory() as keeper:
        flagged = keeper.settle(flag_records(as_records(_at(spark, settings, coordinates)), reader))
        rows = show_judged(decide_all(flagged, reader), reader, columns).collect()
    judged = {each.coordinates: each for each in (_judged(row, rulebook, rules.sample_columns) for row in rows)}
    return [judged[str(each)] for each in coordinates if str(each) in judged]


def _at(spark: SparkSession, settings: Settings, coordinates: Sequence[Coordinates]) -> DataFrame:
    events = read_table(spark, Lake(settings.lake.path), BRONZE_EVENTS)
    # These prune files; the join then decides.
    partitions, offsets = {each.partition for each in coordinates}, {each.offset for each in coordinates}
    near = events.where(F.col("partition").isin(partitions) & F.col("offset").isin(offsets))
    wanted = spark.createDataFrame([tuple(each) for each in coordinates], _COORDINATES_DDL)
    return near.join(F.broadcast(wanted), on=list(COORDINATES), how="left_semi")


def _judged(row: Row, rulebook: Rulebook, columns: Mapping[str, Sequence[str]]) -> JudgedRecord:
    rules = rulebook.suite.row_rules
    names = named_bits(row["broken_rules"] or 0, [rule.rule_id for rule in rules])
    broken = [
        {
            "rule_id": rule.rule_id,
            "severity": rule.severity,
            "type": rule.type,
            "kwargs": dict(rule.kwargs),
            "values": {name: read_value(row["seen"], name) for name in columns[rule.rule_id]},
        }
        for rule in rules
        if rule.rule_id in names
    ]
    at = Coordinates(*(row[name] for name in COORDINATES))
    said = (row["state"], row["quality_flag"], row["error_code"], row["error_detail"])
    return JudgedRecord(str(at), *said, tuple(broken))

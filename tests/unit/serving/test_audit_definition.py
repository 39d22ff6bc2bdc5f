"""Gold's definition stands in the pipelines in Spark and in the audit in SQL: both say the same of odd readings."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from sluice.schemas import GOLD_LATEST_READINGS, GOLD_READINGS_1MIN, METRICS, SILVER_READINGS, range_rules
from sluice.testing import rows_of, utc
from sluice.transforms.gold import READ_COLUMNS, aggregate_minutes, complete_minutes, latest_readings

from .audit_lake import audited, change, gold_promotion, problems, silver_promotion
from .lake_builder import append, bronze, build_lake

ROWS = 1500
VALUES = (0.0, -0.0, 0.1, 0.2, 0.3, 1e-300, -1e150, 1e150, 1.7e308, 1013.25, 20.0, 20.0 + 1e-9)
RULES = [rule for metric in (*METRICS, "value") for rule in range_rules(metric)]
OTHERS = ("power_watt", "value", "temperature_celsius", "pressure_hpa", "µ")
FIRST = utc(2024, 3, 1, 23, 50)


def odd_readings(chance: random.Random) -> list[dict[str, Any]]:
    """Readings of a few devices around a midnight, some at one time; measurements and reading events."""
    rows = []
    for offset in range(ROWS):
        seconds = chance.choice([0, 59.999999, chance.uniform(0, 60), 1800.5])
        event_time = FIRST + timedelta(minutes=chance.randrange(20), seconds=seconds)
        row: dict[str, Any] = {"offset": offset, "event_id": f"e{offset}", "event_time": event_time}
        row |= {"device_id": f"d{chance.randrange(4)}", "event_date": event_time.date(), "promotion_id": "silver-g-0"}
        if chance.random() < 0.3:
            row |= {"metric": chance.choice(OTHERS), "value": chance.choice(VALUES)}
        else:
            row |= {name: chance.choice(VALUES) for name in METRICS if chance.random() < 0.7}
        if chance.random() < 0.4:
            row |= {"quality_flag": chance.choice(["out_of_range", "suspect"]), "failed_rules": chance.sample(RULES, 2)}
        rows.append(row)
    return rows


def in_utc(rows: list[Row]) -> list[dict[str, Any]]:
    return [
        {
            name: value.replace(tzinfo=timezone.utc) if isinstance(value, datetime) else value
            for name, value in row.asDict().items()
        }
        for row in rows
    ]


def gold_of(readings: DataFrame) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Minutes and latest readings as the pipelines compute them."""
    registry = readings.sparkSession.createDataFrame(
        [("d0", 5.0), ("d1", 70.0)], "device_id string, expected_interval_seconds double"
    )
    minutes = complete_minutes(aggregate_minutes(readings.select(*READ_COLUMNS)), registry, {"power_watt": "W"})
    dated = minutes.withColumn("updated_at", F.lit(FIRST)).select(*GOLD_READINGS_1MIN.column_names)
    return in_utc(dated.collect()), in_utc(latest_readings(readings, registry).collect())


def test_the_audit_and_the_pipelines_have_one_definition_of_gold(spark: SparkSession, tmp_path: Path) -> None:
    rows = odd_readings(random.Random(7))
    minutes, latest = gold_of(rows_of(spark, SILVER_READINGS, rows))
    common = {"topic": "iot.raw", "topic_generation": 1, "partition": 0, "quality_flag": "valid", "failed_rules": []}
    lake = build_lake(
        tmp_path,
        {
            "bronze.events": [bronze(offset) for offset in range(ROWS)],
            "silver.readings": [{**common, **row} for row in rows],
            **{name: [] for name in ("silver.quarantine", "silver.duplicates", "silver.held", "gold.held")},
            "ops.silver_promotions": [silver_promotion(0, {"0": ROWS - 1}, promoted=ROWS)],
            GOLD_READINGS_1MIN.full_name: minutes,
            GOLD_LATEST_READINGS.full_name: latest,
            "ops.gold_promotions": [gold_promotion(0, 0, 0, len(minutes))],
        },
    )
    found = audited(lake)
    assert problems(found) == {}
    counts = {check.name: check.outcome.counts for check in found.checks}
    assert (counts["gold.minutes"]["minutes"], counts["gold.latest"]["latest"]) == (len(minutes), len(latest))
    assert len(minutes) > 300

    append(lake, "gold.latest_readings", [{"device_id": "d9", "metric": "value", "value": 1.0}])
    change(lake, "gold.readings_1min", "value_max > 1e200", value_stddev="1.0")
    assert set(problems(audited(lake))) == {"gold.latest"}

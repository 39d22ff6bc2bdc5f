"""What other programs read is pinned here: a change of these tests is a change of a contract."""

from __future__ import annotations

import re

import pytest

from sluice import schemas
from sluice.schemas import LAYER_TABLES, TABLES, Table

# DESIGN, "Tables"; each as its columns in order.
CONTRACT = {
    "bronze.events": "topic topic_generation partition offset kafka_timestamp ingested_at ingest_date headers "
    "key value",
    "silver.readings": "event_id device_id event_time schema_version temperature_celsius humidity_percent pressure_hpa "
    "battery_percent latitude longitude status firmware metric value customer site quality_flag failed_rules topic "
    "topic_generation partition offset kafka_timestamp ingested_at promoted_at promotion_id event_date",
    "silver.quarantine": "topic topic_generation partition offset kafka_timestamp device_id stage error_code "
    "error_detail failed_rules promotion_id first_seen_at last_seen_at attempts status headers key value",
    "silver.duplicates": "topic topic_generation partition offset device_id event_time event_id kept_topic "
    "kept_topic_generation kept_partition kept_offset promotion_id",
    "silver.held": "topic topic_generation partition offset kafka_timestamp ingested_at ingest_date headers key value "
    "promotion_id status",
    "gold.readings_1min": "bucket device_id metric unit reading_count value_mean value_min value_max value_stddev "
    "out_of_range_count expected_count completeness_percent updated_at bucket_date",
    "gold.held": "bucket device_id metric unit reading_count value_mean value_min value_max value_stddev "
    "out_of_range_count expected_count completeness_percent failed_rules promotion_id status",
    "gold.latest_readings": "device_id metric value event_time quality_flag expected_interval_seconds",
    "gold.quality_scores": "day customer device_id completeness validity uniqueness timeliness consistency score band "
    "received readings expected quarantined out_of_range duplicates judged late inconsistent updated_at",
    "gold.readings_1hour": "bucket device_id metric unit reading_count value_mean value_min value_max value_stddev "
    "out_of_range_count expected_count completeness_percent value_p50 value_p95 minutes_with_readings missing_minutes "
    "alert_count updated_at bucket_date",
    "gold.devices": "device_id metric customer site latitude longitude expected_interval_seconds unit min max "
    "valid_from valid_to registry_hash",
    "ops.silver_promotions": "promotion_id layer kind parent_promotion_id batch_id from_version to_version offsets "
    "suite suite_hash contract_hash registry_hash rows_in rows_promoted rows_quarantined rows_duplicate rows_held "
    "rule_counts verdict score breaker_state docs_page decided_by why gate_seconds total_seconds decided_at",
    "ops.configs": "kind hash text first_used_at",
    "ops.floors": "table range since before by why at",
}
CONTRACT["gold.readings_1day"] = CONTRACT["gold.readings_1hour"]
CONTRACT["ops.gold_promotions"] = CONTRACT["ops.silver_promotions"]
PARTITIONS = {
    "bronze.events": "ingest_date",
    "silver.readings": "event_date",
    "gold.readings_1min": "bucket_date",
    "gold.readings_1hour": "bucket_date",
    "gold.readings_1day": "bucket_date",
    "gold.quality_scores": "day",
}


@pytest.mark.parametrize("name", CONTRACT)
def test_a_table_has_the_columns_of_its_contract(name: str) -> None:
    (table,) = [each for each in TABLES if each.full_name == name]
    assert table.column_names == tuple(CONTRACT[name].split())
    assert table.partition_by == PARTITIONS.get(name, "")


@pytest.mark.parametrize("table", TABLES, ids=[table.full_name for table in TABLES])
def test_every_table_has_its_folder_and_columns_that_need_no_quoting(table: Table) -> None:
    assert table.relative_path == table.full_name.replace(".", "/")
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in table.column_names)
    assert set(table.statistics) <= set(table.column_names)
    # Long raw bytes cost statistics and come last.
    raw = [name for name in ("headers", "key", "value") if ("value", "binary") in table.columns]
    assert not set(raw) & set(table.statistics)


def test_coordinates_are_the_same_in_every_table_that_has_them() -> None:
    kinds = {table.full_name: dict(table.columns) for table in TABLES}
    bronze = {name: kinds["bronze.events"][name] for name in schemas.COORDINATES}
    assert bronze == {"topic": "string", "topic_generation": "int", "partition": "int", "offset": "bigint"}
    for columns in kinds.values():
        if "partition" in columns:
            assert {name: columns[name] for name in schemas.COORDINATES} == bronze


def test_each_table_has_one_owner() -> None:
    owned = [table.full_name for tables in LAYER_TABLES.values() for table in tables]
    assert sorted(owned) == sorted(set(owned))
    assert tuple(LAYER_TABLES) == schemas.LAYERS == ("bronze", "silver", "gold")


def test_error_codes_are_those_of_the_contract_in_the_order_of_decision() -> None:
    assert " ".join(schemas.ERROR_CODES) == (
        "EMPTY_MESSAGE TOO_LARGE TOO_DEEP NOT_UTF8 NOT_JSON NOT_OBJECT DUPLICATE_FIELD UNKNOWN_VERSION "
        "AMBIGUOUS_VERSION MISSING_FIELD WRONG_TYPE NO_METRIC BAD_ID BAD_TIME TIME_WITHOUT_OFFSET TIME_OUT_OF_RANGE "
        "RULE_FAILED DUPLICATE_CONFLICT"
    )
    assert all(getattr(schemas, code) == code for code in schemas.ERROR_CODES)
    assert set(schemas.ERROR_CODES) - set(schemas.UNREADABLE_CODES) == {"RULE_FAILED", "DUPLICATE_CONFLICT"}


def test_flags_and_verdicts_are_those_of_the_contract() -> None:
    assert schemas.QUALITY_FLAGS == ("out_of_range", "suspect", "unknown_device", "valid")
    assert schemas.VERDICTS == ("PROMOTE", "PROMOTE_WITH_WARNINGS", "HOLD", "EMPTY", "ERROR")
    assert schemas.METRICS == ("temperature_celsius", "humidity_percent", "pressure_hpa", "battery_percent")
    assert schemas.ACCEPTED_SECONDS_AHEAD == 300


def test_event_key_and_compared_values_are_columns_of_readings() -> None:
    assert schemas.EVENT_KEY == ("device_id", "event_time", "event_id")
    assert set(schemas.CANONICAL_VALUES) | set(schemas.EVENT_KEY) <= set(schemas.SILVER_READINGS.column_names)
    assert set(schemas.METRICS) | {schemas.READING_METRIC} <= set(schemas.CANONICAL_VALUES)

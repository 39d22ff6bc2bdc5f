"""The SQL for TimescaleDB as text: the extension itself has not run it here."""

from __future__ import annotations

from sluice.serving.publish.timescale import timescale_statements


def test_the_minutes_become_a_hypertable_with_compression_and_retention() -> None:
    assert timescale_statements('"sluice"', 7, 30, 365) == [
        "SELECT create_hypertable('\"sluice\".\"readings_1min\"', 'bucket', chunk_time_interval => INTERVAL '7 days', "
        "if_not_exists => true, migrate_data => true)",
        "SELECT set_chunk_time_interval('\"sluice\".\"readings_1min\"', INTERVAL '7 days')",
        'SELECT remove_compression_policy(\'"sluice"."readings_1min"\', if_exists => true)',
        'SELECT remove_retention_policy(\'"sluice"."readings_1min"\', if_exists => true)',
        'ALTER TABLE "sluice"."readings_1min" SET (timescaledb.compress, '
        "timescaledb.compress_segmentby = 'device_id, metric', timescaledb.compress_orderby = 'bucket DESC')",
        "SELECT add_compression_policy('\"sluice\".\"readings_1min\"', INTERVAL '30 days')",
        "SELECT add_retention_policy('\"sluice\".\"readings_1min\"', INTERVAL '365 days')",
    ]


def test_a_setting_that_is_null_takes_its_policy_away() -> None:
    statements = timescale_statements("s", 1, None, None)
    assert [text.split("(")[0] for text in statements] == [
        "SELECT create_hypertable",
        "SELECT set_chunk_time_interval",
        "SELECT remove_compression_policy",
        "SELECT remove_retention_policy",
    ]

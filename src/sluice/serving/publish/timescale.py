"""The SQL that makes the minutes a hypertable of TimescaleDB 2, with retention and compression. Pure."""

from __future__ import annotations

from sluice.serving.publish.tables import READINGS_1MIN


def timescale_statements(
    schema: str, chunk_days: int, compress_after_days: int | None, retention_days: int | None
) -> list[str]:
    """The statements in order; run again, with the same settings or others, they end in what the settings say.

    Args:
        schema: that holds the table.
        chunk_days: the span of one chunk; a change counts for new chunks.
        compress_after_days: None takes a policy away; what is compressed stays so.
        retention_days: None likewise.
    """
    table = f'{schema}."{READINGS_1MIN.name}"'
    named = f"'{table}'"
    statements = [
        f"SELECT create_hypertable({named}, 'bucket', chunk_time_interval => INTERVAL '{chunk_days} days', "
        "if_not_exists => true, migrate_data => true)",
        f"SELECT set_chunk_time_interval({named}, INTERVAL '{chunk_days} days')",
        # Policies are not changed by being added again.
        f"SELECT remove_compression_policy({named}, if_exists => true)",
        f"SELECT remove_retention_policy({named}, if_exists => true)",
    ]
    if compress_after_days is not None:
        statements += [
            f"ALTER TABLE {table} SET (timescaledb.compress, timescaledb.compress_segmentby = 'device_id, metric', "
            "timescaledb.compress_orderby = 'bucket DESC')",
            f"SELECT add_compression_policy({named}, INTERVAL '{compress_after_days} days')",
        ]
    if retention_days is not None:
        statements.append(f"SELECT add_retention_policy({named}, INTERVAL '{retention_days} days')")
    return statements

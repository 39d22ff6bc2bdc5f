"""The views of an operational store, as SELECT statements of both dialects. Pure."""

from __future__ import annotations

from sluice.serving.presence import GRACE_SECONDS, ONLINE_WITHIN_INTERVALS

_LATEST = """\
SELECT l.device_id, d.customer, d.site, l.metric, d.unit, l.value, l.event_time, l.quality_flag,
    l.expected_interval_seconds, {since} AS seconds_since,
    {since} <= {intervals} * l.expected_interval_seconds + {grace} AS online
FROM {prefix}"readings_latest" l
LEFT JOIN {prefix}"devices" d ON d.device_id = l.device_id AND d.metric = l.metric AND d.valid_from = (
    SELECT max(c.valid_from) FROM {prefix}"devices" c
    WHERE c.device_id = l.device_id AND c.metric = l.metric AND c.valid_to IS NULL)"""

_HOURLY = """\
SELECT {hour} AS bucket, device_id, metric, max(unit) AS unit, count(*) AS minutes,
    CAST(sum(reading_count) AS bigint) AS reading_count,
    sum(value_mean * reading_count) / sum(reading_count) AS value_mean,
    min(value_min) AS value_min, max(value_max) AS value_max,
    CAST(sum(out_of_range_count) AS bigint) AS out_of_range_count
FROM {prefix}"readings_1min"
GROUP BY {hour}, device_id, metric"""


def postgres_views(prefix: str) -> dict[str, str]:
    """Each view's SELECT for PostgreSQL, by name.

    Args:
        prefix: the schema with its dot.
    """
    return _views(
        prefix, "extract(epoch FROM now() - l.event_time)::double precision", "date_trunc('hour', bucket, 'UTC')"
    )


def sqlite_views() -> dict[str, str]:
    """Each view's SELECT for SQLite, by name."""
    since = "round((julianday('now') - julianday(l.event_time)) * 86400.0, 3)"
    return _views("", since, "substr(bucket, 1, 13) || ':00:00.000000Z'")


def _views(prefix: str, since: str, hour: str) -> dict[str, str]:
    return {
        "latest_readings": _LATEST.format(
            prefix=prefix, since=since, intervals=ONLINE_WITHIN_INTERVALS, grace=GRACE_SECONDS
        ),
        "hourly_aggregates": _HOURLY.format(prefix=prefix, hour=hour),
    }

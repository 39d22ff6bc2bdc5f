-- title: Completeness per device and hour
-- about: Values that came against those expected, per hour, device and metric; hours without any are listed with 0.
-- param device_id text default null: one device only
-- param metric text default null: one metric only
-- param hours integer default 24: how many hours back from the end
-- param until timestamp default null: the end, not included; null is the end of the newest minute
--
-- Of registered devices with at least one value in that time. Nothing is expected of an hour's minutes after the end.
WITH bounds AS (
    -- Before the lake's first minute nothing is missing.
    SELECT
        coalesce($until, max(bucket) + INTERVAL 1 MINUTE) AS ends_at,
        greatest(
            date_trunc('hour', coalesce($until::TIMESTAMPTZ - INTERVAL 1 MICROSECOND, max(bucket))) - to_hours($hours - 1),
            date_trunc('hour', min(bucket))
        ) AS starts_at
    FROM gold.readings_1min
),
minutes AS (
    SELECT date_trunc('hour', bucket) AS hour, device_id, metric, reading_count, expected_count
    FROM gold.readings_1min, bounds
    WHERE bucket >= starts_at
        AND bucket < ends_at
        AND expected_count IS NOT NULL
        AND ($device_id IS NULL OR device_id = $device_id)
        AND ($metric IS NULL OR metric = $metric)
),
hours AS (
    SELECT unnest(range(starts_at, ends_at, INTERVAL 1 HOUR)) AS hour, ends_at FROM bounds
),
series AS (
    SELECT device_id, metric, avg(expected_count) AS expected_per_minute FROM minutes GROUP BY device_id, metric
),
counted AS (
    SELECT hour, device_id, metric, sum(reading_count)::BIGINT AS readings, avg(expected_count) AS expected_per_minute
    FROM minutes
    GROUP BY hour, device_id, metric
),
expected AS (
    SELECT
        hours.hour,
        series.device_id,
        series.metric,
        coalesce(counted.readings, 0) AS readings,
        coalesce(counted.expected_per_minute, series.expected_per_minute)
            * least(60, (epoch_us(hours.ends_at) - epoch_us(hours.hour)) / 60000000) AS expected
    FROM hours
    CROSS JOIN series
    LEFT JOIN counted USING (hour, device_id, metric)
)
SELECT hour, device_id, metric, readings, expected, least(100, 100.0 * readings / expected) AS completeness_percent
FROM expected
ORDER BY hour, device_id, metric

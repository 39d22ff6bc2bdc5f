-- title: Percentiles of the minutes of a device
-- about: The exact p50 and p95 of one device's metric per minute, from the readings that the minute counts, oldest first.
-- param metric text default 'temperature_celsius': the metric
-- param device_id text default 'sensor-0001': the device
-- param since timestamp default null: the first minute
-- param until timestamp default null: the end, not included
--
-- A percentile is a value that was measured: the smallest that at least 50 % (95 %) of the minute's readings do not
-- exceed, as in the tables of hours and days. Null where silver has other readings of the minute than gold has counted:
-- gold is behind, or a newer version of the minute waits for a decision.
WITH minutes AS (
    SELECT bucket, unit, reading_count, value_min, value_max
    FROM gold.readings_1min
    WHERE device_id = $device_id
        AND metric = $metric
        AND ($since IS NULL OR bucket >= $since)
        AND ($until IS NULL OR bucket < $until)
),
measured AS (
    SELECT
        date_trunc('minute', event_time) AS bucket,
        coalesce(
            CASE $metric
                WHEN 'temperature_celsius' THEN temperature_celsius
                WHEN 'humidity_percent' THEN humidity_percent
                WHEN 'pressure_hpa' THEN pressure_hpa
                WHEN 'battery_percent' THEN battery_percent
            END,
            -- The value of a reading event is of the metric named beside it.
            CASE WHEN metric = $metric THEN value END
        ) AS measured_value
    FROM silver.readings
    WHERE device_id = $device_id
        -- Days, because silver is kept by days: others are not opened. A minute may end after $until.
        AND ($since IS NULL OR event_date >= CAST($since AS DATE))
        AND ($until IS NULL OR event_date <= CAST($until AS DATE))
),
ranked AS (
    SELECT
        bucket,
        count(measured_value) AS reading_count,
        quantile_disc(measured_value, 0.5) AS value_p50,
        quantile_disc(measured_value, 0.95) AS value_p95
    FROM measured
    GROUP BY bucket
)
SELECT
    bucket,
    unit,
    reading_count,
    value_min,
    value_p50,
    value_p95,
    value_max
FROM minutes
LEFT JOIN ranked USING (bucket, reading_count)
ORDER BY bucket

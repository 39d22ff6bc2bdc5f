-- title: Hours of a metric
-- about: Count, mean, minimum, maximum and standard deviation per hour and device, exactly from the minutes.
-- param metric text default 'temperature_celsius': the metric
-- param device_id text default null: one device only
-- param since timestamp default null: the first minute
-- param until timestamp default null: the end, not included
WITH minutes AS (
    SELECT
        *,
        date_trunc('hour', bucket) AS hour,
        -- The mean of the hour beside each of its minutes: deviations are taken from it, so nothing cancels out.
        sum(value_mean * reading_count) OVER whole / sum(reading_count) OVER whole AS hour_mean
    FROM gold.readings_1min
    WHERE metric = $metric
        AND ($device_id IS NULL OR device_id = $device_id)
        AND ($since IS NULL OR bucket >= $since)
        AND ($until IS NULL OR bucket < $until)
    WINDOW whole AS (PARTITION BY date_trunc('hour', bucket), device_id)
)
SELECT
    hour,
    device_id,
    any_value(unit) AS unit,
    count(*) AS minutes,
    sum(reading_count)::BIGINT AS reading_count,
    any_value(hour_mean) AS value_mean,
    min(value_min) AS value_min,
    max(value_max) AS value_max,
    sqrt(
        sum((reading_count - 1) * coalesce(value_stddev, 0) ** 2 + reading_count * (value_mean - hour_mean) ** 2)
        / nullif(sum(reading_count) - 1, 0)
    ) AS value_stddev,
    sum(out_of_range_count)::BIGINT AS out_of_range_count
FROM minutes
GROUP BY hour, device_id
ORDER BY hour, device_id

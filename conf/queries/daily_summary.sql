-- title: Daily summary
-- about: Per day and metric over all devices: devices, readings, mean, minimum, maximum, standard deviation, out of range.
-- param device_id text default null: one device only
-- param metric text default null: one metric only
-- param since timestamp default null: the first minute
-- param until timestamp default null: the end, not included
WITH minutes AS (
    SELECT
        *,
        CAST(bucket AS DATE) AS day,
        -- The mean of the day beside each of its minutes: deviations are taken from it, so nothing cancels out.
        sum(value_mean * reading_count) OVER whole / sum(reading_count) OVER whole AS day_mean
    FROM gold.readings_1min
    WHERE ($device_id IS NULL OR device_id = $device_id)
        AND ($metric IS NULL OR metric = $metric)
        AND ($since IS NULL OR bucket >= $since)
        AND ($until IS NULL OR bucket < $until)
    WINDOW whole AS (PARTITION BY CAST(bucket AS DATE), metric)
)
SELECT
    day,
    metric,
    any_value(unit) AS unit,
    count(DISTINCT device_id) AS devices,
    sum(reading_count)::BIGINT AS reading_count,
    any_value(day_mean) AS value_mean,
    min(value_min) AS value_min,
    max(value_max) AS value_max,
    sqrt(
        sum((reading_count - 1) * coalesce(value_stddev, 0) ** 2 + reading_count * (value_mean - day_mean) ** 2)
        / nullif(sum(reading_count) - 1, 0)
    ) AS value_stddev,
    sum(out_of_range_count)::BIGINT AS out_of_range_count
FROM minutes
GROUP BY day, metric
ORDER BY day, metric

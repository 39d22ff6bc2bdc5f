-- title: Latest readings
-- about: The newest value of every device and metric, and how old it is.
-- param device_id text default null: one device only
-- param metric text default null: one metric only
-- param at timestamp default null: the moment ages are counted from; null is now
SELECT
    device_id,
    metric,
    value,
    event_time,
    quality_flag,
    epoch(coalesce($at, now()) - event_time) AS seconds_since,
    expected_interval_seconds
FROM gold.latest_readings
WHERE ($device_id IS NULL OR device_id = $device_id)
    AND ($metric IS NULL OR metric = $metric)
ORDER BY device_id, metric

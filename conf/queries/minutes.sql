-- title: Minutes of a device
-- about: The 1-minute aggregates of one device and metric, oldest first.
-- param metric text default 'temperature_celsius': the metric
-- param device_id text default 'sensor-0001': the device
-- param since timestamp default null: the first minute
-- param until timestamp default null: the end, not included
SELECT
    bucket,
    unit,
    reading_count,
    value_mean,
    value_min,
    value_max,
    value_stddev,
    out_of_range_count,
    completeness_percent
FROM gold.readings_1min
WHERE device_id = $device_id
    AND metric = $metric
    AND ($since IS NULL OR bucket >= $since)
    AND ($until IS NULL OR bucket < $until)
ORDER BY bucket

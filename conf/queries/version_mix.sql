-- title: Version mix
-- about: How many events came in each schema version, from how many devices, and when it was last seen.
SELECT
    schema_version,
    count(*) AS events,
    round(100.0 * count(*) / sum(count(*)) OVER (), 3) AS share_percent,
    count(DISTINCT device_id) AS devices,
    min(event_time) AS first_event_time,
    max(event_time) AS last_event_time
FROM silver.readings
GROUP BY schema_version
ORDER BY schema_version

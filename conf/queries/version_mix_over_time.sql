-- title: Version mix over time
-- about: How many events came in each schema version per hour, day, week or month of their event time, and from how many devices.
-- param every text default 'day': hour, day, week or month
-- param since timestamp default null: the first event time
-- param until timestamp default null: the end, not included
WITH counted AS (
    SELECT
        CASE
            WHEN lower($every) IN ('hour', 'day', 'week', 'month') THEN date_trunc($every, event_time)::TIMESTAMPTZ
            ELSE error('every: give hour, day, week or month')
        END AS bucket,
        schema_version,
        count(*) AS events,
        count(DISTINCT device_id) AS devices
    FROM silver.readings
    WHERE ($since IS NULL OR event_time >= $since)
        AND ($until IS NULL OR event_time < $until)
    GROUP BY 1, 2
)
SELECT
    bucket,
    schema_version,
    events,
    round(100.0 * events / sum(events) OVER (PARTITION BY bucket), 3) AS share_percent,
    devices
FROM counted
ORDER BY bucket, schema_version

-- title: Late arrivals
-- about: How long after their event time readings reached Kafka, in classes, whatever counts as late.
-- param device_id text default null: one device only
-- param since timestamp default null: the first event time
-- param until timestamp default null: the end, not included
WITH delays AS (
    SELECT
        device_id,
        CAST(epoch_us(kafka_timestamp)::HUGEINT - epoch_us(event_time) AS DOUBLE) / 1000000 AS seconds
    FROM silver.readings
    WHERE ($device_id IS NULL OR device_id = $device_id)
        AND ($since IS NULL OR event_time >= $since)
        AND ($until IS NULL OR event_time < $until)
),
classes(class, delay) AS (
    VALUES
        (1, 'ahead of Kafka'),
        (2, 'under 10 s'),
        (3, '10 s to 1 min'),
        (4, '1 to 5 min'),
        (5, '5 min to 1 h'),
        (6, '1 to 24 h'),
        (7, 'a day and more')
),
counted AS (
    SELECT
        CASE
            WHEN seconds < 0 THEN 1
            WHEN seconds < 10 THEN 2
            WHEN seconds < 60 THEN 3
            WHEN seconds < 300 THEN 4
            WHEN seconds < 3600 THEN 5
            WHEN seconds < 86400 THEN 6
            ELSE 7
        END AS class,
        count(*) AS readings,
        count(DISTINCT device_id) AS devices,
        max(seconds) AS greatest_seconds
    FROM delays
    WHERE seconds IS NOT NULL
    GROUP BY class
)
SELECT
    delay,
    coalesce(readings, 0) AS readings,
    round(100.0 * coalesce(readings, 0) / nullif(sum(readings) OVER (), 0), 3) AS share_percent,
    coalesce(devices, 0) AS devices,
    greatest_seconds
FROM classes
LEFT JOIN counted USING (class)
ORDER BY class

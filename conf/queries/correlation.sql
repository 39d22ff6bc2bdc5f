-- title: Correlation of two metrics
-- about: Pearson's correlation of the minute means of two metrics per device, over minutes that have both.
-- param metric_a text default 'temperature_celsius': one metric
-- param metric_b text default 'humidity_percent': the other
-- param device_id text default null: one device only
-- param since timestamp default null: the first minute
-- param until timestamp default null: the end, not included
--
-- Null where there are fewer than two such minutes, or one of the two never changes.
WITH minutes AS (
    SELECT bucket, device_id, metric, value_mean
    FROM gold.readings_1min
    WHERE metric IN ($metric_a, $metric_b)
        AND ($device_id IS NULL OR device_id = $device_id)
        AND ($since IS NULL OR bucket >= $since)
        AND ($until IS NULL OR bucket < $until)
),
pairs AS (
    SELECT a.device_id, a.value_mean AS a, b.value_mean AS b
    FROM minutes AS a
    INNER JOIN minutes AS b USING (bucket, device_id)
    WHERE a.metric = $metric_a AND b.metric = $metric_b
),
scaled AS (
    -- Correlation does not depend on the scale, and squares of very large values would overflow.
    SELECT
        device_id,
        a / nullif(max(abs(a)) OVER own, 0) AS a,
        b / nullif(max(abs(b)) OVER own, 0) AS b
    FROM pairs
    WINDOW own AS (PARTITION BY device_id)
),
correlated AS (
    SELECT
        device_id,
        count(*) AS minutes,
        CASE WHEN min(a) < max(a) AND min(b) < max(b) THEN corr(a, b) END AS correlation
    FROM scaled
    GROUP BY device_id
)
SELECT device_id, minutes, correlation
FROM correlated
ORDER BY abs(correlation) DESC NULLS LAST, device_id

-- title: Robust anomalies
-- about: Minutes whose mean is far from the median of their device and metric, measured in median absolute deviations.
-- param metric text default null: one metric only
-- param device_id text default null: one device only
-- param threshold number default 3.5: the least absolute score that is shown
-- param since timestamp default null: the first minute
-- param until timestamp default null: the end, not included
--
-- The modified z-score of Iglewicz and Hoaglin (1993): 0.6745 * (mean - median) / MAD. Where more than half of the
-- minutes have the median itself, MAD is 0 and the mean absolute deviation takes its place; where all have, none is odd.
-- The means of minutes with equal readings differ by rounding, by up to about 1e-10 of their size: that is no deviation.
WITH minutes AS (
    SELECT bucket, device_id, metric, unit, value_mean
    FROM gold.readings_1min
    WHERE ($metric IS NULL OR metric = $metric)
        AND ($device_id IS NULL OR device_id = $device_id)
        AND ($since IS NULL OR bucket >= $since)
        AND ($until IS NULL OR bucket < $until)
),
middles AS (
    SELECT device_id, metric, median(value_mean) AS value_median FROM minutes GROUP BY device_id, metric
),
spreads AS (
    SELECT
        device_id,
        metric,
        any_value(value_median) AS value_median,
        median(abs(value_mean - value_median)) AS mad,
        avg(abs(value_mean - value_median)) AS mean_deviation
    FROM minutes
    INNER JOIN middles USING (device_id, metric)
    GROUP BY device_id, metric
),
scored AS (
    SELECT
        *,
        CASE
            WHEN mad > 1e-9 * abs(value_median) THEN 0.6745 * (value_mean - value_median) / mad
            WHEN mean_deviation > 1e-9 * abs(value_median) THEN (value_mean - value_median) / (1.253314 * mean_deviation)
        END AS score
    FROM minutes
    INNER JOIN spreads USING (device_id, metric)
)
SELECT bucket, device_id, metric, unit, value_mean, value_median, mad, score
FROM scored
WHERE abs(score) >= $threshold
ORDER BY abs(score) DESC, bucket, device_id, metric

-- title: The books
-- about: Per layer where every row went; a difference other than 0 must not be.
-- optional: silver.readings, silver.quarantine, silver.duplicates, silver.held, ops.silver_promotions, gold.readings_1min, gold.held
--
-- Silver counts Kafka records. Records that no promotion has read yet are pending.
-- Gold counts values: one per reading and metric. What it has not read yet shows as pending as long as it is not
-- negative, so its difference can only show values counted twice.
-- While a batch is being written the tables are not all at the same batch: ask again, or stop the jobs.
WITH silver AS (
    SELECT
        (SELECT count(*) FROM bronze.events) AS rows_in,
        (SELECT count(*) FROM silver.readings) AS promoted,
        (SELECT count(*) FROM silver.quarantine WHERE status IN ('open', 'discarded')) AS quarantined,
        (SELECT count(*) FROM silver.duplicates) AS duplicate,
        (SELECT count(*) FROM silver.held WHERE status IN ('open', 'rejected')) AS held,
        (SELECT coalesce(sum(rows_in), 0) FROM ops.silver_promotions WHERE kind = 'batch') AS decided
),
held_minutes AS (
    -- A refused minute leaves the row that was there before, so only what it would have added is missing.
    SELECT coalesce(sum(candidate.reading_count - coalesce(minute.reading_count, 0)), 0) AS missing
    FROM gold.held AS candidate
    LEFT JOIN gold.readings_1min AS minute USING (bucket, device_id, metric)
    WHERE candidate.status IN ('open', 'rejected')
),
gold AS (
    SELECT
        (
            SELECT
                count(temperature_celsius) + count(humidity_percent) + count(pressure_hpa)
                + count(battery_percent) + count(value)
            FROM silver.readings
        ) AS rows_in,
        (SELECT coalesce(sum(reading_count), 0) FROM gold.readings_1min) AS promoted,
        (SELECT missing FROM held_minutes) AS held
)
SELECT
    'silver' AS layer,
    rows_in,
    promoted,
    quarantined,
    duplicate,
    held,
    rows_in - decided AS pending,
    decided - promoted - quarantined - duplicate - held AS difference
FROM silver
UNION ALL
SELECT
    'gold',
    rows_in,
    promoted,
    0,
    0,
    held,
    greatest(rows_in - promoted - held, 0),
    least(rows_in - promoted - held, 0)
FROM gold

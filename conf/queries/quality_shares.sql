-- title: Shares of the quality flags
-- about: How many promoted readings are valid, out of range, suspect or of an unknown device.
WITH flags(quality_flag) AS (
    VALUES ('valid'), ('out_of_range'), ('suspect'), ('unknown_device')
),
counted AS (
    SELECT quality_flag, count(*) AS readings FROM silver.readings GROUP BY quality_flag
)
SELECT
    quality_flag,
    coalesce(readings, 0) AS readings,
    round(100.0 * coalesce(readings, 0) / nullif(sum(readings) OVER (), 0), 3) AS share_percent
FROM flags
FULL JOIN counted USING (quality_flag)
ORDER BY readings DESC, quality_flag

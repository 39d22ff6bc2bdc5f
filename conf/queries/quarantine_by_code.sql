-- title: Quarantine by error code
-- about: Why records were refused: per error code how many, how many are still open, and one example.
SELECT
    error_code,
    count(*) AS records,
    count(*) FILTER (WHERE status = 'open') AS open,
    count(*) FILTER (WHERE status = 'replayed') AS replayed,
    count(*) FILTER (WHERE status = 'discarded') AS discarded,
    min(first_seen_at) AS first_seen_at,
    max(last_seen_at) AS last_seen_at,
    arg_max(error_detail, (last_seen_at, topic_generation, "partition", "offset")) AS newest_detail
FROM silver.quarantine
GROUP BY error_code
ORDER BY records DESC, error_code

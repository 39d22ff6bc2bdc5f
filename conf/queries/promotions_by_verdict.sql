-- title: Promotions by verdict
-- about: What the gates decided: promotions and rows per layer, kind and verdict.
-- optional: ops.silver_promotions, ops.gold_promotions
WITH ledger AS (
    SELECT * FROM ops.silver_promotions
    UNION ALL BY NAME
    SELECT * FROM ops.gold_promotions
)
SELECT
    layer,
    kind,
    verdict,
    count(*) AS promotions,
    sum(rows_in) AS rows_in,
    sum(rows_promoted) AS rows_promoted,
    sum(rows_quarantined) AS rows_quarantined,
    sum(rows_duplicate) AS rows_duplicate,
    sum(rows_held) AS rows_held,
    max(decided_at) AS last_decided_at
FROM ledger
GROUP BY layer, kind, verdict
ORDER BY layer DESC, kind, verdict

-- title: Open holds
-- about: What the gates hold until a person decides: one row a promotion, the oldest first.
-- optional: silver.held, gold.held, ops.silver_promotions, ops.gold_promotions
WITH held AS (
    SELECT 'silver' AS layer, promotion_id, count(*) AS rows_open
    FROM silver.held
    WHERE status = 'open'
    GROUP BY promotion_id
    UNION ALL
    SELECT 'gold', promotion_id, count(*)
    FROM gold.held
    WHERE status = 'open'
    GROUP BY promotion_id
),
ledger AS (
    SELECT * FROM ops.silver_promotions
    UNION ALL BY NAME
    SELECT * FROM ops.gold_promotions
)
SELECT
    held.promotion_id,
    held.layer,
    held.rows_open,
    ledger.kind,
    ledger.verdict,
    ledger.decided_at AS held_since,
    ledger.why
FROM held
LEFT JOIN ledger USING (promotion_id)
ORDER BY held_since NULLS LAST, held.promotion_id

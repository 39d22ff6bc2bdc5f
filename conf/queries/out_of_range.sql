-- title: Readings out of range
-- about: Values outside the range their device is registered with, and which end they are beyond; newest first.
-- param device_id text default null: one device only
-- param metric text default null: one metric only
-- param since timestamp default null: the first event time
-- param until timestamp default null: the end, not included
WITH flagged AS (
    SELECT *
    FROM silver.readings
    WHERE quality_flag = 'out_of_range'
        AND ($device_id IS NULL OR device_id = $device_id)
        AND ($since IS NULL OR event_time >= $since)
        AND ($until IS NULL OR event_time < $until)
),
measured AS (
    SELECT
        event_time, device_id, customer, site, event_id, failed_rules,
        unnest([
            {'rules_of': 'temperature_celsius', 'metric': 'temperature_celsius', 'value': temperature_celsius},
            {'rules_of': 'humidity_percent', 'metric': 'humidity_percent', 'value': humidity_percent},
            {'rules_of': 'pressure_hpa', 'metric': 'pressure_hpa', 'value': pressure_hpa},
            {'rules_of': 'battery_percent', 'metric': 'battery_percent', 'value': battery_percent},
            -- The value of a reading event is of the metric named beside it.
            {'rules_of': 'value', 'metric': coalesce(metric, 'value'), 'value': value}
        ], recursive := true)
    FROM flagged
),
judged AS (
    SELECT
        *,
        CASE
            WHEN list_contains(failed_rules, rules_of || '_at_least_registered_min') THEN 'below minimum'
            WHEN list_contains(failed_rules, rules_of || '_at_most_registered_max') THEN 'above maximum'
        END AS beyond
    FROM measured
)
SELECT event_time, device_id, metric, value, beyond, customer, site, event_id
FROM judged
WHERE beyond IS NOT NULL AND ($metric IS NULL OR metric = $metric)
ORDER BY event_time DESC, device_id, metric, event_id

-- title: Quality scores
-- about: The score of each device and day from 0 to 100, what it is made of, newest day and lowest score first.
-- param device_id text default null: only this device; (unreadable) for records of which none is known
-- param customer text default null: only devices of this customer
-- param since timestamp default null: the first day
-- param until timestamp default null: the last day
SELECT
    day,
    customer,
    device_id,
    band,
    round(score, 2) AS score,
    round(completeness, 4) AS completeness,
    round(validity, 4) AS validity,
    round(uniqueness, 4) AS uniqueness,
    round(timeliness, 4) AS timeliness,
    round(consistency, 4) AS consistency,
    received,
    readings,
    round(expected, 1) AS expected,
    quarantined,
    out_of_range,
    duplicates,
    late,
    inconsistent,
    updated_at
FROM gold.quality_scores
WHERE ($device_id IS NULL OR device_id = $device_id)
    AND ($customer IS NULL OR customer = $customer)
    AND ($since IS NULL OR day >= CAST($since AS DATE))
    AND ($until IS NULL OR day <= CAST($until AS DATE))
ORDER BY day DESC, score, device_id

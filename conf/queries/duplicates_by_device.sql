-- title: Duplicates by device
-- about: Which devices send events more than once: dropped copies, and how many events they are copies of.
SELECT
    device_id,
    count(*) AS copies,
    count(DISTINCT (event_time, event_id)) AS events,
    min(event_time) AS first_event_time,
    max(event_time) AS last_event_time
FROM silver.duplicates
GROUP BY device_id
ORDER BY copies DESC, device_id

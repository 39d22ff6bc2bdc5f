-- title: Unknown devices
-- about: Devices that send but stand in no registry; their readings are promoted with a flag.
SELECT
    device_id,
    count(*) AS readings,
    min(event_time) AS first_event_time,
    max(event_time) AS last_event_time
FROM silver.readings
WHERE quality_flag = 'unknown_device'
GROUP BY device_id
ORDER BY readings DESC, device_id

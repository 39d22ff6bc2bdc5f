-- title: The last hour of a device
-- about: All readings of one device in the hour up to its newest one.
-- param device_id text default 'sensor-0001': the device
WITH newest AS (
    SELECT max(event_time) AS event_time FROM silver.readings WHERE device_id = $device_id
)
SELECT
    event_time,
    event_id,
    temperature_celsius,
    humidity_percent,
    pressure_hpa,
    battery_percent,
    metric,
    value,
    status,
    quality_flag,
    failed_rules
FROM silver.readings
WHERE device_id = $device_id
    AND event_time > (SELECT event_time FROM newest) - INTERVAL 1 HOUR
ORDER BY event_time, event_id

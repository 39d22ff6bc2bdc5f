-- title: Silent devices
-- about: Devices whose newest reading is at least so many minutes old, the longest silent first.
-- param minutes number default 10: how long
-- param at timestamp default null: the moment silence is counted from; null is now
--
-- Only devices that have sent at least once are known here.
WITH newest AS (
    SELECT
        device_id,
        max(event_time) AS last_event_time,
        any_value(expected_interval_seconds) AS expected_interval_seconds
    FROM gold.latest_readings
    GROUP BY device_id
),
aged AS (
    SELECT
        *,
        CAST(epoch_us(coalesce($at, now()))::HUGEINT - epoch_us(last_event_time) AS DOUBLE) / 1000000 AS seconds_silent
    FROM newest
)
SELECT
    device_id,
    last_event_time,
    seconds_silent / 60 AS minutes_silent,
    expected_interval_seconds,
    seconds_silent / expected_interval_seconds AS intervals_missed
FROM aged
WHERE seconds_silent >= $minutes * 60
ORDER BY last_event_time, device_id

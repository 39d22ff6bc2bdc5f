-- title: Ingest lag
-- about: How long readings took from one station to the next: median, 95th and 99th percentile and maximum in seconds.
-- param hours number default 24: of the readings so many hours back from the newest event time
-- param until timestamp default null: the end, not included, that hours are counted from
WITH bounds AS (
    SELECT coalesce($until, max(event_time)) AS ends_at FROM silver.readings
),
recent AS (
    SELECT
        epoch_us(event_time)::HUGEINT AS measured,
        epoch_us(kafka_timestamp)::HUGEINT AS in_kafka,
        epoch_us(ingested_at)::HUGEINT AS in_bronze,
        epoch_us(promoted_at)::HUGEINT AS in_silver
    FROM silver.readings, bounds
    WHERE event_time >= ends_at - to_microseconds(CAST($hours * 3600000000 AS BIGINT))
        AND ($until IS NULL OR event_time < $until)
),
stages(place, stage) AS (
    VALUES (1, 'device to Kafka'), (2, 'Kafka to bronze'), (3, 'bronze to silver'), (4, 'device to silver')
),
lags AS (
    SELECT
        unnest([1, 2, 3, 4]) AS place,
        unnest([in_kafka - measured, in_bronze - in_kafka, in_silver - in_bronze, in_silver - measured]) AS micros
    FROM recent
),
counted AS (
    SELECT
        place,
        count(micros) AS readings,
        quantile_cont(CAST(micros AS DOUBLE) / 1000000, [0.5, 0.95, 0.99, 1]) AS seconds
    FROM lags
    GROUP BY place
)
SELECT
    stage,
    coalesce(readings, 0) AS readings,
    seconds[1] AS p50_seconds,
    seconds[2] AS p95_seconds,
    seconds[3] AS p99_seconds,
    seconds[4] AS max_seconds
FROM stages
LEFT JOIN counted USING (place)
ORDER BY place

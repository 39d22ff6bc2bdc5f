"""Flink SQL, in its own Python: JSON from Kafka, the first of each key into nothing, 1-minute windows into Parquet.

Run as a script, `python flink_sql.py TASK`: nothing of Sluice can be imported there. No raw layer, no gate; what is not
JSON is left out. Two jobs, one after the other, each reads the topic. Its planner makes updates of the first of each
key, which its files do not take, so that nothing is written of them.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

NAME = "Flink SQL"
_SOURCE = """
CREATE TABLE {name} (
  device_id STRING, id STRING, event_id STRING, `timestamp` STRING, dt STRING, temperature DOUBLE, humidity DOUBLE,
  pressure DOUBLE, battery_level DOUBLE, `value` DOUBLE, status STRING, firmware STRING,
  location ROW<latitude DOUBLE, longitude DOUBLE>,
  seen AS PROCTIME(),
  event_time AS TO_TIMESTAMP(REPLACE(REPLACE(COALESCE(`timestamp`, dt), 'T', ' '), 'Z', '')){watermark}
) WITH (
  'connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{servers}',
  'properties.group.id' = 'flink', 'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
  'format' = 'json', 'json.ignore-parse-errors' = 'true'
)
"""
_WATERMARK = ",\n  WATERMARK FOR event_time AS event_time - INTERVAL '10' MINUTE"
_KEPT = """
CREATE TABLE kept (
  device_id STRING, event_id STRING, event_time TIMESTAMP(3), temperature DOUBLE, humidity DOUBLE, pressure DOUBLE,
  battery_level DOUBLE, `value` DOUBLE, status STRING, firmware STRING
) WITH ('connector' = 'blackhole')
"""
_KEEP_FIRST = """
INSERT INTO kept
SELECT device, event, event_time, temperature, humidity, pressure, battery_level, `value`, status, firmware FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY device, event, event_time ORDER BY seen ASC) AS place FROM (
    SELECT COALESCE(device_id, id) AS device, COALESCE(event_id, '') AS event, event_time, temperature, humidity,
      pressure, battery_level, `value`, status, firmware, seen
    FROM events WHERE COALESCE(device_id, id) IS NOT NULL AND event_time IS NOT NULL
  )
) WHERE place = 1
"""
_MINUTES = """
CREATE TABLE minutes (bucket TIMESTAMP(3), device_id STRING, {columns})
WITH ('connector' = 'filesystem', 'path' = 'file://{folder}/minutes', 'format' = 'parquet')
"""
_METRICS = ("temperature", "humidity", "pressure", "battery_level", "`value`")
_AGGREGATE = """
INSERT INTO minutes
SELECT window_start, device, {values} FROM TABLE(TUMBLE(TABLE timed, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, device
"""
_TIMED = """
CREATE TEMPORARY VIEW timed AS
SELECT COALESCE(device_id, id) AS device, * FROM timed_events WHERE COALESCE(device_id, id) IS NOT NULL
"""


def main() -> None:
    """Prints `{"parts": {name: seconds}}` as the last line."""
    task: dict[str, Any] = json.loads(sys.argv[1])
    for name in ("warm", "measured"):
        parts = _drain(task, task["warm_topic" if name == "warm" else "topic"], Path(task["folder"]) / name)
    print(json.dumps({"parts": parts}))


def _drain(task: dict[str, Any], topic: str, folder: Path) -> dict[str, float]:
    # Not among the packages of Sluice.
    from pyflink.table import EnvironmentSettings, TableEnvironment  # type: ignore[import-not-found]

    folder.mkdir(parents=True)
    environment = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
    options = environment.get_config()
    options.set("parallelism.default", "2")
    options.set("execution.checkpointing.interval", "10 s")
    options.set("execution.checkpointing.dir", f"file://{folder}/checkpoints")
    options.set("taskmanager.memory.process.size", "4g")
    options.set("table.exec.mini-batch.enabled", "true")
    options.set("table.exec.mini-batch.allow-latency", "1 s")
    options.set("table.exec.mini-batch.size", "5000")
    columns = ", ".join(
        f"{name.strip('`')}_n BIGINT, {name.strip('`')}_mean DOUBLE, {name.strip('`')}_low DOUBLE, "
        f"{name.strip('`')}_high DOUBLE"
        for name in _METRICS
    )
    values = ", ".join(f"COUNT({name}), AVG({name}), MIN({name}), MAX({name})" for name in _METRICS)
    for name, watermark in (("events", ""), ("timed_events", _WATERMARK)):
        source = {"topic": topic, "servers": task["bootstrap_servers"], "name": name, "watermark": watermark}
        environment.execute_sql(_SOURCE.format(**source))
    environment.execute_sql(_TIMED)
    environment.execute_sql(_KEPT)
    environment.execute_sql(_MINUTES.format(folder=folder, columns=columns))
    parts = {}
    for name, statement in (("keep-first", _KEEP_FIRST), ("minutes", _AGGREGATE.format(values=values))):
        began = time.monotonic()
        environment.execute_sql(statement).wait()
        parts[name] = time.monotonic() - began
    return parts


if __name__ == "__main__":
    main()

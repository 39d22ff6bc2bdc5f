"""A small lake whose books balance, with a hold of each fate, and what breaks it; written as the jobs' tables."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from deltalake import DeltaTable

from sluice.errors import BrokerDown, SluiceError
from sluice.serving.audit.audit import audit
from sluice.serving.audit.findings import Audit
from sluice.serving.audit.topic import Topics
from sluice.serving.lake import open_lake

from .lake_builder import Row, append, at, bronze, build_lake, copy_of, held, promotion, reading, refused

NO_BROKER = BrokerDown("there is no broker")
TEMPERATURE, HUMIDITY = "temperature_celsius", "humidity_percent"
UNITS = {TEMPERATURE: "°C", HUMIDITY: "%", "power_watt": "W"}


def silver_promotion(batch_id: int, offsets: Mapping[str, int], verdict: str = "PROMOTE", **rows: int) -> Row:
    """A ledger row of a micro-batch of silver that read one version of bronze."""
    counts = {f"rows_{name}": count for name, count in rows.items()}
    where = {"batch_id": batch_id, "from_version": batch_id, "to_version": batch_id, "verdict": verdict}
    streams = [(f"iot.raw:1:{partition}", offset) for partition, offset in offsets.items()]
    decided_at = at("12:10:00") + timedelta(minutes=batch_id)
    about = {"promotion_id": f"silver-g-{batch_id}", "offsets": streams, "decided_at": decided_at}
    return promotion(0, rows_in=sum(rows.values()), **about, **where, **counts)


def decided(kind: str, parent: str, minute: int = 30, **rows: int) -> Row:
    """A ledger row of what a person decided about a hold."""
    counts = {f"rows_{name}": count for name, count in rows.items()}
    about = {"promotion_id": f"{parent}-{kind}", "kind": kind, "parent_promotion_id": parent}
    about |= {"layer": parent.split("-")[0], "decided_at": at("12:00:00") + timedelta(minutes=minute)}
    return promotion(0, rows_in=sum(rows.values()), **about, **counts)


def replayed(promotion_id: str, noted: Sequence[tuple[str, int]], **rows: int) -> Row:
    """A ledger row of a replay from bronze."""
    counts = {f"rows_{name}": count for name, count in rows.items()}
    about = {"promotion_id": promotion_id, "kind": "replay", "rule_counts": noted, "decided_at": at("13:30:00")}
    return promotion(0, rows_in=sum(rows.values()), **about, **counts)


def gold_promotion(batch_id: int, from_version: int, to_version: int, promoted: int, held: int = 0) -> Row:
    """A ledger row of a micro-batch of gold."""
    where = {"batch_id": batch_id, "from_version": from_version, "to_version": to_version}
    rows = {"rows_in": promoted + held, "rows_promoted": promoted, "rows_held": held}
    decided_at = at("13:00:00") + timedelta(minutes=batch_id)
    about = {"promotion_id": f"gold-g-{batch_id}", "layer": "gold", "decided_at": decided_at}
    return promotion(0, **about, **where, **rows)


def event(offset: int, minute: int, promotion_id: str = "silver-g-0", **odd: object) -> Row:
    """A reading of sensor-0001, ten seconds after the one with the offset before it."""
    moment = at(f"12:{minute:02}:00") + timedelta(seconds=10 * (offset % 6))
    return reading(offset, moment, promotion_id=promotion_id, ingested_at=at("12:00:00"), **odd)


READINGS = [
    event(0, 0),
    event(1, 0, temperature_celsius=21.5, humidity_percent=40.0),
    event(2, 0, temperature_celsius=19.0),
    event(3, 1, quality_flag="out_of_range", failed_rules=[f"{TEMPERATURE}_at_most_registered_max"]),
]
APPROVED = [event(6, 5, "silver-g-1-approve", humidity_percent=50.0)]
METER = {"device_id": "meter-0001", TEMPERATURE: None, "metric": "power_watt", "partition": 1}
LATER = [event(0, 2, "silver-g-4", value=4000.0, **METER), event(1, 2, "silver-g-4", value=4010.0, **METER)]
# All readings of the balanced lake.
EVENTS = [*READINGS, *LATER, *APPROVED]


def balanced_lake(path: Path) -> Path:
    """Sixteen records: promoted, refused, copied; one hold each approved, rejected and open; one pending."""
    held_rows = [
        *(held(offset, "silver-g-1", status="approved") for offset in (6, 7)),
        *(held(offset, "silver-g-2", status="rejected") for offset in (8, 9)),
        *(held(offset, "silver-g-3") for offset in (10, 11)),
    ]
    build_lake(
        path,
        {
            "bronze.events": [
                *(bronze(offset) for offset in range(12)),
                *(bronze(offset, partition=1) for offset in range(4)),
            ],
            "silver.readings": READINGS,
            "silver.quarantine": [
                refused(4, "NOT_JSON", promotion_id="silver-g-0"),
                refused(7, "NOT_JSON", promotion_id="silver-g-1-approve"),
                refused(2, "BAD_ID", promotion_id="silver-g-4", partition=1, status="discarded"),
            ],
            "silver.duplicates": [copy_of(5, at("12:00:00"), promotion_id="silver-g-0")],
            "silver.held": held_rows,
            "ops.silver_promotions": [
                silver_promotion(0, {"0": 5}, promoted=4, quarantined=1, duplicate=1),
                silver_promotion(1, {"0": 7}, "HOLD", held=2),
                silver_promotion(2, {"0": 9}, "HOLD", held=2),
                silver_promotion(3, {"0": 11}, "HOLD", held=2),
                silver_promotion(4, {"1": 2}, promoted=2, quarantined=1),
                decided("approve", "silver-g-1", promoted=1, quarantined=1),
                decided("reject", "silver-g-2", held=2),
            ],
        },
    )
    append(path, "silver.readings", LATER)
    append(path, "silver.readings", APPROVED)
    refused_minute, *minutes = minutes_of(EVENTS)
    candidate = {name: value for name, value in refused_minute.items() if name not in ("bucket_date", "updated_at")}
    build_lake(
        path,
        {
            "gold.readings_1min": minutes,
            "gold.held": [
                {**candidate, "failed_rules": ["some"], "promotion_id": "gold-g-0", "status": "open"},
                {**candidate, "reading_count": 1, "promotion_id": "gold-g-0", "status": "superseded"},
            ],
            "gold.latest_readings": latest_of(EVENTS),
            "ops.gold_promotions": [gold_promotion(0, 0, 1, 4, 2), gold_promotion(1, 2, 2, 2)],
        },
    )
    return path


def minutes_of(events: Sequence[Row]) -> list[Row]:
    """The rows of gold/readings_1min of all metrics that the events have, by a definition of the tests' own."""
    grouped: dict[tuple[Any, ...], list[tuple[float, bool]]] = {}
    for row in events:
        assert isinstance(row["event_time"], datetime)
        bucket = row["event_time"].replace(second=0, microsecond=0)
        for name in (TEMPERATURE, HUMIDITY, "value"):
            if isinstance(value := row.get(name), float):
                metric = row["metric"] if name == "value" else name
                is_out = row["failed_rules"] == [f"{name}_at_most_registered_max"]
                grouped.setdefault((bucket, row["device_id"], metric), []).append((value, is_out))
    return [_minute(key, [value for value, _ in found], sum(out for _, out in found)) for key, found in grouped.items()]


def _minute(key: tuple[Any, ...], values: list[float], out_of_range: int) -> Row:
    bucket, device_id, metric = key
    return {
        **{"bucket": bucket, "device_id": device_id, "metric": metric, "unit": UNITS[metric]},
        **{"reading_count": len(values), "value_mean": statistics.fmean(values)},
        **{"value_min": min(values), "value_max": max(values)},
        "value_stddev": statistics.stdev(values) if len(values) > 1 else None,
        **{"out_of_range_count": out_of_range, "expected_count": 12.0, "completeness_percent": len(values) / 12 * 100},
        **{"updated_at": at("13:00:00"), "bucket_date": bucket.date()},
    }


def latest_of(events: Sequence[Row]) -> list[Row]:
    """The rows of gold/latest_readings; no two of the events are of one time."""
    latest: dict[tuple[Any, ...], Row] = {}
    for row in sorted(events, key=lambda row: str(row["event_time"])):
        for name in (TEMPERATURE, HUMIDITY, "value"):
            if isinstance(row.get(name), float):
                metric = row["metric"] if name == "value" else name
                seen = {"value": row[name], "event_time": row["event_time"], "quality_flag": row["quality_flag"]}
                latest[row["device_id"], metric] = {"device_id": row["device_id"], "metric": metric, **seen}
    return list(latest.values())


def change(path: Path, name: str, where: str, **values: str) -> None:
    """Changes rows of a table; values are SQL."""
    changed = DeltaTable(str(path / name.replace(".", "/"))).update(values, predicate=where)
    assert changed["num_updated_rows"] > 0, "nothing was changed"


def delete(path: Path, name: str, where: str) -> None:
    """Deletes rows of a table."""
    deleted = DeltaTable(str(path / name.replace(".", "/"))).delete(where)
    assert deleted["num_deleted_rows"] > 0, "nothing was deleted"


def audited(path: Path, topics: Topics | SluiceError = NO_BROKER, since: datetime | None = None) -> Audit:
    """The audit of a lake as it is now."""
    return audit(open_lake(path), topics, since)


def problems(found: Audit) -> dict[str, dict[str, list[str]]]:
    """What is wrong by check and kind, as it is named."""
    return {
        check.name: {problem.what: [named.at for named in problem.first] for problem in check.outcome.problems}
        for check in found.checks
        if check.outcome.problems
    }

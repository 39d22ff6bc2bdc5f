"""The devices: as registered, as far as the lake has that table, and as their readings tell."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from sluice.api.asking import Asked, Question, Rows, row_limit
from sluice.api.cursors import read_cursor, write_cursor
from sluice.api.latest import visible_latest, with_ages
from sluice.api.parameters import DevicesOf
from sluice.api.problems import Problem
from sluice.api.snapshot import TableVersion
from sluice.serving.values import json_lines, plain, to_json

TABLE = "gold.devices"
_REGISTERED = ("latitude", "longitude", "expected_interval_seconds")
COLUMNS = (
    *("device_id", "customer", "site", "is_registered", *_REGISTERED),
    *("metrics", "last_event_time", "is_online"),
)
Device = dict[str, Any]


def list_devices(question: Question, given: DevicesOf) -> Rows:
    """The devices in the order of their ids."""
    asked = question.asked
    found = _visible(asked)
    ids = sorted(
        device_id
        for device_id, device in found.items()
        if given.customer in (None, device["customer"]) and given.site in (None, device["site"])
    )
    if given.cursor is not None:
        (after,) = read_cursor("devices", given.cursor, (str,))
        ids = [device_id for device_id in ids if device_id > str(after)]
    limit = row_limit(given.limit, asked.service.settings)
    rows = (tuple(found[device_id][name] for name in COLUMNS) for device_id in ids[:limit])
    cursor = write_cursor("devices", (ids[limit - 1],)) if len(ids) > limit else None
    return Rows("".join(json_lines(COLUMNS, rows)).encode(), cursor)


def one_device(question: Question, device_id: str) -> bytes:
    """One device as JSON.

    Raises:
        Problem: 404, there is none, or it is not the key's to see.
    """
    device = _visible(question.asked).get(device_id)
    if device is None:
        raise Problem(404, "no such device")
    return to_json({name: plain(device[name]) for name in COLUMNS}).encode()


def _visible(asked: Asked) -> dict[str, Device]:
    """Every device that is one of the customers' now, and what is known of it."""
    owners, customers = asked.snapshot.owners, asked.customers
    table = asked.table(TABLE)
    registered = _current(table, asked.as_of if isinstance(asked.as_of, datetime) else None) if table else {}
    found: dict[str, Device] = {}
    for device_id in {*owners.devices, *registered}:
        span, entry = owners.newest(device_id), registered.get(device_id)
        known = entry or ({"customer": span.customer, "site": span.site} if span else {})
        if customers is None or known.get("customer") in customers:
            found[device_id] = _described(device_id, known, entry is not None)
    rows = with_ages(visible_latest(asked), asked.at)
    for row in rows.to_pylist():
        if (device := found.get(row["device_id"])) and row["customer"] == device["customer"]:
            _add_latest(device, row)
    return found


def _described(device_id: str, known: Mapping[str, Any], is_registered: bool) -> Device:
    device = {**dict.fromkeys(COLUMNS), **{name: known.get(name) for name in ("customer", "site", *_REGISTERED)}}
    registered = is_registered or known.get("customer") is not None
    return {**device, "device_id": device_id, "is_registered": registered, "metrics": []}


def _add_latest(device: Device, row: Mapping[str, Any]) -> None:
    device["metrics"].append(row["metric"])
    last = device["last_event_time"]
    device["last_event_time"] = row["event_time"] if last is None else max(last, row["event_time"])
    if row["expected_interval_seconds"] is not None:
        device["is_registered"] = True
        device["expected_interval_seconds"] = row["expected_interval_seconds"]
    # One metric that still comes is enough.
    if row["is_online"] is not None:
        device["is_online"] = bool(device["is_online"]) or row["is_online"]


@functools.lru_cache(4)
def _current(table: TableVersion, at: datetime | None) -> dict[str, Device]:
    """The registry's entries that hold at a moment, or those that hold until further notice."""
    moment = at or datetime.max.replace(tzinfo=timezone.utc)
    rows = table.dataset.to_table().to_pylist()
    return {row["device_id"]: row for row in rows if _holds(row, moment)}


def _holds(row: Mapping[str, Any], moment: datetime) -> bool:
    since, until = row.get("valid_from"), row.get("valid_to")
    return (since is None or since <= moment) and (until is None or until > moment)

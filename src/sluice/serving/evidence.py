"""Why a gate decided as it did: the rules a row broke, their text at that time, and the values they saw."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import yaml

from sluice.schemas import ACCEPTED_SECONDS_AHEAD, METRICS, OPS_CONFIGS, SILVER_QUARANTINE, Table
from sluice.serving.files import TableFiles
from sluice.serving.raw import read_members

Row = dict[str, Any]
SUITE, CONTRACT, REGISTRY = "suite", "contract", "registry"
# Reading a larger registry as YAML would take longer than the rest of the answer.
_MOST_YAML_CHARACTERS = 262_144
_REGISTERED = re.compile(r"(?P<metric>.+)_registered_(?P<end>min|max)")
_DEVICES = re.compile(r"(?P<before>.*)\{(?P<first>[0-9]+)\.\.(?P<last>[0-9]+)\}(?P<after>.*)", re.DOTALL)
_LATEST_ACCEPTED, _AGE_DAYS = "latest_accepted_time", "age_days"


class Configs:
    """The texts that decided something, from ops/configs; each is read and parsed once."""

    def __init__(self, files: TableFiles) -> None:
        self._files = files
        self._parsed: dict[tuple[str, str], Any] = {}
        # Per registry: entries of one device by its id, and entries of a range of devices.
        self._devices: dict[str, tuple[dict[str, Row], list[tuple[str, Row]]]] = {}

    def rule(self, suite_hash: str | None, rule_id: str) -> Row | None:
        """A rule as it stands in the suite of that hash; None where the suite was not kept or has no such rule."""
        suite = self._read(SUITE, suite_hash)
        entries = suite.get("expectations") if isinstance(suite, Mapping) else None
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, Mapping) and (entry.get("meta") or {}).get("rule_id") == rule_id:
                return dict(entry)
        return None

    def fields(self, contract_hash: str | None) -> dict[str, list[Row]]:
        """Per column the source fields that feed it: `name` and, where declared, `unit`."""
        contract = self._read(CONTRACT, contract_hash)
        found: dict[str, list[Row]] = {}
        for version in _entries(contract, "versions"):
            for name, field in (version.get("fields") or {}).items():
                entry = {"name": name, "unit": field.get("unit")}
                if entry not in found.setdefault(field.get("column"), []):
                    found[field.get("column")].append(entry)
        return found

    def registered(self, registry_hash: str | None, device_id: str | None) -> Row:
        """A device's entry in the registry of that hash, as it is written there; empty where unknown."""
        if device_id is None or registry_hash is None:
            return {}
        if registry_hash not in self._devices:
            entries = [(str(entry.get("device_id")), entry) for entry in self._entries_of(registry_hash)]
            single = {name: entry for name, entry in entries if _DEVICES.fullmatch(name) is None}
            self._devices[registry_hash] = single, [each for each in entries if each[0] not in single]
        single, spans = self._devices[registry_hash]
        named = (entry for written, entry in spans if _names(written, device_id))
        return single.get(device_id) or next(named, {})

    def registered_end(self, registry_hash: str | None, device_id: str | None, metric: str, end: str) -> Any:
        """The `min` or `max` that a device's metric was registered with; None where unknown."""
        metrics = self.registered(registry_hash, device_id).get("metrics") or {}
        only = next(iter(metrics.values())) if len(metrics) == 1 else {}
        return (metrics.get(metric) or (only if metric not in METRICS else {})).get(end)

    def _entries_of(self, registry_hash: str) -> list[Row]:
        return _entries(self._read(REGISTRY, registry_hash), "devices")

    def _read(self, kind: str, digest: str | None) -> Any:
        if not digest:
            return None
        if (kind, digest) not in self._parsed:
            sql = "SELECT text FROM ops.configs WHERE kind = $kind AND hash = $hash LIMIT 1"
            found = self._files.query(sql, {"kind": kind, "hash": digest}, [OPS_CONFIGS])
            self._parsed[kind, digest] = _parse(kind, found[0]["text"]) if found else None
        return self._parsed[kind, digest]


def failed_rules(table: Table, row: Row, promotion: Row | None, configs: Configs) -> list[Row]:
    """The rules that a reading or a quarantined record broke, each with its text and the values it saw.

    Args:
        promotion: the ledger row of the promotion that found them broken; None where it is not known.

    Values are those of the row's columns; of a quarantined record, which has none, those its message sent, named
    with the field and, where it is not the column's, the unit they were sent in.
    """
    ledger = promotion or {}
    found = []
    for rule_id in row.get("failed_rules") or ():
        rule = configs.rule(ledger.get("suite_hash"), rule_id)
        seen = dict(_values(table, row, ledger, rule, configs)) if rule else {}
        found.append(
            {
                "rule_id": rule_id,
                "table": table.full_name,
                "promotion_id": ledger.get("promotion_id") or row.get("promotion_id"),
                "suite": ledger.get("suite"),
                "suite_hash": ledger.get("suite_hash"),
                "rule": rule,
                "values": seen,
            }
        )
    return found


def _values(table: Table, row: Row, ledger: Row, rule: Row, configs: Configs) -> Iterator[tuple[str, Any]]:
    kwargs = rule.get("kwargs")
    for key in ("column", "column_A", "column_B"):
        if isinstance(kwargs, Mapping) and isinstance(column := kwargs.get(key), str):
            yield column, _value(table, row, ledger, column, configs)


def _value(table: Table, row: Row, ledger: Row, column: str, configs: Configs) -> Any:
    sent_at = row.get("kafka_timestamp")
    if column == _LATEST_ACCEPTED and isinstance(sent_at, datetime):
        return sent_at + timedelta(seconds=ACCEPTED_SECONDS_AHEAD)
    if column == _AGE_DAYS and isinstance(row.get("event_time"), datetime) and isinstance(sent_at, datetime):
        return (sent_at - row["event_time"]) / timedelta(days=1)
    if end := _REGISTERED.fullmatch(column):
        return configs.registered_end(ledger.get("registry_hash"), row.get("device_id"), end["metric"], end["end"])
    if table is not SILVER_QUARANTINE or column in ("device_id", "kafka_timestamp"):
        return row.get(column)
    members = read_members(row.get("value"))
    for field in configs.fields(ledger.get("contract_hash")).get(column, ()):
        if field["name"] in members:
            return {"sent": members[field["name"]], "field": field["name"], "unit": field["unit"]}
    return None


def _parse(kind: str, text: str) -> Any:
    try:
        if kind == SUITE:
            return json.loads(text)
        return yaml.safe_load(text) if len(text) <= _MOST_YAML_CHARACTERS else None
    except (ValueError, yaml.YAMLError, RecursionError):
        return None


def _entries(content: Any, key: str) -> list[Row]:
    entries = content.get(key) if isinstance(content, Mapping) else None
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _names(written: str, device_id: str) -> bool:
    """Whether a registry entry, `sensor-1` or `sensor-{001..250}`, names the device."""
    span = _DEVICES.fullmatch(written)
    if span is None:
        return written == device_id
    middle = device_id[len(span["before"]) : len(device_id) - len(span["after"])]
    fits = device_id == f"{span['before']}{middle}{span['after']}" and re.fullmatch("[0-9]+", middle)
    return bool(fits) and len(middle) >= len(span["first"]) and int(span["first"]) <= int(middle) <= int(span["last"])

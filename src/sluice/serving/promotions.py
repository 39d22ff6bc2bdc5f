"""What the gates decided, read from ledgers, held rows, stored validation results and breaker files; no Spark."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sluice.errors import PromotionUnknown
from sluice.schemas import APPROVE, HELD_TABLES, LEDGERS, OPS_SILVER_PROMOTIONS, REJECT, REPLAY_NOTE, Table
from sluice.serving.evidence import Configs
from sluice.serving.files import TableFiles
from sluice.serving.lake import OpenLake

Row = dict[str, Any]
GATED_LAYERS = tuple(LEDGERS)
CLOSED, UNREADABLE = "closed", "unreadable"
# Kinds of promotions that decide about all rows of the one they name as parent.
_DECIDE_HOLDS = (APPROVE, REJECT)


@dataclass(frozen=True)
class Hold:
    """A promotion with rows that wait for a person.

    Attributes:
        rows: those still open.
        since: when it was decided; None while, after a crash, its ledger row is not written yet.
    """

    layer: str
    promotion_id: str
    rows: int
    since: datetime | None
    kind: str | None
    verdict: str | None
    why: str | None


@dataclass(frozen=True)
class Breaker:
    """The persisted circuit breaker of one gate; without a file it is closed.

    Attributes:
        state: closed, open, or unreadable where the file is damaged.
    """

    layer: str
    state: str = CLOSED
    holds_in_row: int = 0
    opened_at: str | None = None
    last_batch_id: int | None = None


@dataclass(frozen=True)
class Explanation:
    """One promotion and why it was decided so.

    Attributes:
        promotion: its ledger row; null columns where the ledger has none yet.
        rules: every rule that did not hold: `rule_id`, `severity`, `type`, `kwargs`, `description`, `count`,
            `share_percent`, `examples`, `observed`, `error`; null where it is not known.
        facts: what was measured of the batch, empty for promotions without a stored result.
        open_rows: rows of it that still wait for a person.
        page: its Data Docs page, absolute where the file is there.
        has_result: whether the validation result was stored; else rules are what the ledger counted.
    """

    promotion: Row
    rules: tuple[Row, ...]
    facts: Row
    open_rows: int
    page: str | None
    has_result: bool


def open_holds(lake: OpenLake) -> list[Hold]:
    """The promotions with open rows in silver/held or gold/held, the oldest first."""
    holds, files = [], TableFiles(lake)
    where = "WHERE list_contains($ids, promotion_id)"
    for layer, table in HELD_TABLES.items():
        counts = _open_rows(files, table)
        found = _select(files, [LEDGERS[layer]], where, {"ids": sorted(counts)}) if counts else []
        ledger = {row["promotion_id"]: row for row in found}
        for promotion_id, rows in counts.items():
            row = ledger.get(promotion_id, {})
            known = (row.get(name) for name in ("decided_at", "kind", "verdict", "why"))
            holds.append(Hold(layer, promotion_id, rows, *known))
    return sorted(holds, key=lambda hold: (hold.since is None, str(hold.since), hold.promotion_id))


def read_breaker(lake_path: Path, layer: str) -> Breaker:
    """The breaker of a layer's gate, as its job last wrote it."""
    path = lake_path / "_checkpoints" / layer / "breaker.json"
    try:
        content = json.loads(path.read_text("utf-8"))
        state = str(content["state"])
        return Breaker(
            layer, state, int(content.get("holds_in_row", 0)), content.get("opened_at"), content.get("last_batch_id")
        )
    except FileNotFoundError:
        return Breaker(layer)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Breaker(layer, UNREADABLE)


def read_history(lake: OpenLake, layer: str | None = None, limit: int = 20) -> list[Row]:
    """Ledger rows, the newest first.

    Args:
        layer: silver or gold; None for both.
        limit: at most so many; 0 for all.
    """
    tables = [table for name, table in LEDGERS.items() if layer in (None, name)]
    most = f"LIMIT {limit}" if limit else ""
    order = f"ORDER BY decided_at DESC, batch_id DESC NULLS LAST, promotion_id {most}"
    return _select(TableFiles(lake), tables, order, {})


def promotions_about(files: TableFiles, promotion_ids: Collection[str], written_at: Collection[datetime]) -> list[Row]:
    """The ledger rows that touched a row, the earliest first.

    Args:
        promotion_ids: what the row's places carry; decisions about these when they were held come with them.
        written_at: `updated_at` of minutes, which is when the gold promotion that wrote them was decided.
    """
    parameters: dict[str, object] = {}
    touched = []
    if promotion_ids:
        parameters |= {"ids": sorted(promotion_ids), "kinds": list(_DECIDE_HOLDS)}
        touched.append("list_contains($ids, promotion_id)")
        touched.append("(list_contains($ids, parent_promotion_id) AND list_contains($kinds, kind))")
    if written_at:
        parameters["times"] = sorted(written_at)
        touched.append("(layer = 'gold' AND list_contains($times, decided_at))")
    if not touched:
        return []
    order = "ORDER BY decided_at, layer DESC, promotion_id"
    return _select(files, list(LEDGERS.values()), f"WHERE {' OR '.join(touched)} {order}", parameters)


def explain_promotion(lake: OpenLake, promotion_id: str) -> Explanation:
    """Why a promotion was decided as it was.

    Raises:
        PromotionUnknown: neither a ledger nor a held table has it.
    """
    files = TableFiles(lake)
    rows = _select(files, list(LEDGERS.values()), "WHERE promotion_id = $id", {"id": promotion_id})
    held = {layer: _open_rows(files, table).get(promotion_id, 0) for layer, table in HELD_TABLES.items()}
    if not rows and not any(held.values()):
        raise PromotionUnknown(f"no ledger has a promotion {promotion_id!r}", "sluice gate history shows their ids")
    layer = str(rows[0]["layer"]) if rows else max(held, key=lambda name: held[name])
    ledger = rows[0] if rows else {**dict.fromkeys(LEDGERS[layer].column_names), "layer": layer}
    result = _read_result(lake.path, layer, promotion_id)
    rules = tuple(_rules_of_result(result)) if result else tuple(_rules_of_ledger(ledger, Configs(files)))
    meta = result.get("meta") if result else None
    facts = meta.get("facts") if isinstance(meta, Mapping) else None
    promotion = {**ledger, "promotion_id": promotion_id}
    page = _page(lake.path, promotion["docs_page"])
    return Explanation(promotion, rules, dict(facts or {}), held[layer], page, result is not None)


def _select(files: TableFiles, tables: Collection[Table], rest: str, parameters: Mapping[str, object]) -> list[Row]:
    ledgers = " UNION ALL BY NAME ".join(f"SELECT * FROM {table.full_name}" for table in tables)  # noqa: S608
    found = files.query(f"SELECT * FROM ({ledgers}) {rest}", parameters, tables)  # noqa: S608 (our own names)
    empty = dict.fromkeys(OPS_SILVER_PROMOTIONS.column_names)
    return [{**empty, **row} for row in found]


def _open_rows(files: TableFiles, table: Table) -> dict[str, int]:
    sql = f"SELECT promotion_id, count(*) AS n FROM {table.full_name} WHERE status = 'open' GROUP BY ALL"  # noqa: S608
    return {row["promotion_id"]: row["n"] for row in files.query(sql, {}, [table])}


def _read_result(lake_path: Path, layer: str, promotion_id: str) -> Row | None:
    path = lake_path / "_validations" / layer / f"{promotion_id}.json"
    # An id is typed by a person: it must name a file of that folder and no other.
    if path.parent != lake_path / "_validations" / layer or "/" in promotion_id:
        return None
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    results = content.get("results") if isinstance(content, dict) else None
    is_whole = isinstance(results, list) and all(isinstance(entry, dict) for entry in results)
    return content if is_whole else None


def _rules_of_result(result: Row) -> Iterator[Row]:
    for entry in result["results"]:
        if entry.get("success"):
            continue
        rule, seen = entry.get("expectation_config") or {}, entry.get("result") or {}
        yield {
            **_described(rule),
            "count": seen.get("unexpected_count"),
            "share_percent": seen.get("unexpected_percent"),
            "examples": seen.get("partial_unexpected_list") or [],
            "observed": seen.get("observed_value"),
            "error": _exception(entry.get("exception_info")),
        }


def _rules_of_ledger(ledger: Row, configs: Configs) -> Iterator[Row]:
    rows_in = ledger["rows_in"]
    for rule_id, count in sorted((ledger["rule_counts"] or {}).items(), key=lambda item: (-item[1], item[0])):
        if rule_id.startswith(REPLAY_NOTE):
            continue
        yield {
            **_described(configs.rule(ledger["suite_hash"], rule_id) or {}),
            "rule_id": rule_id,
            "count": count,
            "share_percent": round(100 * count / rows_in, 3) if rows_in else None,
            "examples": [],
            "observed": None,
            "error": None,
        }


def _described(rule: Row) -> Row:
    meta = rule.get("meta") or {}
    found = {name: rule.get(name) for name in ("type", "kwargs", "severity", "description")}
    return {"rule_id": meta.get("rule_id"), "dimension": meta.get("dimension"), **found}


def _exception(info: Any) -> str | None:
    if not isinstance(info, Mapping):
        return None
    # GX gives one flat entry, or one per metric id.
    entries = [info] if "raised_exception" in info else [each for each in info.values() if isinstance(each, Mapping)]
    messages = [str(each.get("exception_message")) for each in entries if each.get("raised_exception")]
    return "; ".join(messages) or None


def _page(lake_path: Path, written: str | None) -> str | None:
    if not written:
        return None
    path = lake_path / written
    return str(path) if path.is_file() else written

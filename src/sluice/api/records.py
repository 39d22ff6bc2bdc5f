"""Scores, promotions, refused records and alerts: small tables, asked by DuckDB with bound parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import duckdb

from sluice.api.asking import Question, Rows, row_limit
from sluice.api.cursors import read_cursor, write_cursor
from sluice.api.moments import microseconds, parse_day, parse_moment
from sluice.api.parameters import AlertsOf, PromotionsOf, QualityOf, QuarantineOf
from sluice.api.problems import busy, wrong
from sluice.schemas import GOLD_ALERTS, GOLD_QUALITY_SCORES, LEDGERS, OPS_SILVER_PROMOTIONS, SILVER_QUARANTINE
from sluice.serving.empty_tables import empty_view
from sluice.serving.values import json_lines
from sluice.tables.reading import connect

Values = dict[str, Any]
QUALITY, ALERTS, QUARANTINE = GOLD_QUALITY_SCORES.full_name, GOLD_ALERTS.full_name, SILVER_QUARANTINE.full_name
PROMOTIONS = tuple(table.full_name for table in LEDGERS.values())
_MINE = "($customers IS NULL OR list_contains($customers, customer))"
_QUALITY = f"""
SELECT {", ".join(GOLD_QUALITY_SCORES.column_names)} FROM gold.quality_scores
WHERE day BETWEEN $since AND $until AND {_MINE}
    AND ($device_id IS NULL OR device_id = $device_id) AND ($customer IS NULL OR customer = $customer)
    AND ($c0 IS NULL OR (day::VARCHAR, coalesce(customer, ''), device_id) > ($c0, $c1, $c2))
ORDER BY day, coalesce(customer, ''), device_id LIMIT $limit
"""  # noqa: S608 (our own names)
_PROMOTIONS = f"""
SELECT {", ".join(OPS_SILVER_PROMOTIONS.column_names)}
FROM (SELECT * FROM ops.silver_promotions UNION ALL BY NAME SELECT * FROM ops.gold_promotions)
WHERE ($layer IS NULL OR layer = $layer) AND ($verdict IS NULL OR verdict = $verdict)
    AND ($since IS NULL OR decided_at >= $since) AND ($until IS NULL OR decided_at < $until)
    AND ($c0 IS NULL OR (epoch_us(decided_at), promotion_id) < ($c0, $c1))
ORDER BY decided_at DESC, promotion_id DESC LIMIT $limit
"""  # noqa: S608
_COUNTS = """
SELECT
    error_code, stage, status, count(*) AS records, count(DISTINCT device_id) AS devices,
    min(first_seen_at) AS first_seen_at, max(last_seen_at) AS last_seen_at
FROM silver.quarantine
WHERE ($status IS NULL OR status = $status)
    AND ($since IS NULL OR first_seen_at >= $since) AND ($until IS NULL OR first_seen_at < $until)
    AND ($devices IS NULL OR list_contains($devices, device_id))
GROUP BY ALL ORDER BY records DESC, error_code, stage, status
"""
_ALERTS = f"""
SELECT {", ".join(name for name in GOLD_ALERTS.column_names if name != GOLD_ALERTS.partition_by)} FROM gold.alerts
WHERE {_MINE} AND ($status IS NULL OR status = $status)
    AND ($device_id IS NULL OR device_id = $device_id) AND ($customer IS NULL OR customer = $customer)
    AND ($since IS NULL OR opened_at >= $since) AND ($until IS NULL OR opened_at < $until)
    AND ($c0 IS NULL OR (epoch_us(opened_at), alert_id) < ($c0, $c1))
ORDER BY opened_at DESC, alert_id DESC LIMIT $limit
"""  # noqa: S608


def list_quality(question: Question, given: QualityOf) -> Rows:
    """Scores in the order of day, customer and device."""
    until = parse_day("until", given.until) if given.until else question.asked.at.date()
    since = _first_day(given.since, until)
    if not 0 <= (until - since).days <= (most := question.asked.service.settings.max_range_days):
        raise wrong("since", f"must not lie after until, nor more than {most:g} days before")
    values = {**_scoped(question), "since": since, "until": until}
    values |= {"device_id": given.device_id, "customer": given.customer}
    return _page(question, "quality", [QUALITY], _QUALITY, values, given, (str, str, str), _after_score)


def list_promotions(question: Question, given: PromotionsOf) -> Rows:
    """What the gates decided, the newest first; of all customers together, so not for keys of some."""
    question.asked.require_all("promotions")
    values = {"layer": given.layer, "verdict": given.verdict, **_times(given.since, given.until)}
    return _page(question, "promotions", PROMOTIONS, _PROMOTIONS, values, given, (int, str), _after_promotion)


def count_quarantine(question: Question, given: QuarantineOf) -> Rows:
    """How many records were refused, by code, stage and status; to keys of customers those of devices always theirs."""
    owners, customers = question.asked.snapshot.owners, question.asked.customers
    devices = None
    if customers is not None:
        devices = [each for each in owners.devices if owners.sole_customer(each) in customers]
    values = {"status": given.status, "devices": devices, **_times(given.since, given.until)}
    columns, rows = _select(question, [QUARANTINE], _COUNTS, values)
    return Rows("".join(json_lines(columns, rows)).encode())


def list_alerts(question: Question, given: AlertsOf) -> Rows:
    """Alerts, the newest first."""
    values = {**_scoped(question), **_times(given.since, given.until)}
    values |= {"status": given.status, "device_id": given.device_id, "customer": given.customer}
    return _page(question, "alerts", [ALERTS], _ALERTS, values, given, (int, str), _after_alert)


def _page(
    question: Question,
    kind: str,
    tables: Sequence[str],
    sql: str,
    values: Values,
    given: QualityOf | PromotionsOf | AlertsOf,
    types: Sequence[type],
    after: Any,
) -> Rows:
    limit = row_limit(given.limit, question.asked.service.settings)
    place = read_cursor(kind, given.cursor, types) if given.cursor else [None] * len(types)
    values = {**values, "limit": limit + 1, **{f"c{number}": part for number, part in enumerate(place)}}
    columns, rows = _select(question, tables, sql, values)
    cursor = None
    if len(rows) > limit:
        rows = rows[:limit]
        cursor = write_cursor(kind, after(dict(zip(columns, rows[-1], strict=True))))
    return Rows("".join(json_lines(columns, rows)).encode(), cursor)


def _select(
    question: Question, names: Sequence[str], sql: str, values: Mapping[str, Any]
) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    connection = connect()
    for name in names:
        version = question.asked.table(name)
        layer, table = name.split(".")
        if version is None:
            connection.execute(empty_view(name))
            continue
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {layer}")
        connection.execute(f"USE memory.{layer}")
        connection.from_arrow(version.dataset).create_view(table, replace=True)
        connection.execute("USE memory.main")
    try:
        with question.deadline.interrupting(connection):
            result = connection.execute(sql, dict(values))
            columns = tuple(column[0] for column in result.description or ())
            return columns, result.fetchall()
    except (duckdb.IOException, FileNotFoundError):
        raise busy("a file of the lake went away while it was read; try again") from None
    finally:
        connection.close()


def _scoped(question: Question) -> Values:
    customers = question.asked.customers
    return {"customers": None if customers is None else sorted(customers)}


def _times(since: str | None, until: str | None) -> Values:
    begin = parse_moment("since", since) if since is not None else None
    end = parse_moment("until", until) if until is not None else None
    if begin is not None and end is not None and begin >= end:
        raise wrong("since", "must lie before until")
    return {"since": begin, "until": end}


def _first_day(since: str | None, until: date) -> date:
    if since is not None:
        return parse_day("since", since)
    return max(date.min + timedelta(days=7), until) - timedelta(days=7)


def _after_score(row: Values) -> tuple[str, str, str]:
    return row["day"].isoformat(), row["customer"] or "", row["device_id"]


def _after_promotion(row: Values) -> tuple[int, str]:
    return microseconds(row["decided_at"]), row["promotion_id"]


def _after_alert(row: Values) -> tuple[int, str]:
    return microseconds(row["opened_at"]), row["alert_id"]

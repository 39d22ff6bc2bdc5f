"""The alerts of the lake, as far as an alert log wrote them."""

from __future__ import annotations

from dataclasses import dataclass

from sluice.dashboard.rows import Row, select
from sluice.schemas import ALERT_ACKNOWLEDGED, ALERT_FIRING, ALERT_RESOLVED, GOLD_ALERTS
from sluice.serving.lake import OpenLake

COLUMNS = (
    *("severity", "status", "rule_id", "subject", "metric", "threshold", "first_value", "last_value", "signal_count"),
    *("text", "opened_at", "acknowledged_by", "resolved_at"),
)


@dataclass(frozen=True)
class Alerts:
    """What is known of alerts.

    Attributes:
        firing: how many nobody has acknowledged and nothing has resolved.
        acknowledged: how many a person has seen, and are not resolved.
        newest: the open ones, then the others, each the newest first, in COLUMNS.
    """

    firing: int
    acknowledged: int
    newest: tuple[Row, ...]

    @property
    def open(self) -> int:
        """Those that are not resolved."""
        return self.firing + self.acknowledged


def read_alerts(lake: OpenLake, devices: tuple[str, ...] | None, limit: int) -> Alerts | None:
    """The alerts of the given devices (None: all, of gates too), so many in detail; None without an alert log."""
    if GOLD_ALERTS.full_name not in lake.tables():
        return None
    chosen = "" if devices is None else "WHERE device_id IN (SELECT unnest($devices))"
    counted = f"SELECT status, count(*) AS alerts FROM gold.alerts {chosen} GROUP BY ALL"  # noqa: S608 (our own names)
    counts = {row["status"]: row["alerts"] for row in select(lake, counted, {}, devices)}
    listed = f"""SELECT {", ".join(COLUMNS)} FROM gold.alerts {chosen}
        ORDER BY status = '{ALERT_RESOLVED}', opened_at DESC, alert_id LIMIT {limit}"""  # noqa: S608 (our own names)
    newest = select(lake, listed, {}, devices)
    return Alerts(counts.get(ALERT_FIRING, 0), counts.get(ALERT_ACKNOWLEDGED, 0), tuple(newest))

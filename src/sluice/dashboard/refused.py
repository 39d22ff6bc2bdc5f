"""What silver refused, by reason."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sluice.schemas import QUARANTINE_OPEN, SILVER_QUARANTINE
from sluice.serving.files import TableFiles
from sluice.serving.lake import OpenLake


@dataclass(frozen=True)
class Reason:
    """Quarantined records of one error code.

    Attributes:
        open_records: those that wait for a person.
        settled_records: those that were replayed or discarded.
        newest_at: when the last of them was quarantined, UTC.
    """

    error_code: str
    stage: str
    open_records: int
    settled_records: int
    newest_at: datetime


def read_reasons(lake: OpenLake, devices: tuple[str, ...] | None) -> list[Reason]:
    """Error codes and stages, those with most open records first.

    Args:
        devices: only records of these, as far as their device could be read; None takes all.
    """
    chosen = "" if devices is None else "WHERE device_id IN (SELECT unnest($devices))"
    sql = f"""SELECT error_code, stage, count_if(status = $open) AS open_records,
            count_if(status <> $open) AS settled_records, max(first_seen_at) AS newest_at
        FROM silver.quarantine {chosen} GROUP BY ALL ORDER BY 3 DESC, 4 DESC, 1, 2"""  # noqa: S608 (our own names)
    parameters: dict[str, object] = {"open": QUARANTINE_OPEN}
    if devices is not None:
        parameters["devices"] = list(devices)
    return [Reason(**row) for row in TableFiles(lake).query(sql, parameters, [SILVER_QUARANTINE])]

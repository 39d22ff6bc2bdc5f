"""What can be exported, and in which order its rows stand in a file. Data only."""

from __future__ import annotations

from dataclasses import dataclass

from sluice.errors import ExportInvalid
from sluice.schemas import TABLES, Table

CUSTOMER = "customer"
# Keys, so that the order, and with it a file's bytes, is the same each time.
_ORDERS = {
    "silver.readings": ("event_time", "device_id", "event_id"),
    "gold.readings_1min": ("bucket", "device_id", "metric"),
    "gold.readings_1hour": ("bucket", "device_id", "metric"),
    "gold.readings_1day": ("bucket", "device_id", "metric"),
    "gold.quality_scores": ("device_id",),
    "gold.alerts": ("first_event_time", "alert_id"),
}
_TABLES = {table.full_name: table for table in TABLES}
EXPORTED = tuple(name for name in _ORDERS if name in _TABLES)


@dataclass(frozen=True)
class ExportTable:
    """A table that can be exported; it is partitioned by its day.

    Attributes:
        order: columns that identify a row within a day.
    """

    table: Table
    order: tuple[str, ...]

    @property
    def name(self) -> str:
        """`layer.name`."""
        return self.table.full_name

    @property
    def day(self) -> str:
        """The column that holds the UTC day."""
        return self.table.partition_by

    @property
    def time(self) -> str:
        """The column by which a device's customer is looked for."""
        return self.order[0]

    @property
    def knows_customers(self) -> bool:
        """Whether rows say whose they are; else it is looked for by device and time."""
        return CUSTOMER in self.table.column_names


def find_table(name: str) -> ExportTable:
    """The table of that name.

    Raises:
        ExportInvalid: it cannot be exported.
    """
    if name not in EXPORTED:
        raise ExportInvalid(f"--table {name}: not a table that is exported by day", f"there are: {', '.join(EXPORTED)}")
    return ExportTable(_TABLES[name], _ORDERS[name])

"""The rows of one day of a table, by customer, each customer's in the order of the key."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import date
from typing import Any

import pyarrow as pa

from sluice.serving.export.owners import Owners
from sluice.serving.export.tables import CUSTOMER, ExportTable
from sluice.serving.lake import OpenLake
from sluice.tables.reading import connect

_ROWS_AT_ONCE = 65_536
_TIME = pa.timestamp("us", tz="UTC")


class DayRows:
    """Reads days of a table at one version.

    Attributes:
        schema: of what is exported: the table's columns, and the customer where they lack it.
    """

    def __init__(self, lake: OpenLake, table: ExportTable, version: int, owners: Owners | None) -> None:
        self._dataset = lake.dataset(table.name, version)
        self._table = table
        self._connection = connect()
        fields = [pa.field(each.name, _plain(each.type)) for each in self._dataset.schema]
        if owners is not None:
            fields.append(pa.field(CUSTOMER, pa.string()))
            self._connection.register("owners", owners.rows)
        self.schema = pa.schema(fields)

    def of(self, day: date, customer: str | None) -> Iterator[tuple[str | None, pa.RecordBatch]]:
        """The rows in portions of one customer each; those of none come first.

        Args:
            customer: only this one's; None for all.
        """
        self._connection.register("scanned", self._scanner(day))
        answer = self._connection.sql(self._sql(customer), params={CUSTOMER: customer} if customer else None)
        for batch in answer.to_arrow_reader(_ROWS_AT_ONCE):
            yield from _by_customer(pa.table(batch).cast(self.schema).combine_chunks())

    def _scanner(self, day: date) -> Any:
        import pyarrow.compute as pc

        # As numbers: DuckDB takes the last moment that 64 bits hold for infinity.
        columns = {
            each.name: pc.field(each.name).cast(pa.int64()) if pa.types.is_timestamp(each.type) else pc.field(each.name)
            for each in self._dataset.schema
        }
        return self._dataset.scanner(columns=columns, filter=pc.field(self._table.day) == day)

    def _sql(self, customer: str | None) -> str:
        owned = self._table.knows_customers
        columns = ", ".join(f's."{name}"' for name in self._dataset.schema.names)
        rows = (
            "scanned AS s"
            if owned
            else "scanned AS s LEFT JOIN owners AS o ON s.device_id = o.device_id "
            f'AND s."{self._table.time}" >= o.since AND s."{self._table.time}" < o.until'
        )
        whose = f"s.{CUSTOMER}" if owned else f"o.{CUSTOMER}"
        selected = columns if owned else f"{columns}, {whose}"
        chosen = f" WHERE {whose} = ${CUSTOMER}" if customer else ""
        order = ", ".join(f's."{name}"' for name in self._table.order)
        return f"SELECT {selected} FROM {rows}{chosen} ORDER BY {whose} NULLS FIRST, {order}"  # noqa: S608 (our names)


def _plain(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind):
        return _TIME
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    return kind


def _by_customer(rows: pa.Table) -> Iterator[tuple[str | None, pa.RecordBatch]]:
    customers = rows[CUSTOMER].to_pylist()
    start = 0
    for customer, group in itertools.groupby(customers):
        end = start + sum(1 for _ in group)
        for batch in rows.slice(start, end - start).to_batches():
            yield customer, batch
        start = end

"""Whose a device was, and when: for tables whose rows do not say their customer."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from sluice.serving.lake import OpenLake
from sluice.tables.reading import connect

DEVICES = "gold.devices"
_SCHEMA = pa.schema(
    [("device_id", pa.string()), ("customer", pa.string()), ("since", pa.int64()), ("until", pa.int64())]
)
# A device has a row for each metric, which may change apart; its first customer is also that of what came before.
_PERIODS = """
WITH periods AS (
    SELECT device_id, valid_from, max(customer) AS customer, max(coalesce(valid_to, 9223372036854775807)) AS valid_to
    FROM devices GROUP BY device_id, valid_from
), following AS (
    SELECT *, lead(valid_from) OVER each_device AS next, row_number() OVER each_device AS place
    FROM periods WINDOW each_device AS (PARTITION BY device_id ORDER BY valid_from)
)
SELECT device_id, customer, CASE WHEN place = 1 THEN -9223372036854775808 ELSE valid_from END AS since,
    least(valid_to, coalesce(next, 9223372036854775807)) AS until
FROM following ORDER BY device_id, since
"""


@dataclass(frozen=True)
class Owners:
    """Customers of devices.

    Attributes:
        rows: device_id, customer, since, until: microseconds since 1970, half-open, and of a device never two at once.
        digest: changes with the rows.
    """

    rows: pa.Table
    digest: str


def owners_in(lake: OpenLake) -> Owners:
    """As gold/devices says: who was registered when; before a device's first registration, as from then on."""
    import pyarrow.compute as pc

    columns = {name: pc.field(name) for name in ("device_id", "customer")}
    columns |= {name: pc.field(name).cast(pa.int64()) for name in ("valid_from", "valid_to")}
    connection = connect()
    connection.register("devices", lake.dataset(DEVICES).scanner(columns=columns))
    return _owners(connection.sql(_PERIODS).to_arrow_table())


def owners_of(customers: Sequence[tuple[str, str | None]]) -> Owners:
    """Devices with their customers, the same for all times."""
    rows = [
        {"device_id": device_id, "customer": customer, "since": -(2**63), "until": 2**63 - 1}
        for device_id, customer in sorted(customers)
    ]
    return _owners(pa.Table.from_pylist(rows, _SCHEMA))


def _owners(rows: pa.Table) -> Owners:
    cast = rows.cast(_SCHEMA)
    return Owners(cast, hashlib.sha256(repr(cast.to_pydict()).encode("utf-8", "backslashreplace")).hexdigest())

"""A device registry as rows: one for each device and metric. No Spark."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from sluice.schemas import GOLD_DEVICES
from sluice.tables.rows import arrow_schema
from sluice.transforms.registry import Device, Registry

DEVICE_KEY = ("device_id", "metric")
# What a device and metric are registered with; a change of it opens a new row of gold/devices.
REGISTERED = (
    *("customer", "site", "latitude", "longitude", "expected_interval_seconds"),
    *("unit", "min", "max"),
)
_BATCH_DEVICES = 50_000


def registered_rows(registry: Registry) -> pa.Table:
    """A row for each device and metric of a registry: device_id, metric and REGISTERED."""
    kinds = arrow_schema(GOLD_DEVICES)
    schema = pa.schema([kinds.field(name) for name in (*DEVICE_KEY, *REGISTERED)])
    places = range(0, len(registry.devices), _BATCH_DEVICES)
    parts = (registry.devices[place : place + _BATCH_DEVICES] for place in places)
    return pa.Table.from_batches([_batch(part, schema) for part in parts], schema)


def _batch(devices: Sequence[Device], schema: pa.Schema) -> pa.RecordBatch:
    rows = [
        (
            *(device.device_id, metric.name, device.customer, device.site, device.latitude, device.longitude),
            *(device.expected_interval_seconds, metric.unit, metric.minimum, metric.maximum),
        )
        for device in devices
        for metric in device.metrics
    ]
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)

"""gold/devices: what was registered of each device and metric, and from when to when.

Gold's job compares the registry it was started with once, with what the table says is registered now: what differs or
is gone is closed, what is new is opened, in one commit. Rows of devices that did not change stay as they are. Which
registry the table stands for is noted after it: a death between the two repeats work that changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import deltalake
import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from sluice.pipelines.registered import DEVICE_KEY, REGISTERED, registered_rows
from sluice.pipelines.rulebook import REGISTRY, Rulebook
from sluice.schemas import GOLD_DEVICES, OPS_CONFIGS
from sluice.settings import Settings
from sluice.tables.coverage import DEVICES, Coverage, read_coverage, write_coverage
from sluice.tables.delta import current_version
from sluice.tables.lake import Lake
from sluice.tables.reading import connect, open_dataset
from sluice.tables.rows import arrow_schema, read_rows, replace_values
from sluice.transforms.registry import Registry

logger = logging.getLogger("sluice")
# Up to so many devices are replaced among the others, beyond it the table is written anew.
_MOST_NAMED = 1000

_COLUMNS = ", ".join(f'"{name}"' for name in (*DEVICE_KEY, *REGISTERED))
_SAME = " AND ".join(f"a.{name} IS NOT DISTINCT FROM b.{name}" for name in REGISTERED)
_MET = " AND ".join(f"a.{name} = b.{name}" for name in DEVICE_KEY)
# What is registered otherwise than before, by key: whether a row is to be closed, and whether one is to be opened.
_CHANGED = f"""
CREATE TEMP TABLE changed AS
SELECT coalesce(a.device_id, b.device_id) AS device_id, coalesce(a.metric, b.metric) AS metric,
    a.device_id IS NOT NULL AS closes, b.device_id IS NOT NULL AS opens
FROM (FROM known WHERE valid_to IS NULL) AS a FULL JOIN registered AS b ON {_MET}
WHERE a.device_id IS NULL OR b.device_id IS NULL OR NOT ({_SAME})
"""  # noqa: S608 (our own names)
_HISTORY = f"""
SELECT a.* REPLACE (CASE WHEN b.closes AND a.valid_to IS NULL THEN $moment ELSE a.valid_to END AS valid_to)
FROM known AS a LEFT JOIN changed AS b ON {_MET} WHERE {{wanted}}
UNION ALL BY NAME
SELECT {_COLUMNS}, $moment AS valid_from, NULL AS valid_to, $hash AS registry_hash
FROM registered AS a SEMI JOIN (FROM changed WHERE opens) AS b ON {_MET}
ORDER BY device_id, metric, valid_from
"""  # noqa: S608 (our own names)


def open_devices(settings: Settings, rulebook: Rulebook) -> DeviceHistory:
    """What keeps gold/devices under a registry.

    Args:
        rulebook: of gold.
    """
    return DeviceHistory(Lake(settings.lake.path), rulebook.registry, rulebook.hashes[REGISTRY])


class DeviceHistory:
    """Keeps gold/devices; owned by gold's job.

    Args:
        registry_hash: of the registry's text.
        now: the time, UTC.
    """

    def __init__(
        self,
        lake: Lake,
        registry: Registry,
        registry_hash: str,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        self._lake = lake
        self._registry = registry
        self._hash = registry_hash
        self._now = now
        self._is_done = False

    def is_due(self, has_ended: bool) -> bool:  # noqa: ARG002 (as the other parts)
        """Whether this registry has not been looked at yet; a job keeps the one it was started with."""
        return not self._is_done

    def bring_up_to_date(self) -> int:
        """Opens and closes rows; how many devices and metrics are registered otherwise than before."""
        covered = read_coverage(self._lake, DEVICES)
        mine = Coverage({GOLD_DEVICES.full_name: current_version(self._lake, GOLD_DEVICES)}, self._hash)
        changed = 0 if covered == mine else self._update()
        self._is_done = True
        return changed

    def _update(self) -> int:
        connection = connect()
        target = deltalake.DeltaTable(self._lake.table_path(GOLD_DEVICES))
        known = open_dataset(target, self._lake.table_path(GOLD_DEVICES)).to_table()
        # Times as numbers, which need no time zone.
        connection.register("known", _with_times(known, pa.int64()))
        connection.register("registered", registered_rows(self._registry))
        connection.execute(_CHANGED)
        changed = connection.execute("SELECT count(*) FROM changed").fetchall()[0][0]
        if changed:
            self._write(connection, self._moment(known))
            logger.info("gold   devices: %s are registered otherwise than before", f"{changed:,}")
        version = current_version(self._lake, GOLD_DEVICES)
        write_coverage(self._lake, DEVICES, Coverage({GOLD_DEVICES.full_name: version}, self._hash))
        return int(changed)

    def _write(self, connection: duckdb.DuckDBPyConnection, moment: datetime) -> None:
        sql = f"SELECT DISTINCT device_id FROM changed LIMIT {_MOST_NAMED + 1}"  # noqa: S608 (our own names)
        devices = [device for (device,) in connection.execute(sql).fetchall()]
        is_few = len(devices) <= _MOST_NAMED
        parameters = {"moment": _micros(moment), "hash": self._hash, **({"devices": devices} if is_few else {})}
        wanted = "list_contains($devices, a.device_id)" if is_few else "true"
        history = connection.sql(_HISTORY.format(wanted=wanted), params=parameters).to_arrow_table()
        rows = history.select(GOLD_DEVICES.column_names).cast(arrow_schema(GOLD_DEVICES))
        replace_values(rows, self._lake, GOLD_DEVICES, "device_id", devices if is_few else None)

    def _moment(self, known: pa.Table) -> datetime:
        """From when on the registry is valid: when it first decided something, else now; later than all before it."""
        ends = (pc.max(known[name]).as_py() for name in ("valid_from", "valid_to"))
        newest = max(filter(None, ends), default=None)
        used = self._first_used_at()
        if used and (newest is None or used > newest):
            return used
        now = self._now()
        return now if newest is None else max(now, newest + timedelta(microseconds=1))

    def _first_used_at(self) -> datetime | None:
        if not self._lake.has_table(OPS_CONFIGS):
            return None
        rows = read_rows(self._lake, OPS_CONFIGS, ("kind", "hash", "first_used_at"))
        found = [row["first_used_at"] for row in rows if (row["kind"], row["hash"]) == (REGISTRY, self._hash)]
        return min(filter(None, found), default=None)


def _with_times(rows: pa.Table, kind: pa.DataType) -> pa.Table:
    for name in ("valid_from", "valid_to"):
        rows = rows.set_column(rows.column_names.index(name), name, rows[name].cast(kind))
    return rows


def _micros(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(microseconds=1)

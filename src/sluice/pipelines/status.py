"""How a lake is doing, without Spark: the broker, and per layer its owner, lag and last verdict."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

from deltalake import DeltaTable

from sluice.embedded.broker import running_broker
from sluice.errors import SluiceError
from sluice.schemas import (
    BRONZE_EVENTS,
    HOLD,
    LAYERS,
    OPS_GOLD_PROMOTIONS,
    OPS_SILVER_PROMOTIONS,
    UPSTREAM,
    Table,
)
from sluice.settings import Settings
from sluice.sources.kafka import end_offsets, resolve_bootstrap
from sluice.tables.checkpoints import delta_version, kafka_offsets
from sluice.tables.lake import Lake, Owner, layer_owner

_LEDGERS = {"silver": OPS_SILVER_PROMOTIONS, "gold": OPS_GOLD_PROMOTIONS}


@dataclass(frozen=True)
class BrokerStatus:
    """The broker in use: the configured one, or the embedded one while it is up."""

    bootstrap_servers: str | None
    embedded: bool
    topic: str
    up: bool
    problem: str | None


@dataclass(frozen=True)
class LayerStatus:
    """One layer.

    Attributes:
        lag_rows: rows of the layer above it that it has not committed yet; null if that cannot be known.
        lag_seconds: since the oldest commit above it that it has not read; for bronze since the last record it
            landed; 0 where nothing waits, null if that cannot be known.
        last_verdict: of the newest ledger row; null for bronze, which has no gate.
        open_holds: held promotions that nobody has decided.
    """

    layer: str
    running: bool
    pid: int | None
    host: str | None
    lag_rows: int | None
    lag_seconds: float | None
    last_verdict: str | None
    breaker: str | None
    open_holds: int
    last_batch_at: str | None


@dataclass(frozen=True)
class Status:
    """Broker and layers."""

    lake: str
    broker: BrokerStatus
    layers: tuple[LayerStatus, ...]

    @property
    def is_well(self) -> bool:
        """Whether the broker answers and every layer that somebody has started is running or drained."""
        return self.broker.up and all(layer.running or not layer.lag_rows for layer in self.layers)

    def as_json(self) -> dict[str, Any]:
        """The same as plain values, `layers` by name."""
        content = asdict(self)
        content["layers"] = {layer.layer: asdict(layer) for layer in self.layers}
        return {**content, "well": self.is_well}


def read_status(settings: Settings) -> Status:
    """The state of the broker and the lake that the settings name.

    Raises:
        LakeTooNew: a newer version of Sluice wrote the lake.
    """
    lake = Lake(settings.lake.path)
    lake.check_format()
    broker, ends = _read_broker(settings)
    layers = tuple(_read_layer(lake, layer, settings.kafka.topic, ends) for layer in LAYERS)
    return Status(str(lake.path), broker, layers)


def _read_broker(settings: Settings) -> tuple[BrokerStatus, dict[int, int] | None]:
    topic = settings.kafka.topic
    embedded = running_broker(settings.broker.data_path)
    address = settings.kafka.bootstrap_servers or (embedded.bootstrap_servers if embedded else None)
    is_embedded = embedded is not None and address == embedded.bootstrap_servers
    try:
        ends = end_offsets(resolve_bootstrap(settings, address), topic, settings.kafka.options)
    except SluiceError as error:
        return BrokerStatus(address, is_embedded, topic, False, error.message), None
    return BrokerStatus(address, is_embedded, topic, True, None), ends


def _read_layer(lake: Lake, layer: str, topic: str, ends: dict[int, int] | None) -> LayerStatus:
    owner: Owner | None = layer_owner(lake, layer)
    rows, seconds = _bronze_lag(lake, topic, ends) if layer == "bronze" else _delta_lag(lake, layer)
    verdict, decided_at = _last_promotion(lake, layer)
    return LayerStatus(
        layer=layer,
        running=owner is not None,
        pid=owner.pid if owner else None,
        host=owner.host if owner else None,
        lag_rows=rows,
        lag_seconds=seconds,
        last_verdict=verdict,
        breaker=None,
        open_holds=1 if verdict == HOLD else 0,
        last_batch_at=decided_at,
    )


def _bronze_lag(lake: Lake, topic: str, ends: dict[int, int] | None) -> tuple[int | None, float | None]:
    if ends is None:
        return None, None
    read = kafka_offsets(lake.checkpoint_path("bronze")).get(topic, {})
    waiting = sum(max(0, end - read.get(partition, 0)) for partition, end in ends.items())
    if not waiting:
        return 0, 0.0
    landed = _history(lake, BRONZE_EVENTS, 1)
    return waiting, round(time.time() - landed[0]["timestamp"] / 1000, 1) if landed else None


def _delta_lag(lake: Lake, layer: str) -> tuple[int | None, float | None]:
    upstream = UPSTREAM[layer]
    if not lake.has_table(upstream):
        return 0, 0.0
    read = delta_version(lake.checkpoint_path(layer))
    newest = DeltaTable(lake.table_path(upstream)).version()
    unread = newest - (-1 if read is None else read)
    if unread <= 0:
        return 0, 0.0
    commits = [commit for commit in _history(lake, upstream, unread) if _rows(commit)]
    if not commits:
        return 0, 0.0
    oldest = min(commit["timestamp"] for commit in commits)
    return sum(map(_rows, commits)), round(time.time() - oldest / 1000, 1)


def _history(lake: Lake, table: Table, commits: int) -> list[dict[str, Any]]:
    if not lake.has_table(table):
        return []
    return DeltaTable(lake.table_path(table)).history(commits)


def _rows(commit: dict[str, Any]) -> int:
    return int((commit.get("operationMetrics") or {}).get("numOutputRows", 0) or 0)


def _last_promotion(lake: Lake, layer: str) -> tuple[str | None, str | None]:
    table = _LEDGERS.get(layer)
    if table is None or not lake.has_table(table):
        return None, None
    rows = DeltaTable(lake.table_path(table)).to_pyarrow_dataset().to_table(columns=["verdict", "decided_at"])
    if not rows.num_rows:
        return None, None
    newest = rows.sort_by([("decided_at", "descending")]).slice(0, 1).to_pylist()[0]
    return newest["verdict"], newest["decided_at"].isoformat()

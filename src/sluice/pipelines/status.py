"""How a lake is doing, without Spark: the broker, and per layer its owner, lag, last verdict, breaker and holds."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

from deltalake import DeltaTable

from sluice.alerting.alert_log import OWNER as ALERT_LOG
from sluice.alerting.running import OWNER as DISPATCH
from sluice.embedded.broker import running_broker
from sluice.errors import SluiceError
from sluice.pipelines.alert_start import NAME as ALERT_QUERY
from sluice.schemas import BRONZE_EVENTS, LAYERS, UPSTREAM
from sluice.serving.lake import OpenLake
from sluice.serving.promotions import CLOSED, GATED_LAYERS, Hold, open_holds, read_breaker, read_history
from sluice.settings import Settings
from sluice.sources.kafka import end_offsets, resolve_bootstrap
from sluice.tables.changes import unread_rows
from sluice.tables.checkpoints import delta_version, kafka_offsets
from sluice.tables.lake import Lake, Owner, layer_owner


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
        breaker: state of the layer's gate, closed unless its file says otherwise; null for bronze.
        open_holds: promotions with held rows that nobody has decided about.
        oldest_hold: promotion_id of the one held longest; null where nothing is held.
        oldest_hold_at: when that was; null where its ledger row is not written yet.
        oldest_hold_seconds: how long ago.
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
    oldest_hold: str | None
    oldest_hold_at: str | None
    oldest_hold_seconds: float | None
    last_batch_at: str | None


@dataclass(frozen=True)
class ProcessStatus:
    """A process that works beside the layers, and whether one holds its lock; nobody complains if none does."""

    name: str
    running: bool
    pid: int | None
    host: str | None


@dataclass(frozen=True)
class Status:
    """Broker, layers and what works beside them.

    Attributes:
        notice_after_hours: a hold older than this is a complaint.
    """

    lake: str
    broker: BrokerStatus
    layers: tuple[LayerStatus, ...]
    processes: tuple[ProcessStatus, ...]
    notice_after_hours: float

    @property
    def is_well(self) -> bool:
        """Whether there is nothing to complain of."""
        return not self.complaints

    @property
    def complaints(self) -> list[str]:
        """What a person should look at: broker down, layers behind and not running, open breakers, old holds."""
        return list(self._complain())

    def _complain(self) -> Iterator[str]:
        if not self.broker.up:
            yield "the broker does not answer (sluice up, or kafka.bootstrap_servers)"
        if behind := [layer.layer for layer in self.layers if layer.lag_rows and not layer.running]:
            yield f"{', '.join(behind)} behind and not running (sluice run)"
        for layer in self.layers:
            if layer.breaker not in (None, CLOSED):
                yield f"the breaker of {layer.layer} is {layer.breaker} (sluice gate ls)"
            if (layer.oldest_hold_seconds or 0) > self.notice_after_hours * 3600:
                yield f"{layer.layer} held since {layer.oldest_hold_at}: sluice gate show {layer.oldest_hold}"

    def as_json(self) -> dict[str, Any]:
        """The same as plain values, `layers` and `processes` by name."""
        content = asdict(self)
        content["processes"] = {process.name: asdict(process) for process in self.processes}
        content["layers"] = {layer.layer: asdict(layer) for layer in self.layers}
        return {**content, "well": self.is_well, "complaints": self.complaints}


def read_status(settings: Settings) -> Status:
    """The state of the broker and the lake that the settings name.

    Raises:
        LakeTooNew: a newer version of Sluice wrote the lake.
    """
    lake = Lake(settings.lake.path)
    lake.check_format()
    broker, ends = _read_broker(settings)
    opened = OpenLake(lake)
    holds = open_holds(opened)
    layers = tuple(
        _read_layer(lake, layer, _last_promotion(opened, layer), settings.kafka.topic, ends, holds) for layer in LAYERS
    )
    processes = tuple(_read_process(lake, name) for name in (ALERT_QUERY, DISPATCH, ALERT_LOG))
    return Status(str(lake.path), broker, layers, processes, settings.gate.notice_after_hours)


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


def _read_process(lake: Lake, name: str) -> ProcessStatus:
    owner = layer_owner(lake, name)
    return ProcessStatus(name, owner is not None, owner.pid if owner else None, owner.host if owner else None)


def _read_layer(
    lake: Lake,
    layer: str,
    promoted: tuple[str | None, str | None],
    topic: str,
    ends: dict[int, int] | None,
    holds: Sequence[Hold],
) -> LayerStatus:
    owner: Owner | None = layer_owner(lake, layer)
    rows, seconds = _bronze_lag(lake, topic, ends) if layer == "bronze" else _delta_lag(lake, layer)
    verdict, decided_at = promoted
    own = [hold for hold in holds if hold.layer == layer]
    since = own[0].since if own else None
    return LayerStatus(
        layer=layer,
        running=owner is not None,
        pid=owner.pid if owner else None,
        host=owner.host if owner else None,
        lag_rows=rows,
        lag_seconds=seconds,
        last_verdict=verdict,
        breaker=read_breaker(lake.path, layer).state if layer in GATED_LAYERS else None,
        open_holds=len(own),
        oldest_hold=own[0].promotion_id if own else None,
        oldest_hold_at=since.isoformat() if since else None,
        oldest_hold_seconds=round((datetime.now(timezone.utc) - since).total_seconds(), 1) if since else None,
        last_batch_at=decided_at,
    )


def _bronze_lag(lake: Lake, topic: str, ends: dict[int, int] | None) -> tuple[int | None, float | None]:
    if ends is None:
        return None, None
    read = kafka_offsets(lake.checkpoint_path("bronze")).get(topic, {})
    waiting = sum(max(0, end - read.get(partition, 0)) for partition, end in ends.items())
    if not waiting:
        return 0, 0.0
    has_table = lake.has_table(BRONZE_EVENTS)
    landed = DeltaTable(lake.table_path(BRONZE_EVENTS)).history(1) if has_table else []
    return waiting, round(time.time() - landed[0]["timestamp"] / 1000, 1) if landed else None


def _delta_lag(lake: Lake, layer: str) -> tuple[int | None, float | None]:
    upstream = UPSTREAM[layer]
    if not lake.has_table(upstream):
        return 0, 0.0
    read = delta_version(lake.checkpoint_path(layer))
    newest = DeltaTable(lake.table_path(upstream)).version()
    found = unread_rows(lake, upstream, -1 if read is None else read, newest)
    return found.rows, round(time.time() - found.since, 1) if found.since else 0.0


def _last_promotion(lake: OpenLake, layer: str) -> tuple[str | None, str | None]:
    # A discard has no verdict.
    newest = [row for row in read_history(lake, layer, 20) if row["verdict"]] if layer in GATED_LAYERS else []
    return (newest[0]["verdict"], newest[0]["decided_at"].isoformat()) if newest else (None, None)

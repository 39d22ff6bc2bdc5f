"""When what was sent could be read: from Kafka's time of a record to the commit of the table that holds it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt
from deltalake import DeltaTable
from pyarrow import parquet

from benchmarks.live import READ_TABLES, Observer
from sluice.schemas import GOLD_READINGS_1MIN, LAYERS, OPS_GOLD_PROMOTIONS, SILVER_READINGS, Table
from sluice.tables.lake import Lake

Seconds = npt.NDArray[np.float64]

# Of a long run every so-manieth row is looked at, so that about this many are.
_SAMPLE = 2_000_000


@dataclass(frozen=True)
class Readable:
    """A sample of a layer's events, in the order in which they were sent.

    Attributes:
        sent: Kafka's CreateTime, which is the producer's clock, in seconds since 1970.
        readable: when the commit was seen by which the event can be read.
        share: of all events how many this sample holds.
    """

    sent: Seconds
    readable: Seconds
    share: float

    @property
    def latency(self) -> Seconds:
        """Seconds from publishing to being readable."""
        found: Seconds = self.readable - self.sent
        return found

    def since(self, moment: float) -> Readable:
        """Those that were sent at or after a moment."""
        wanted = self.sent >= moment
        return Readable(self.sent[wanted], self.readable[wanted], self.share)

    def lag(self, moments: Seconds) -> Seconds:
        """How many events that were sent by each moment could not be read yet."""
        sent = np.searchsorted(self.sent, moments, side="right")
        found: Seconds = (sent - np.searchsorted(np.sort(self.readable), moments, side="right")) / self.share
        return found


def readable_by_layer(observer: Observer, events: int) -> dict[str, Readable]:
    """What became readable when, as somebody saw it who watched the lake until it was drained.

    In gold an event can be read from the commit of gold/readings_1min on that belongs to the first promotion which has
    read the commit of silver that holds it; events of a promotion that changed no minute are left out.

    Args:
        events: about how many there are.
    """
    every = max(1, events // _SAMPLE)
    found = {}
    for layer in LAYERS:
        table = READ_TABLES[layer]
        seen = observer.seen[table.full_name] if layer != "gold" else _seen_in_gold(observer)
        found[layer] = _collect(observer.lake, SILVER_READINGS if layer == "gold" else table, seen, every)
    return found


def _collect(lake: Lake, table: Table, seen: dict[int, float], every: int) -> Readable:
    folder = Path(lake.table_path(table))
    sent, readable = [np.empty(0)], [np.empty(0)]
    for version, at in seen.items():
        for action in _actions(folder, version):
            if "add" in action:
                times = _kafka_times(folder / unquote(action["add"]["path"]))[::every]
                sent.append(times)
                readable.append(np.full(len(times), at))
    all_sent = np.concatenate(sent)
    order = np.argsort(all_sent, kind="stable")
    return Readable(all_sent[order], np.concatenate(readable)[order], 1 / every)


def _kafka_times(path: Path) -> Seconds:
    column = parquet.read_table(path, columns=["kafka_timestamp"], partitioning=None)["kafka_timestamp"]
    found: Seconds = column.to_numpy().astype("datetime64[us]").astype(np.int64) / 1e6
    return found


def _seen_in_gold(observer: Observer) -> dict[int, float]:
    """By version of silver/readings, when it could be read in gold."""
    folder, mark = Path(observer.lake.table_path(GOLD_READINGS_1MIN)), f":{GOLD_READINGS_1MIN.full_name}"
    commits = {}
    for version, at in observer.seen[GOLD_READINGS_1MIN.full_name].items():
        for action in _actions(folder, version):
            if action.get("txn", {}).get("appId", "").endswith(mark):
                commits[int(action["txn"]["version"])] = at
    columns = ["batch_id", "to_version"]
    ledger = DeltaTable(observer.lake.table_path(OPS_GOLD_PROMOTIONS)).to_pyarrow_table(columns=columns).to_pylist()
    # A batch that ends within the state that silver had at the start names no version; what it read counts as later.
    ends = sorted((row["to_version"], row["batch_id"]) for row in ledger if row["to_version"] is not None)
    found = {}
    for version in observer.seen[SILVER_READINGS.full_name]:
        batch = next((batch_id for end, batch_id in ends if end >= version), None)
        if batch in commits:
            found[version] = commits[batch]
    return found


def _actions(folder: Path, version: int) -> list[dict[str, dict[str, str]]]:
    text = (folder / "_delta_log" / f"{version:020}.json").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]

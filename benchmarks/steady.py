"""A steady stream through `sluice run` with its shipped settings: how late it is, and whether that stays so.

Sent at a pace from a file of encoded messages, at the time that they say, by a process of its own. A minute here is a
tenth of the run; the first one is left out, since compiling falls into it. The seconds of a layer are the median from
publishing to readable.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from benchmarks.encoded import Phase
from benchmarks.live import BatchTime
from benchmarks.measure import Series, print_table
from benchmarks.readable import Readable, readable_by_layer
from benchmarks.streams import Streamed, lag_line, stream_through
from sluice.schemas import LAYERS

ABOUT = "a steady stream through sluice run: lag, batch times, publish to readable"
EVENTS = 12_000_000
OPTIONS = {"rate": 20_000}
_MINUTES = 10


def run(folder: Path, events: int, runs: int, rate: int) -> list[Series]:
    """Measures the whole and each layer."""
    whole, layers = Series("command to first batch"), [Series(layer) for layer in LAYERS]
    for number in range(runs):
        place = folder / f"run{number}"
        place.mkdir()
        streamed = stream_through(place, [Phase(rate, events)], rate)
        _measure_whole(whole, streamed)
        readable, batches = readable_by_layer(streamed.live.observer, events), streamed.live.batch_times()
        for series in layers:
            own = [batch for batch in batches if batch.layer == series.name]
            _measure_layer(series, readable[series.name].since(streamed.sent.began_at), own, streamed)
        shutil.rmtree(place)
    print_table([whole, *layers], whole)
    return [whole, *layers]


def _measure_whole(series: Series, streamed: Streamed) -> None:
    sent, watched = streamed.sent, streamed.live.watched
    series.add(
        streamed.first["bronze"],
        **{"to silver s": streamed.first["silver"], "to gold s": streamed.first["gold"]},
        **{"sent/s": sent.events / sent.seconds, **streamed.of_sender},
        # Starting it is in it.
        **{"processor µs/event": watched.cpu_seconds / sent.events * 1e6, "peak MiB": watched.peak_mebibytes},
    )


def _measure_layer(series: Series, found: Readable, batches: list[BatchTime], streamed: Streamed) -> None:
    bounds = np.linspace(streamed.sent.began_at, streamed.ended_at, _MINUTES + 1)
    late = found.since(bounds[1]).latency
    p50, p95, p99 = (float(value) for value in np.percentile(late, (50, 95, 99)))
    second, last = (_batch_seconds(batches, *bounds[place : place + 2]) for place in (1, _MINUTES - 1))
    series.add(
        p50,
        **{"p95 s": p95, "p99 s": p99, "longest s": float(late.max())},
        **{"batch s, 2nd minute": second, "batch s, last minute": last, "last/2nd": last / second},
        **{"most lag, 2nd minute": _most_lag(found, bounds[1], bounds[2])},
        **{"most lag, last minute": _most_lag(found, bounds[-2], bounds[-1])},
        **{"batches": len(batches)},
    )
    series.lines["events not readable yet"] = lag_line(found, bounds[0], bounds[-1])
    told = f"publish to readable p50 {p50:.2f} s, p95 {p95:.2f} s, p99 {p99:.2f} s"
    print(f"  {series.name}: {told}; batches took {last / second:.2f} of the 2nd minute's time in the last", flush=True)


def _batch_seconds(batches: list[BatchTime], first: float, end: float) -> float:
    """The mean time of the batches that ended in a span; not a number where none did."""
    times = [batch.seconds for batch in batches if first <= batch.ended_at < end]
    return float(np.mean(times)) if times else float("nan")


def _most_lag(found: Readable, first: float, end: float) -> float:
    return max(lag for _, lag in lag_line(found, first, end))

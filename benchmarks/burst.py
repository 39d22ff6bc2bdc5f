"""A burst in a stream through `sluice run`: ten times the rate for half a minute, and how long until it is drained.

A stream at the usual rate goes before, so that all is warm, and none comes after. The devices made the burst's events
before, at the usual rate. The seconds of a layer count from the last message to the commit by which all can be read.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from benchmarks.encoded import Phase
from benchmarks.measure import Series, print_table
from benchmarks.readable import Readable, readable_by_layer
from benchmarks.streams import Streamed, lag_line, stream_through
from sluice.schemas import LAYERS

ABOUT = "ten times the usual rate for 30 seconds through sluice run: drained when, nothing lost"
EVENTS = 6_000_000
OPTIONS = {"rate": 200_000}
_USUAL_SHARE = 0.1
_LEAD_SECONDS = 60


def run(folder: Path, events: int, runs: int, rate: int) -> list[Series]:
    """Measures each layer; the lead takes as long as two bursts, at most a minute."""
    series = [Series(layer) for layer in LAYERS]
    usual, burst = rate * _USUAL_SHARE, Phase(rate, events)
    lead = Phase(usual, round(usual * min(_LEAD_SECONDS, 2 * burst.seconds)))
    for number in range(runs):
        place = folder / f"run{number}"
        place.mkdir()
        streamed = stream_through(place, [lead, burst], usual)
        readable = readable_by_layer(streamed.live.observer, lead.events + burst.events)
        for each in series:
            _measure(each, readable[each.name].since(streamed.sent.began_at), streamed, lead, burst)
        shutil.rmtree(place)
    print_table(series, series[-1])
    return series


def _measure(series: Series, found: Readable, streamed: Streamed, lead: Phase, burst: Phase) -> None:
    began, drained = streamed.sent.began_at + lead.seconds, float(found.readable.max())
    seconds, late = drained - streamed.ended_at, found.since(began).latency
    lag = lag_line(found, streamed.sent.began_at, drained)
    series.add(
        seconds,
        **{"drained events/s": burst.events / (drained - began), "most lag": max(value for _, value in lag)},
        **{"p50 s": float(np.median(late)), "longest s": float(late.max())},
        **{"sent/s": burst.events / (streamed.ended_at - began), **streamed.of_sender},
        **{"peak MiB": streamed.live.watched.peak_mebibytes},
    )
    series.lines["events not readable yet"] = lag
    print(f"  {series.name}: drained {seconds:.1f} s after the last message", flush=True)

"""A stream sent at a pace through `sluice run`, from the first message to books that balance."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.encoded import Phase, Sent, encode, send_file
from benchmarks.live import Live, broker_of, sluice_run
from benchmarks.load import backlog, fill, live
from benchmarks.processes import Watched
from benchmarks.readable import Readable

# Already in the topic when the command is given.
_FIRST_EVENTS = 1_000
# What encoding takes, about, so that the events' times are those at which they are sent.
_ENCODED_A_SECOND, _START_SECONDS = 150_000, 30
_DRAIN_SECONDS = 1800
_LINE_POINTS = 200


@dataclass(frozen=True)
class Streamed:
    """A stream that is sent, drained and audited; the process has ended, the lake is there.

    Attributes:
        first: seconds from the command to each layer's first committed batch.
        sender: the process that sent it.
    """

    live: Live
    first: dict[str, float]
    sender: Watched
    sent: Sent

    @property
    def ended_at(self) -> float:
        """When the last message left, seconds since 1970."""
        return self.sent.began_at + self.sent.seconds

    @property
    def of_sender(self) -> dict[str, float]:
        """What sending took, as figures."""
        cores = self.sent.cpu_seconds / self.sent.seconds
        late = {"sent late s": self.sent.behind_seconds}
        return {**late, "sender cores": cores, "sender MiB": self.sender.peak_mebibytes}


def stream_through(place: Path, phases: Sequence[Phase], rate: float) -> Streamed:
    """Sends events in phases through `sluice run` with its shipped settings, from a file that is encoded before.

    Args:
        place: an empty folder.
        rate: that at which the devices make them: the last one's time is that at which it is sent.

    Raises:
        RuntimeError: it does not start, or does not drain all of it.
    """
    events = sum(phase.events for phase in phases)
    ends = time.time() + events / _ENCODED_A_SECOND + _START_SECONDS + sum(phase.seconds for phase in phases)
    file = place / "events"
    encode(live(events, rate, round((ends - events / rate) * 1000)), file)
    with broker_of(place) as (settings, bootstrap_servers):
        topic = settings.kafka.topic
        fill(bootstrap_servers, topic, backlog(_FIRST_EVENTS))
        with sluice_run(settings, bootstrap_servers) as running:
            first = running.await_first_commits()
            print("  first batches after", ", ".join(f"{it} {took:.1f} s" for it, took in first.items()), flush=True)
            sender, sent = send_file(file, bootstrap_servers, topic, phases)
            running.await_drained(_DRAIN_SECONDS)
            running.stop()
            running.audit()
    file.unlink()
    return Streamed(running, first, sender, sent)


def lag_line(found: Readable, first: float, last: float) -> list[tuple[float, float]]:
    """Points of (seconds since `first`, events sent by then that cannot be read yet)."""
    moments = np.linspace(first, last, _LINE_POINTS)
    return [(round(float(at - first), 2), float(lag)) for at, lag in zip(moments, found.lag(moments), strict=True)]

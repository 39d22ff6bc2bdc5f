"""Messages made before they are sent: a file of them, and a program of its own that sends it at a pace.

`python -m benchmarks.encoded TASK` sends, and prints what it took as JSON. Making the messages would cost more than
sending them, and both more than there is beside what is measured.
"""

from __future__ import annotations

import json
import struct
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
from confluent_kafka import Producer

from benchmarks.load import DELIVERY, send
from benchmarks.processes import Watched, run
from sluice.simulator.plan import Plan
from sluice.simulator.stream import message_batches

_HEAD = struct.Struct("<I")
# How often messages leave.
_TICK_SECONDS = 0.01

Messages = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Phase:
    """A part of a stream: so many messages at one rate.

    Attributes:
        rate: messages a second.
    """

    rate: float
    events: int

    @property
    def seconds(self) -> float:
        return self.events / self.rate


@dataclass(frozen=True)
class Sent:
    """What sending took.

    Attributes:
        behind_seconds: the most that a message left after its time.
        cpu_seconds: of the sending process, reading the file included.
        began_at: when the first message left, seconds since 1970.
    """

    events: int
    seconds: float
    behind_seconds: float
    cpu_seconds: float
    began_at: float


def encode(plan: Plan, path: Path) -> int:
    """Writes a plan's messages, keys and values, in their order; returns the bytes of the values."""
    size = 0
    with path.open("wb") as file:
        for batch in message_batches(plan):
            parts = [part for pair in zip(batch.keys, batch.values, strict=True) for part in pair]
            lengths = np.fromiter(map(len, parts), np.uint32, len(parts))
            file.write(_HEAD.pack(len(parts)) + lengths.tobytes() + b"".join(parts))
            size += sum(map(len, batch.values))
    return size


def decode(path: Path) -> Iterator[Messages]:
    """The messages of a file, key and value, some thousands at a time."""
    with path.open("rb") as file:
        while head := file.read(_HEAD.size):
            (count,) = _HEAD.unpack(head)
            lengths = np.frombuffer(file.read(4 * count), np.uint32)
            bounds = [0, *np.cumsum(lengths, dtype=np.int64).tolist()]
            text = file.read(bounds[-1])
            parts = [text[first:end] for first, end in pairwise(bounds)]
            yield list(zip(parts[::2], parts[1::2], strict=True))


def send_file(path: Path, bootstrap_servers: str, topic: str, phases: Sequence[Phase]) -> tuple[Watched, Sent]:
    """Sends the file in a process of its own, phase after phase; what phases do not take stays.

    Raises:
        RuntimeError: not all of it arrived.
    """
    task = {"path": str(path), "servers": bootstrap_servers, "topic": topic, "phases": [asdict(it) for it in phases]}
    command = [sys.executable, "-m", "benchmarks.encoded", json.dumps(task)]
    watched, answer = run(command, path.with_suffix(".log"))
    return watched, Sent(**answer)


def paced(messages: Iterable[Messages], phases: Sequence[Phase]) -> Iterator[tuple[float, Messages]]:
    """Messages a few at a time, and the second after the start at which each few are to leave."""
    starts = list(accumulate((phase.seconds for phase in phases), initial=0.0))
    number, left, taken = 0, phases[0].events, 0
    for some in messages:
        first = 0
        while first < len(some):
            if not left:
                number, taken = number + 1, 0
                if number == len(phases):
                    return
                left = phases[number].events
            rate = phases[number].rate
            count = min(max(1, round(rate * _TICK_SECONDS)), left, len(some) - first)
            yield starts[number] + taken / rate, some[first : first + count]
            first, left, taken = first + count, left - count, taken + count


def main() -> None:
    """Prints Sent as JSON."""
    task = json.loads(sys.argv[1])
    phases = [Phase(**phase) for phase in task["phases"]]
    producer = Producer({"bootstrap.servers": task["servers"], **DELIVERY})
    # Connected before the clock runs.
    producer.list_topics(task["topic"], timeout=30)
    began, began_at, events, behind = time.monotonic(), time.time(), 0, 0.0
    for due, messages in paced(decode(Path(task["path"])), phases):
        early = began + due - time.monotonic()
        if early > 0:
            time.sleep(early)
        behind = max(behind, -early)
        send(producer, task["topic"], iter(messages))
        events += len(messages)
    seconds = time.monotonic() - began
    if left := producer.flush(120):
        raise RuntimeError(f"{left} messages did not reach the broker")
    sys.stdout.write(json.dumps(asdict(Sent(events, seconds, behind, time.process_time(), began_at))) + "\n")


if __name__ == "__main__":
    main()

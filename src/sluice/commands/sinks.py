"""Where `generate` and `import` send to, opened from their options; and a stop that lets them finish cleanly."""

from __future__ import annotations

import enum
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import typer

from sluice.errors import UsageError
from sluice.settings import Settings

if TYPE_CHECKING:
    from sluice.simulator.sinks import Sink


class SinkKind(str, enum.Enum):
    """Where messages go."""

    kafka = "kafka"
    file = "file"
    stdout = "stdout"


def check_sink_options(kind: SinkKind, out: Path | None) -> None:
    """Refuses --out without --sink file, and the other way round.

    Raises:
        UsageError: they do not belong together.
    """
    if kind is SinkKind.file and out is None:
        raise UsageError("--sink file needs --out FILE", "e.g. --sink file --out events.jsonl")
    if kind is not SinkKind.file and out is not None:
        raise UsageError(f"--out {out} goes with --sink file only", "add --sink file")


@contextmanager
def open_sink(kind: SinkKind, out: Path | None, settings: Settings) -> Iterator[tuple[Sink, str]]:
    """The sink and its name for people; closed when the block ends well, left at once when it does not.

    Raises:
        BrokerDown, TopicMissing, SettingsInvalid, UsageError: it cannot be opened.
        BrokerDown: at the end, not everything was acknowledged.
    """
    check_sink_options(kind, out)
    if kind is SinkKind.kafka:
        with _kafka_sink(settings) as found:
            yield found
        return
    from sluice.simulator.sinks import FileSink, LineSink

    sink: LineSink = FileSink(out) if out is not None else LineSink(sys.stdout.buffer)
    yield sink, str(out) if out is not None else "standard output"
    sink.close()


@contextmanager
def _kafka_sink(settings: Settings) -> Iterator[tuple[Sink, str]]:
    from sluice.pipelines.start import find_broker
    from sluice.sources import kafka

    address = find_broker(settings)
    sink = kafka.producer(address, settings.kafka.topic, settings.kafka.options)
    try:
        yield sink, f"{settings.kafka.topic} on {address}"
        sink.close()
    finally:
        sink.abandon()


def print_summary_json(summary: dict[str, Any], to_stderr: bool) -> None:
    """One JSON document on standard output, or on standard error where the events take standard output."""
    typer.echo(json.dumps(summary, indent=2, ensure_ascii=False), err=to_stderr)


@dataclass
class Stop:
    """Whether somebody asked to stop.

    Attributes:
        asked: true after the first Ctrl-C or SIGTERM.
    """

    asked: bool = False


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """A Stop that Ctrl-C and SIGTERM set; a second one interrupts at once."""
    stop = Stop()

    def ask(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

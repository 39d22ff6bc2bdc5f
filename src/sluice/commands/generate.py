"""`sluice generate`: simulated devices into Kafka, a file or standard output."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sluice.commands.context import console, invocation, progress_console
from sluice.commands.sinks import SinkKind, check_sink_options, open_sink, print_summary_json, stop_on_signals

if TYPE_CHECKING:
    from sluice.simulator.drive import Tally

EPILOG = (
    "Times: with --start, event n has the time START + n * interval / devices, whatever the rate; silver refuses times "
    "more than 5 minutes ahead of Kafka's. Without it no event leaves before its own time: with --events the history "
    "ends now; without, the stream is live (--rate then sets how often each device reports), and --rate 0 first "
    "catches up with the last 24 hours. The same options with the same --seed and --start give the same bytes. Speed "
    "on two idle cores shared with the broker: about 100,000 events/s to Kafka and 350,000 to a file; for more, write "
    "a file once and load it with Kafka's own tools."
)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("generate", help="Send events of simulated devices.", epilog=EPILOG)(generate)


def generate(
    ctx: typer.Context,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Events a second; 0: as fast as it goes. Default: 0 with --events, else what the devices send.",
        ),
    ] = None,
    events: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="How many events to send; without it until Ctrl-C.")
    ] = None,
    devices: Annotated[int, typer.Option(metavar="N", help="How many devices report.")] = 100,
    interval: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="How often each device reports; 5 unless --rate sets it.")
    ] = None,
    start: Annotated[
        str | None, typer.Option(metavar="TIME", help="Time of the first event, RFC 3339; see below for the default.")
    ] = None,
    sink: Annotated[SinkKind, typer.Option(help="Where to.")] = SinkKind.kafka,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="The file of --sink file; replaced.")] = None,
    faults: Annotated[
        str,
        typer.Option(
            metavar="NAME=SHARE,…",
            help="Shares of events that are late (a minute to four hours), duplicate, corrupt or out_of_range.",
        ),
    ] = "",
    versions: Annotated[
        str, typer.Option(metavar="NAME=SHARE,…", help="Shares of devices per event version: 1, 2, reading.")
    ] = "1=0.3,2=0.5,reading=0.2",
    seed: Annotated[int, typer.Option(metavar="N", help="Decides all that is random.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Sends events and prints what was sent; the summary goes to standard error when the events go to stdout."""
    from sluice.simulator.drive import Clock, send_plan
    from sluice.simulator.plan import FAULTS, parse_shares, parse_start, parse_versions, resolve_plan

    check_sink_options(sink, out)
    clock = Clock()
    plan, pace = resolve_plan(
        now_ms=int(clock.wall_ms()),
        rate=rate,
        events=events,
        devices=devices,
        start_ms=parse_start(start) if start is not None else None,
        interval_seconds=interval,
        seed=seed,
        versions=parse_versions(versions),
        faults=parse_shares(faults, FAULTS, "--faults"),
    )
    with (
        open_sink(sink, out, invocation(ctx).settings()) as (opened, target),
        stop_on_signals() as stop,
        _progress(events) as show,
    ):
        sent = send_plan(plan, pace, opened, clock, lambda: stop.asked, show)
    summary = {"sink": sink.value, "target": target, "stopped": stop.asked, **sent}
    to_stderr = sink is SinkKind.stdout
    if as_json:
        print_summary_json(summary, to_stderr)
    else:
        _print_summary(summary, to_stderr)


@contextmanager
def _progress(total: int | None) -> Iterator[Callable[[Tally], None]]:
    screen = progress_console()
    if not screen.is_terminal:
        yield lambda _: None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.completed:,} events"), BarColumn(), TextColumn("{task.fields[speed]}"))
    with Progress(*columns, TimeElapsedColumn(), console=screen, transient=True) as bar:
        task = bar.add_task("events", total=total, speed="")
        began = time.monotonic()

        def show(tally: Tally) -> None:
            seconds = max(time.monotonic() - began, 0.001)
            bar.update(task, completed=tally.events, speed=f"{tally.events / seconds:,.0f} events/s")

        yield show


def _print_summary(summary: dict[str, Any], to_stderr: bool) -> None:
    screen = progress_console() if to_stderr else console()
    speed = f" ({summary['events_per_second']:,} events/s)" if summary["events_per_second"] else ""
    screen.print(f"sent {summary['events']:,} events to {summary['target']} in {summary['seconds']:.1f} s{speed}")
    screen.print(f"  versions  {_counts(summary['versions'])}")
    screen.print(f"  faults    {_counts(summary['faults'])}")
    if summary["first_event_time"]:
        screen.print(f"  times     {summary['first_event_time']} to {summary['last_event_time']}")


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name}: {count:,}" for name, count in counts.items())

"""`sluice demo`: everything once, on a broker, topic and lake of its own, with the results on screen."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sluice.commands.context import console, invocation, progress_console
from sluice.commands.demo_alerts import PER_SECOND, READINGS, Heard, hear_alerts
from sluice.schemas import LAYERS
from sluice.settings import home

if TYPE_CHECKING:
    from sluice.serving.lake import OpenLake
    from sluice.settings import Settings

FAULTS = {"late": 0.02, "duplicate": 0.01, "corrupt": 0.01, "out_of_range": 0.02}
# The demo ends before Java's optimising compiler would have paid for itself.
_JAVA = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m -XX:+UseSerialGC"
_SHORT_RUN = {"spark__java_options": _JAVA, "kafka__bootstrap_servers": None}


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @app.command()
    def demo(
        ctx: typer.Context,
        events: Annotated[int, typer.Option(min=1, metavar="N", help="How many events to send.")] = 30_000,
        devices: Annotated[int, typer.Option(min=1, metavar="N", help="How many devices report.")] = 500,
        seed: Annotated[int, typer.Option(metavar="N", help="Decides all that is random.")] = 7,
    ) -> None:
        """Run everything once on a broker and lake of its own, and show what happened."""
        folder = home() / "var" / "demo" / time.strftime("%Y%m%d-%H%M%S")
        paths = {"lake__path": str(folder / "lake"), "broker__data_path": str(folder / "broker")}
        settings = invocation(ctx).settings(**paths, broker__port=0, **_SHORT_RUN)
        _play(settings, events, devices, seed)


def _play(settings: Settings, events: int, devices: int, seed: int) -> None:
    from sluice.alerting.running import Dispatch
    from sluice.embedded.broker import start_broker, stop_broker
    from sluice.pipelines.driver import run_layers
    from sluice.serving.lake import open_lake

    screen = progress_console()
    began = time.monotonic()
    try:
        _step(screen, 1, "starting a Kafka broker")
        broker = start_broker(settings)
        _step(screen, 2, f"the real-time alert query, and {READINGS} readings at {PER_SECOND} a second for it")
        heard = hear_alerts(settings, broker.bootstrap_servers, settings.lake.path.parent)
        _step(screen, 3, f"sending {events:,} events of {devices:,} devices to {settings.kafka.topic}")
        sent = _generate(broker.bootstrap_servers, settings, events, devices, seed)["events"] + heard.sent
        _step(screen, 4, "bronze, silver and gold until all is drained")
        with _layer_progress(screen, sent):
            run_layers(settings, LAYERS, broker.bootstrap_servers, once=True)
        _step(screen, 5, "alerts from their signals")
        Dispatch(settings, lambda: broker.bootstrap_servers).run(once=True)
    finally:
        stop_broker(settings.broker.data_path)
    _step(screen, 6, f"done in {time.monotonic() - began:.0f} s; the broker is down again")
    _show(open_lake(settings.lake.path), sent, heard)


def _step(screen: Any, number: int, text: str) -> None:
    screen.print(f"[bold]{number}/6[/bold] {text}")


def _generate(bootstrap_servers: str, settings: Settings, events: int, devices: int, seed: int) -> dict[str, Any]:
    from sluice.simulator.drive import Clock, send_plan
    from sluice.simulator.plan import resolve_plan
    from sluice.sources.kafka import producer

    clock = Clock()
    plan, pace = resolve_plan(now_ms=int(clock.wall_ms()), events=events, devices=devices, seed=seed, faults=FAULTS)
    sink = producer(bootstrap_servers, settings.kafka.topic, settings.kafka.options)
    return send_plan(plan, pace, sink, clock)


class _BarHandler(logging.Handler):
    """Moves a layer's bar when a micro-batch is reported."""

    def __init__(self, advance: Callable[[str, int, str], None]) -> None:
        super().__init__()
        self._advance = advance

    def emit(self, record: logging.LogRecord) -> None:
        if layer := getattr(record, "layer", None):
            self._advance(layer, getattr(record, "rows_in", 0), record.getMessage())


@contextmanager
def _layer_progress(screen: Any, events: int) -> Iterator[None]:
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    logger = logging.getLogger("sluice")
    columns = (SpinnerColumn(), TextColumn("{task.description:7}"), BarColumn(), TextColumn("{task.completed:,} rows"))
    with Progress(*columns, TimeElapsedColumn(), console=screen, disable=not screen.is_terminal) as bars:
        tasks = {layer: bars.add_task(layer, total=events) for layer in LAYERS}

        def advance(layer: str, rows: int, line: str) -> None:
            bars.advance(tasks[layer], rows)
            screen.print(f"    {line}", markup=False, soft_wrap=True)
            # A layer gets fewer rows than the one above it: what it let through is its whole.
            done = next(task.completed for task in bars.tasks if task.id == tasks[layer])
            if layer != "gold" and done >= events:
                bars.update(tasks[layer], total=done)

        handler = _BarHandler(advance)
        logger.handlers[:] = [handler]
        logger.setLevel(logging.INFO)
        logger.propagate = False
        try:
            yield
        finally:
            logger.removeHandler(handler)


def _show(lake: OpenLake, sent: int, heard: Heard) -> None:
    out = console()
    counts = {
        name: lake.sql(f"select count(*) from {name}").fetchall()[0][0]  # noqa: S608 (constant names)
        for name in ("bronze.events", "silver.readings", "silver.quarantine", "silver.duplicates", "gold.readings_1min")
    }
    out.print()
    _table("What came in and where it is", ["table", "rows"], [[n, f"{c:,}"] for n, c in counts.items()])
    rows = lake.sql("select error_code, count(*) from silver.quarantine group by all order by 2 desc, 1").fetchall()
    _table("Why events are in quarantine", ["error_code", "rows"], [[code, f"{count:,}"] for code, count in rows])
    read, promoted = counts["bronze.events"], counts["silver.readings"]
    quarantined, duplicate = counts["silver.quarantine"], counts["silver.duplicates"]
    total = promoted + quarantined + duplicate
    balance = "the books balance" if read == total == sent else "THE BOOKS DO NOT BALANCE"
    out.print("[bold]The books[/bold]")
    out.print(f"  {sent:,} sent, {read:,} read")
    out.print(f"  = {promoted:,} promoted + {quarantined:,} quarantined + {duplicate:,} duplicate + 0 held = {total:,}")
    out.print(f"  {balance}\n")
    newest = lake.sql(
        "select strftime(bucket, '%H:%M') as minute, device_id, metric, unit, reading_count as n, "
        "round(value_mean, 1) as mean, round(value_min, 1) as min, round(value_max, 1) as max "
        "from gold.readings_1min order by bucket desc, device_id desc, metric limit 8"
    )
    _table("The newest minutes of gold.readings_1min (UTC)", newest.columns, newest.fetchall())
    _show_alerts(lake, heard)
    _next_steps(lake.path)


def _show_alerts(lake: OpenLake, heard: Heard) -> None:
    newest = lake.sql(
        "select severity, status, rule_id, subject, round(first_value, 1) as value "
        "from gold.alerts order by severity, subject, rule_id limit 6"
    )
    (count,) = lake.sql("select count(*) from gold.alerts").fetchall()[0]
    _table(f"Alerts: the first 6 of {count:,}", newest.columns, newest.fetchall())
    taken = sorted(heard.milliseconds)
    console().print(
        f"  {len(taken)} signals, from reading sent to signal in Kafka: half within {taken[len(taken) // 2]:.0f} ms, "
        f"the slowest {taken[-1]:.0f} ms\n"
        if taken
        else "  no signal came in time\n"
    )


def _table(title: str, columns: list[str], rows: list[Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for name in columns:
        table.add_column(name)
    for row in rows:
        table.add_row(*[Text("" if cell is None else str(cell)) for cell in row])
    out = console()
    out.print(table)
    out.print()


def _next_steps(lake: Path) -> None:
    here = Path.cwd()
    shown = lake.relative_to(here) if lake.is_relative_to(here) else lake
    out = console()
    out.print("[bold]The tables[/bold] are Delta tables under", str(shown))
    out.print("[bold]Try next[/bold]")
    out.print(f"  export SLUICE_LAKE__PATH={shown}", markup=False)
    for command, what in (
        (".venv/bin/sluice query --list", "the ready-made queries"),
        (".venv/bin/sluice query quarantine_by_code", "what was refused, and why"),
        ('.venv/bin/sluice query --sql "select * from gold.latest_readings limit 5"', "your own, read only"),
        (".venv/bin/sluice dashboard", "the lake on a page in the browser"),
        (".venv/bin/jupyter lab notebooks/01_tour.ipynb", "the tour for data scientists"),
    ):
        out.print(f"  {command:<78} # {what}", markup=False)

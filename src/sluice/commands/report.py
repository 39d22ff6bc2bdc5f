"""`sluice report`: the quality of one day, for people, for programs, or as a page."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sluice.commands.context import invocation, print_table, progress_console, say
from sluice.errors import UsageError

if TYPE_CHECKING:
    from sluice.serving.report import Report

_COUNTS = ("received", "promoted", "quarantined", "duplicates", "out_of_range", "late")


def register(app: typer.Typer) -> None:
    """Adds `sluice report`."""
    app.command("report")(report)


def report(
    ctx: typer.Context,
    day: Annotated[
        str | None, typer.Option(help="The UTC day; the newest with readings unless told.", metavar="YYYY-MM-DD")
    ] = None,
    customer: Annotated[str | None, typer.Option(help="Only devices of this customer.")] = None,
    devices: Annotated[int, typer.Option(min=0, help="How many devices are listed, the worst first; 0: all.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    html: Annotated[
        Path | None, typer.Option(help="Write it as a page that needs no network.", metavar="FILE", dir_okay=False)
    ] = None,
) -> None:
    """Show the quality of a day: totals, score and dimensions, refused records, broken rules, devices."""
    from sluice.serving.answer_files import write_lines
    from sluice.serving.day_report import make_report
    from sluice.serving.lake import open_lake
    from sluice.serving.report_html import report_page

    settings = invocation(ctx).settings()
    wanted = None if day is None else _parse_day(day)
    made = make_report(open_lake(settings.lake.path), settings.silver.late_after_seconds, wanted, customer, devices)
    if html is not None:
        write_lines(html, [report_page(made).rstrip("\n")])
        progress_console().print(f"the report of {made.day} is in {html}", markup=False, soft_wrap=True)
    if as_json:
        _print_json(made)
    elif html is None:
        _print_text(made)


def _parse_day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--day {text!r} is no date", "e.g. --day 2026-01-31") from None


def _print_json(made: Report) -> None:
    from sluice.serving.values import plain, to_json

    told = asdict(made)
    if made.score is not None:
        told["score"].update(score=made.score.score, band=made.score.band)
    typer.echo(to_json(plain(told)))


def _print_text(made: Report) -> None:
    from sluice.schemas import DIMENSIONS
    from sluice.serving.report import devices_line, notes

    say(f"Quality of {made.day}" + ("" if made.customer is None else f", customer {made.customer}"))
    for note in notes(made):
        say(f"note: {note}")
    if made.score is not None and made.score.score is not None:
        shares = {name: getattr(made.score, name) for name in DIMENSIONS}
        known = ", ".join(f"{name} {100 * share:.2f} %" for name, share in shares.items() if share is not None)
        say(f"score {made.score.score:.1f} ({made.score.band}): {known}")
    totals = {name: count for name, count in asdict(made.totals).items() if count is not None}
    for title, columns, rows in (
        ("", tuple(totals), [tuple(totals.values())]),
        ("Why records were refused", ("error_code", "records"), list(made.quarantined_by_code.items())),
        (
            "Rules that were broken most",
            ("rule_id", "promoted", "quarantined", "devices"),
            [tuple(asdict(rule).values()) for rule in made.rules],
        ),
        (
            f"Devices, the worst first ({devices_line(made)})",
            ("device_id", "customer", "score", "band", *_COUNTS),
            [
                (
                    each.device_id,
                    each.customer,
                    None if each.score is None else round(each.score, 1),
                    each.band,
                    *(getattr(each, name) for name in _COUNTS),
                )
                for each in made.devices
            ],
        ),
    ):
        if rows:
            say("")
            if title:
                say(title)
            print_table(columns, rows, numbers=("records", "score", "devices", "held", *_COUNTS))

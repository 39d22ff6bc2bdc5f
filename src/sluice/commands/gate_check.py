"""`sluice gate check`: what another suite would have decided; changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sluice.commands.context import invocation, print_json, print_table, progress_console, say
from sluice.commands.gate import AsJson, Layer, app
from sluice.errors import UsageError

if TYPE_CHECKING:
    from sluice.pipelines.check import Check, Window
    from sluice.settings import Settings

_PROMOTION_COLUMNS = (
    "promotion_id",
    "decided_at",
    "verdict_then",
    "verdict_now",
    "rows_in",
    "newly_refused",
    "newly_accepted",
    "flags_changed",
    "rows_otherwise",
    "why_now",
)
_RULE_COLUMNS = (
    "rule_id",
    "scope",
    "severity_then",
    "severity_now",
    "then",
    "now",
    "newly_broken",
    "no_longer_broken",
)
_NUMBERS = ("rows", "new", "flags", "then", "now", "no_longer")


@app.command("check")
def check(
    ctx: typer.Context,
    suite: Annotated[
        Path | None, typer.Option(help="The suite to try; without it the one in force.", metavar="FILE")
    ] = None,
    layer: Annotated[Layer, typer.Option(help="Only silver can be checked.")] = Layer.silver,
    since: Annotated[
        str | None, typer.Option("--from", help="Promotions decided from this moment on.", metavar="TIME")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="… and up to this one.", metavar="TIME")] = None,
    limit: Annotated[int, typer.Option(min=0, help="The newest N promotions; 0: all.")] = 200,
    live: Annotated[bool, typer.Option("--live", help="What `sluice run --candidate` has recorded; no Spark.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show which promotions and rows another suite would have decided otherwise; changes nothing.

    What lies in bronze is judged again. Which rows are copies is taken as it was found then.
    """
    from sluice.pipelines.check import Window

    if layer is not Layer.silver:
        raise UsageError("only the gate of silver can be checked", "leave --layer out")
    if live and suite:
        raise UsageError("--live shows what ran beside the gate, and takes no --suite", "leave one of the two out")
    window = Window(_moment(since, "--from"), _moment(until, "--to"), limit)
    settings = invocation(ctx).settings()
    found = _read_live(settings, window) if live else _check(settings, suite, window)
    if as_json:
        from sluice.serving.values import plain

        print_json(plain(found.as_json()))
    else:
        _print(found)


def _check(settings: Settings, suite: Path | None, window: Window) -> Check:
    from sluice.pipelines.rulebook import SILVER_SUITE
    from sluice.pipelines.shadow import answer, carry_out, plan_check

    path = suite or settings.expectations.path / f"{SILVER_SUITE}.json"
    with progress_console().status("reading the suite and the ledger") as status:
        plan = plan_check(settings, path, window)
        if not plan.passes:
            return answer(plan)
        from sluice.session import open_session

        status.update("starting Spark")
        spark = open_session(settings, "sluice gate check")
        try:
            return carry_out(spark, plan, status.update)
        finally:
            spark.stop()


def _read_live(settings: Settings, window: Window) -> Check:
    from sluice.errors import LakeMissing
    from sluice.pipelines.check import read_live

    found = read_live(settings.lake.path, window)
    if found is None:
        raise LakeMissing(
            f"no candidate suite has run beside the gate of {settings.lake.path}", "sluice run --candidate FILE"
        )
    return found


def _moment(text: str | None, option: str) -> datetime | None:
    from sluice.serving.target import parse_moment

    moment = parse_moment(text) if text is not None else None
    if text is not None and moment is None:
        raise UsageError(f"{option} {text}: no RFC 3339 time with an offset", "e.g. 2026-03-01T12:00:00Z")
    return moment


def _print(found: Check) -> None:
    rows = sum(each.rows_found for each in found.comparisons)
    say(f"{found.suite} {found.suite_hash[:12]} on {_counted(len(found.comparisons), 'promotion')}, {rows:,} rows")
    if found.differing:
        _print_rows(_PROMOTION_COLUMNS, found.differing)
    if rules := [rule for rule in found.rules if rule.differs]:
        say("rules (row: rows that break it; batch: promotions that fail it)")
        _print_rows(_RULE_COLUMNS, rules)
    otherwise = sum(each.rows_otherwise for each in found.comparisons)
    say(f"{_counted(len(found.differing), 'promotion')}, {otherwise:,} rows would be decided otherwise")
    for note in (*found.notes, "which rows are copies is taken as it was found then"):
        say(f"note: {note}", err=True)


def _print_rows(columns: Sequence[str], rows: Sequence[object]) -> None:
    print_table(columns, ([getattr(row, name) for name in columns] for row in rows), _NUMBERS)


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"

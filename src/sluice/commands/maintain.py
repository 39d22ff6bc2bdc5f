"""`sluice maintain`: small files made one, unreferenced ones removed, old rows let go, and the books told of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from sluice.commands.context import invocation, print_json, print_table, progress_console, say
from sluice.errors import EXIT_NOT_ALL_RIGHT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluice.pipelines.maintain_requests import LayerOutcome

_MEBIBYTE = 1024 * 1024
_COLUMNS = ("table", "files", "MiB", "rows removed", "unreferenced files removed", "MiB freed", "commits in the log")


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @app.command()
    def maintain(
        ctx: typer.Context,
        layers: Annotated[str, typer.Option("--layers", help="Of bronze, silver, gold.")] = "bronze,silver,gold",
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")] = False,
        by: Annotated[str, typer.Option("--by", help="Who lets old rows go.")] = "",
        why: Annotated[str, typer.Option("--why", help="Why; both stand in ops.floors.")] = "",
        wait: Annotated[float, typer.Option("--wait-seconds", min=1, help="For a running job's answer.")] = 600.0,
        as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of lines for people.")] = False,
    ) -> None:
        """Compact the tables, remove unreferenced files, and let rows go that are older than the settings keep them.

        Safe beside running jobs. Nothing is removed but unreferenced files past 7 days until maintain.…_days are set.
        """
        from sluice.pipelines import maintain_requests

        settings = invocation(ctx).settings()
        wanted = [layer.strip() for layer in layers.split(",") if layer.strip()]
        with progress_console().status("maintain") as status:
            outcomes = maintain_requests.maintain(
                settings,
                wanted,
                by=by.strip() or maintain_requests.BY,
                why=why.strip() or maintain_requests.WHY,
                dry_run=dry_run,
                wait_seconds=wait,
                told=lambda text: status.update(f"maintain: {text}"),
            )
        if as_json:
            print_json({"dry_run": dry_run, "layers": [asdict(each) for each in outcomes]})
        else:
            _print(outcomes, dry_run)
        if not maintain_requests.is_all_right(outcomes):
            raise typer.Exit(EXIT_NOT_ALL_RIGHT)


def _print(outcomes: Sequence[LayerOutcome], dry_run: bool) -> None:
    tables = [table for outcome in outcomes for table in outcome.tables]
    rows = [
        (
            table["table"],
            f"{table['files_before']:,} → {table['files_after']:,}",
            f"{table['bytes_before'] / _MEBIBYTE:,.1f} → {table['bytes_after'] / _MEBIBYTE:,.1f}",
            f"{table['rows_removed']:,}",
            f"{table['files_removed']:,}",
            f"{table['bytes_removed'] / _MEBIBYTE:,.1f}",
            f"{table['commits_before']:,} → {table['commits_after']:,}",
        )
        for table in tables
    ]
    if rows:
        print_table(_COLUMNS, rows, _COLUMNS[1:])
    for table in tables:
        for what in ("floors", "notes", "refused"):
            for line in table[what]:
                say(f"{what.removesuffix('s')}: {table['table']}: {line}", err=what == "refused")
    for outcome in outcomes:
        if not outcome.done:
            say(f"not done: {outcome.message}", err=True)
    if dry_run:
        say("a dry run: nothing was changed")
    elif not outcomes:
        say("no layer has run yet: there is nothing to maintain")

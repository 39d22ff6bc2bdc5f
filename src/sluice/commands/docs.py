"""`sluice docs`: the Data Docs of what the gates decided."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sluice.commands.context import console, invocation, print_json, progress_console
from sluice.errors import LakeMissing

if TYPE_CHECKING:
    from sluice.quality.docs import DocsBuilt

NOTHING_STORED = "no promotion has a stored result yet (sluice run makes them); the pages show the suites"


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @app.command()
    def docs(
        ctx: typer.Context,
        open_: Annotated[bool, typer.Option("--open", help="Open the index in the browser.")] = False,
        output: Annotated[
            Path | None, typer.Option(help="Where the pages go; default <lake>/_docs.", metavar="DIR", file_okay=False)
        ] = None,
        limit: Annotated[
            int | None, typer.Option(min=1, help="How many promotions; default docs.max_promotions.")
        ] = None,
        as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
    ) -> None:
        """Build the Data Docs: one page per promotion, from stored results; readable without a network."""
        from sluice.quality.docs import build_docs
        from sluice.quality.docs_page import DOCS_FOLDER
        from sluice.tables.lake import Lake

        settings = invocation(ctx).settings(docs__max_promotions=limit)
        lake = settings.lake.path
        if not lake.is_dir():
            raise LakeMissing(f"there is no lake at {lake}", "sluice run makes one; or set lake.path")
        Lake(lake).check_format()
        target = output.absolute() if output else lake / DOCS_FOLDER
        with _progress() as show:
            built = build_docs(lake, settings.expectations.path, target, settings.docs.max_promotions, show)
        for skipped in built.skipped:
            typer.echo(f"sluice: skipped {skipped.file}: {skipped.reason}", err=True)
        _print_built(built, as_json)
        if open_:
            _open_browser(built.index)


def _print_built(built: DocsBuilt, as_json: bool) -> None:
    if as_json:
        skipped = [{"file": str(each.file), "reason": each.reason} for each in built.skipped]
        summary = {"index": str(built.index), "promotions": built.promotions, "suites": built.suites}
        print_json({**summary, "rendered": built.rendered, "removed": built.removed, "skipped": skipped})
        return
    if not built.promotions:
        typer.echo(f"sluice: {NOTHING_STORED}", err=True)
    out = console()
    pages = f"{built.promotions:,} promotions, {built.suites:,} suites, {built.rendered:,} pages rendered anew"
    out.print(f"{pages}\n{built.index}", markup=False)


def _open_browser(index: Path) -> None:
    import webbrowser

    if not webbrowser.open(index.as_uri()):
        typer.echo(f"sluice: no browser could be started; open {index}", err=True)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None] | None]:
    screen = progress_console()
    if not screen.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress

    with Progress("pages", BarColumn(), MofNCompleteColumn(), console=screen, transient=True) as bar:
        task = bar.add_task("pages", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)

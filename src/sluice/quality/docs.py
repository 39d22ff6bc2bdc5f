"""Data Docs: validation results stored by the gates as pages that need no network. Runs beside the hot path.

Only what is new is rendered: a page says in its head what it was made of. Pages are replaced whole, so a reader
sees the old one or the new one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from sluice.quality.docs_html import STYLE_SHEET, source_of
from sluice.quality.docs_pages import INDEX, index_page, promotion_html, suite_html
from sluice.quality.docs_render import render_results, render_suite
from sluice.quality.docs_results import (
    ResultDamaged,
    Skipped,
    StoredResult,
    StoredSuite,
    read_result,
    read_suites,
    result_files,
)

_HERE = Path(__file__).parent
_HEAD_CHARACTERS = 400
# Called with the number of results that are done and that there are.
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class DocsBuilt:
    """What a build made.

    Attributes:
        index: the page to open.
        promotions: how many the index lists.
        suites: how many texts of suites it lists.
        rendered: pages of promotions and suites made anew; the others were as they should be.
        removed: pages whose results are no longer stored.
        skipped: files that no page could be made of.
    """

    index: Path
    promotions: int
    suites: int
    rendered: int
    removed: int
    skipped: tuple[Skipped, ...]


def build_docs(lake: Path, expectations: Path, output: Path, limit: int, progress: Progress | None = None) -> DocsBuilt:
    """Builds the Data Docs of the newest promotions and of every suite that decided one.

    Pages of promotions that are no longer among the newest stay, unlisted, as long as their results are stored;
    then they go. Files in `output` that are no pages of ours are left alone.

    Args:
        lake: the lake's folder; nothing but `output` is written.
        expectations: the folder of the suites in force.
        output: where the pages go.
        limit: how many promotions the index lists, at least 1; the newest by the time of their files.
    """
    files = result_files(lake)
    suites, skipped = read_suites(lake, expectations)
    by_hash = {suite.hash: suite for suite in suites}
    build = _Build(output)
    listed: list[StoredResult] = []
    damaged = 0
    for path in files:
        if len(listed) == limit:
            break
        try:
            result = read_result(path)
            build.promotion(result, by_hash.get(result.suite_hash))
        except ResultDamaged as error:
            skipped.append(Skipped(path, str(error)))
            damaged += 1
            continue
        listed.append(result)
        if progress is not None:
            progress(len(listed), min(limit, len(files)))
    listed.sort(key=lambda result: (result.decided_at, result.page), reverse=True)
    shown = []
    for suite in suites:
        try:
            build.suite(suite, [result for result in listed if result.suite_hash == suite.hash])
            shown.append(suite)
        except ResultDamaged as error:
            skipped.append(Skipped(suite.path, str(error)))
    _replace(output / STYLE_SHEET, (_HERE / STYLE_SHEET).read_text("utf-8"))
    _replace(output / INDEX, index_page(listed, len(files) - damaged, shown, "index"))
    removed = build.remove_orphans(files, shown)
    return DocsBuilt(output / INDEX, len(listed), len(shown), build.rendered, removed, tuple(skipped))


class _Build:
    """One build into a folder, which counts what it renders."""

    def __init__(self, output: Path) -> None:
        self._output = output
        self._renderer = _fingerprint()
        self.rendered = 0

    def promotion(self, result: StoredResult, suite: StoredSuite | None) -> None:
        source = self._source(result.digest, suite.page if suite else "")
        self._make(
            result.page,
            source,
            lambda: promotion_html(result, render_results(result.content["results"]), suite, source),
        )

    def suite(self, suite: StoredSuite, decided: list[StoredResult]) -> None:
        source = self._source(suite.hash, str(suite.is_current), *(f"{each.page} {each.verdict}" for each in decided))
        self._make(
            suite.page, source, lambda: suite_html(suite, render_suite(suite.content["expectations"]), decided, source)
        )

    def remove_orphans(self, files: list[Path], suites: list[StoredSuite]) -> int:
        kept = {self._output / "promotions" / path.parent.name / f"{path.stem}.html" for path in files}
        kept |= {self._output / suite.page for suite in suites}
        orphans = [path for path in self._pages() if path not in kept and _source_in(path) is not None]
        for path in orphans:
            path.unlink(missing_ok=True)
        return len(orphans)

    def _pages(self) -> Iterator[Path]:
        yield from self._output.glob("promotions/*/*.html")
        yield from self._output.glob("suites/*.html")

    def _source(self, *parts: str) -> str:
        return hashlib.sha256("\n".join((self._renderer, *parts)).encode()).hexdigest()

    def _make(self, page: str, source: str, render: Callable[[], str]) -> None:
        path = self._output / page
        if _source_in(path) == source:
            return
        _replace(path, render())
        self.rendered += 1


def _fingerprint() -> str:
    """Changes with anything that makes a page look different: then all are rendered again."""
    modules = ("docs_blocks.py", "docs_html.py", "docs_pages.py", "docs_render.py")
    digest = hashlib.sha256(version("great-expectations").encode())
    for name in modules:
        digest.update((_HERE / name).read_bytes())
    return digest.hexdigest()


def _source_in(path: Path) -> str | None:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return source_of(file.read(_HEAD_CHARACTERS))
    except OSError:
        return None


def _replace(path: Path, content: str) -> None:
    """Writes a page so that a reader sees all of it or the one before; one that is the same stays as it is."""
    data = content.encode("utf-8", errors="replace")
    with contextlib.suppress(OSError):
        if path.read_bytes() == data:
            return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:100]}.{os.getpid()}.tmp")
    temporary.write_bytes(data)
    temporary.replace(path)

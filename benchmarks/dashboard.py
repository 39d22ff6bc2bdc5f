"""How soon `sluice dashboard` shows something: a lake is written without Spark, and its page opened in Chromium.

Seconds count from the browser's request to the summary with its figures; each run has a server that nobody has visited.
A second visit finds the answers kept by the server. The browser starts before, the files are as writing them left them.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.audit import write_lake
from benchmarks.measure import Series, cpu_of, print_table, process_fields

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ABOUT = "sluice dashboard: from the browser's request to the summary"
EVENTS = 10_000_000
_STEP_MS = 5_000
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def run(folder: Path, events: int, runs: int) -> list[Series]:
    """Measures first and second visits; needs a Chromium in PATH."""
    from playwright.sync_api import sync_playwright

    lake = folder / "lake"
    began = time.monotonic()
    write_lake(lake, events, _STEP_MS)
    print(f"  lake written in {time.monotonic() - began:.0f} s", flush=True)
    first, second = Series("first visit"), Series("second visit")
    program = next(filter(None, map(shutil.which, _BROWSERS)))
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for _ in range(runs):
            with _dashboard(lake) as (address, pid):
                for series in (first, second):
                    before = cpu_of(process_fields(pid))
                    summary, everything = _visit(browser, address)
                    used = cpu_of(process_fields(pid)) - before
                    series.add(summary, everything_seconds=everything, server_processor_seconds=used)
                    print(f"  {series.name}: {summary:.2f} s, everything {everything:.2f} s", flush=True)
        browser.close()
    print_table([first, second], first)
    return [first, second]


def _visit(browser: Browser, address: str) -> tuple[float, float]:
    """Seconds to the summary, and to the last part of the page."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    began = time.monotonic()
    page.goto(address, wait_until="commit")
    page.locator("#tile-held .sl-value").wait_for()
    summary = time.monotonic() - began
    page.locator("#table-decisions").wait_for(timeout=60_000)
    everything = time.monotonic() - began
    page.context.close()
    return summary, everything


@contextmanager
def _dashboard(lake: Path) -> Iterator[tuple[str, int]]:
    """Address and process of a dashboard, once it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", "from sluice.cli import main; main()", "dashboard", "--port", str(port)]
    began = time.monotonic()
    with subprocess.Popen(command, env={**os.environ, "SLUICE_LAKE__PATH": str(lake)}) as process:
        try:
            while socket.socket().connect_ex(("127.0.0.1", port)):
                assert process.poll() is None, "the dashboard ended"
                time.sleep(0.05)
            print(f"  it answers after {time.monotonic() - began:.1f} s", flush=True)
            yield f"http://127.0.0.1:{port}", process.pid
        finally:
            process.terminate()
            process.wait()

"""`sluice dashboard` as a process of its own, looked at with a real browser."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.unit.dashboard.lake import REGISTRY, latest, score
from tests.unit.serving.lake_builder import (
    append,
    at,
    bronze,
    build_lake,
    config,
    held,
    minute,
    promotion,
    refused,
)

from sluice.serving.values import printable

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium in PATH: apt-get install chromium")

_PATIENCE_MS = 120_000
SECRET = "opens the page"
IMAGE, SCRIPT = '"><img src=x onerror="window.hurt=1">', "<script>window.hurt=1</script>"
HOSTILE = (IMAGE, SCRIPT, "[x](javascript:window.hurt=1)", "\u202egpj.exe", "y" * 256)
DEVICES = ("sensor-0001", "sensor-0003", *HOSTILE)


def hostile_lake(path: Path) -> None:
    """Seven devices over ten minutes, five of them with ids that would do harm; the data ended months ago."""
    minutes = [
        minute(at("12:00:00") + timedelta(minutes=number), device_id=device, reading_count=60)
        for number in range(10)
        for device in DEVICES
        if number != 4 or device != "sensor-0001"
    ]
    seen = [latest(device, at("12:09:50")) for device in DEVICES[1:]]
    build_lake(
        path,
        {
            "bronze.events": [bronze(1, kafka_timestamp=at("12:10:00"), ingested_at=at("12:10:05"))],
            "gold.readings_1min": minutes,
            "gold.latest_readings": [latest("sensor-0001", at("12:05:00")), *seen],
            "gold.quality_scores": [score(device, 97.0, 10, customer="acme") for device in DEVICES],
            "silver.quarantine": [refused(5, "NOT_JSON", stage="parse", device_id=IMAGE)],
            "silver.held": [held(7, "p2"), held(8, "p2")],
            "ops.configs": [config("registry", "r", REGISTRY)],
            "ops.silver_promotions": [
                promotion(1, rows_in=100, rows_promoted=99, registry_hash="r"),
                promotion(2, verdict="HOLD", rows_held=2, why=IMAGE, registry_hash="r"),
            ],
            "gold.alerts": [
                {
                    **{"alert_id": "a", "rule_id": SCRIPT, "status": "firing", "subject": IMAGE, "text": IMAGE},
                    **{"device_id": IMAGE, "opened_at": at("12:05:00"), "alert_date": at("12:05:00").date()},
                }
            ],
        },
    )


class Dashboard(NamedTuple):
    address: str
    lake: Path


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    """A dashboard that asks for a password, of a lake that is not there until the first test makes it."""
    tmp_path = tmp_path_factory.mktemp("dashboard")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    secret = tmp_path / "password"
    secret.write_text(f"{SECRET}\n")
    secret.chmod(0o600)
    options = (
        "--port",
        str(port),
        "--set",
        f"dashboard.password_path={secret}",
        "--set",
        "dashboard.refresh_seconds=4",
    )
    environment = {**os.environ, "SLUICE_LAKE__PATH": str(tmp_path / "lake"), "HOME": str(tmp_path)}
    command = [sys.executable, "-c", "from sluice.cli import main; main()", "dashboard", *options]
    with subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert (
                line
                == f"dashboard of {tmp_path / 'lake'} at http://127.0.0.1:{port} with a password; Ctrl-C stops it\n"
            )
            wait_for(f"http://127.0.0.1:{port}/_stcore/health", process)
            yield Dashboard(f"http://127.0.0.1:{port}", tmp_path / "lake")
        finally:
            process.terminate()
            assert process.wait(20) == 0


def wait_for(url: str, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        assert process.poll() is None, "it ended"
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 (loopback)
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"nothing answers at {url}")


def offer(page: sync_api.Page, password: str) -> None:
    field = page.locator("input[type=password]")
    field.fill(password, timeout=5_000)
    field.press("Enter", timeout=5_000)


def tile(page: sync_api.Page, name: str) -> sync_api.Locator:
    return page.locator(f"#tile-{name} .sl-value")


def choose(page: sync_api.Page, label: str, text: str) -> None:
    """Picks an option; the list is drawn anew when the page is, and a click may come to nothing."""
    field = page.get_by_role("combobox", name=label)
    while field.input_value() != text:
        with contextlib.suppress(sync_api.TimeoutError):
            field.click(timeout=5_000)
            page.get_by_role("option", name=text, exact=True).click(timeout=5_000)
            sync_api.expect(field).to_have_value(text, timeout=5_000)


def expect_to_fit(page: sync_api.Page, width: int) -> None:
    """Fails unless the page comes to be no wider than a window of so many pixels."""
    page.set_viewport_size({"width": width, "height": 900})
    fits = f"innerWidth == {width} && document.documentElement.scrollWidth <= {width}"
    page.wait_for_function(fits, polling=100)


@contextlib.contextmanager
def visiting() -> Iterator[sync_api.Page]:
    """A page of a browser of its own, in Berlin."""
    sync_api.expect.set_options(timeout=_PATIENCE_MS)
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1280, "height": 900}, timezone_id="Europe/Berlin")
        page = context.new_page()
        page.set_default_timeout(_PATIENCE_MS)
        yield page
        browser.close()


def test_a_visitor_sees_the_lake_and_no_hostile_value_does_anything(dashboard: Dashboard) -> None:
    address, lake = dashboard
    expect = sync_api.expect
    with visiting() as page:
        asked: list[str] = []
        harm: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("dialog", lambda dialog: (harm.append(dialog.message), dialog.dismiss()))
        page.goto(address)

        expect(page.get_by_text("This dashboard asks for a password.")).to_be_visible()
        offer(page, "wrong")
        expect(page.get_by_text("That is not the password.")).to_be_visible()
        expect(page.get_by_text("no lake")).to_have_count(0)
        nothing = page.get_by_text(f"There is no lake at {lake}")
        while not nothing.count():
            # After a wrong password none is looked at for a second.
            with contextlib.suppress(sync_api.Error):
                offer(page, SECRET)
                nothing.wait_for(timeout=5_000)
        expect(page.get_by_text("sluice demo", exact=True)).to_be_visible()

        hostile_lake(lake)
        shown = {"events": "6.8", "devices": "6 / 7", "quality": "97.0", "alerts": "1", "held": "1"}
        for name, value in shown.items():
            expect(tile(page, name)).to_have_text(value)
        expect(page.locator("#freshness")).to_contain_text("data is")
        newest = page.locator("#table-decisions .sl-time").first
        expect(newest).to_have_text("2026-03-01 12:00:00")
        expect(newest).to_have_attribute("title", "2026-03-01 13:00:00 +01:00 Europe/Berlin")
        expect(page.locator("#table-alerts")).to_contain_text(IMAGE)
        expect(page.locator("#table-held")).to_contain_text("p2")
        expect_to_fit(page, 400)
        expect_to_fit(page, 1280)

        choose(page, "Customer", "acme")
        expect(tile(page, "devices")).to_have_text("1 / 2")
        choose(page, "Device", "sensor-0001")
        expect(page.get_by_text("Trends of sensor-0001")).to_be_visible()
        expect(page.get_by_text("1 gap, the longest 60 s")).to_be_visible()
        choose(page, "Device", "All")
        choose(page, "Customer", "All")
        for device in (IMAGE, HOSTILE[3], HOSTILE[4]):
            choose(page, "Device", printable(device))
            expect(page.get_by_text(f"Trends of {printable(device)}", exact=True)).to_be_visible()
            expect(page.locator(".js-plotly-plot")).to_have_count(3)
        append(lake, "gold.latest_readings", [latest(HOSTILE[-1], at("12:09:55"), metric="new")])
        append(lake, "silver.held", [held(9, "p1")])
        expect(tile(page, "held")).to_have_text("2")
        assert page.evaluate("[window.hurt ?? 0, document.querySelectorAll('img[src=x]').length]") == [0, 0]
    assert harm == []
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []


def type_time(page: sync_api.Page, label: str, part: str, digits: str) -> None:
    """Changes one part of a time, and closes the calendar, which covers what is below."""
    page.get_by_role("spinbutton", name=f"{part}, {label} (UTC)").focus()
    page.keyboard.type(digits)
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")


def read_page(page: sync_api.Page) -> tuple[Any, Any, Any]:
    """The time that each of the first two charts spans, the bars of the first, the readings in the hourly table."""
    charts, bars, rows = page.evaluate(
        """() => {
            const charts = [...document.querySelectorAll('.js-plotly-plot')].slice(0, 2);
            const rows = [...document.querySelectorAll('[data-testid=stDataFrame] tbody tr')];
            const bars = charts[0]?.data?.[0];
            return [
                charts.map(each => (each.layout?.xaxis.range ?? []).map(time => time.slice(11, 16))),
                [...bars?.x ?? []].map((time, place) => [time.slice(11, 16), bars.y[place]]),
                rows.map(row => [...row.querySelectorAll('td')].map(cell => cell.innerText)),
            ];
        }"""
    )
    return charts, dict(bars), {row[1]: row[7] for row in rows}


def expect_shown(page: sync_api.Page, since: str, until: str, bars: dict[str, int], readings: dict[str, str]) -> None:
    """Fails unless charts and table, which are drawn one after the other, come to show this."""
    expected = [[since, until]] * 2, bars, readings
    patience = time.monotonic() + _PATIENCE_MS / 1000
    while (shown := read_page(page)) != expected and time.monotonic() < patience:
        page.wait_for_timeout(100)
    assert shown == expected


def test_a_visitor_chooses_from_when_to_when(dashboard: Dashboard) -> None:
    expect = sync_api.expect
    if not dashboard.lake.exists():
        hostile_lake(dashboard.lake)
    with visiting() as page:
        page.goto(dashboard.address)
        offer(page, SECRET)
        expect(tile(page, "events")).to_have_text("6.8")
        page.get_by_role("tab", name="Hourly").click()
        # Each of the seven devices reports once a second; sensor-0001 is silent in the fifth minute.
        minutes = {f"12:0{number}": 420 - 60 * (number == 4) for number in range(10)}
        whole = "12:00", "12:10", minutes, {**{printable(device): "600" for device in DEVICES}, "sensor-0001": "540"}
        expect_shown(page, *whole)

        choose(page, "Time range", "Custom (UTC)")
        type_time(page, "From", "minute", "03")
        type_time(page, "Until", "minute", "06")

        part = {each: minutes[each] for each in ("12:03", "12:04", "12:05")}
        expect_shown(
            page, "12:03", "12:06", part, {**{printable(device): "180" for device in DEVICES}, "sensor-0001": "120"}
        )
        expect(tile(page, "events")).to_have_text("6")

        type_time(page, "Until", "hour", "11")

        message = page.get_by_role("alert")
        expect(message).to_have_text(
            "The end must lie after the start. Until it does, the last hour of the data is shown."
        )
        expect_shown(page, *whole)
        type_time(page, "Until", "hour", "12")
        expect(message).to_have_count(0)
        expect(tile(page, "events")).to_have_text("6")

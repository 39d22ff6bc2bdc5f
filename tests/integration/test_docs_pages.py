"""The Data Docs in a real browser, with every way out of the machine closed."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.unit.quality.docs_lake import CASES, HOSTILE, SUITE, SUITE_FILE, suite_hash, write_result

from sluice.quality.docs import build_docs
from sluice.quality.docs_page import docs_page, suite_page

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
NO_NETWORK = ("--proxy-server=127.0.0.1:9", "--host-resolver-rules=MAP * ~NOTFOUND", "--disable-background-networking")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars")
WIDE, NARROW = 1280, 400
# What the page's own policy would stop must be inert without it as well.
PROBE = """<script>
addEventListener("load", () => {
  const style = element => getComputedStyle(element);
  const all = selector => [...document.querySelectorAll(selector)];
  const badge = document.querySelector(".verdict");
  const facts = {
    title: document.title,
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    badge: style(badge).backgroundColor,
    cards: style(document.querySelector(".cards tbody tr")).display,
    icons: all(".fas").map(icon => getComputedStyle(icon, "::before").content).join(""),
    images: all("img").length,
    clipped: all(".cards td > div").filter(cell => cell.scrollWidth > cell.clientWidth + 1 && cell.clientWidth).length,
    folded: all("details").filter(each => !each.open).length,
  };
  document.body.innerHTML = "";
  const told = document.createElement("pre");
  told.id = "facts";
  told.textContent = JSON.stringify(facts);
  document.body.append(told);
});
</script>"""


def find_browser() -> str | None:
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


pytestmark = pytest.mark.skipif(find_browser() is None, reason=f"none of {', '.join(BROWSERS)} is installed")
Browse = Callable[..., str]


class Words(HTMLParser):
    def __init__(self, document: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(document)

    def handle_data(self, data: str) -> None:
        self.found.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.found))


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One promotion of every case, built."""
    folder = tmp_path_factory.mktemp("pages") / "lake"
    for minute, case in enumerate(CASES):
        write_result(folder, case, minute)
    build_docs(folder, SUITE_FILE.parent, folder / "_docs", 200)
    return folder


@pytest.fixture(scope="module")
def browse(tmp_path_factory: pytest.TempPathFactory) -> Browse:
    """Opens a page without network; gives what the browser made of it, or with a name writes a picture."""
    profile = tmp_path_factory.mktemp("profile")

    def open_page(path: Path, width: int = WIDE, picture: Path | None = None) -> str:
        shown = [f"--screenshot={picture}"] if picture else ["--dump-dom"]
        options = (f"--user-data-dir={profile}", f"--window-size={width},1600", "--virtual-time-budget=2000", *shown)
        command = [find_browser() or "", *FLAGS, *NO_NETWORK, *options, path.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        return done.stdout

    return open_page


def page(lake: Path, case: str) -> Path:
    return lake / docs_page("silver", f"silver-0a1b2c3d-{list(CASES).index(case)}")


def facts_of(browse: Browse, path: Path, width: int = WIDE) -> dict[str, object]:
    """Measures a page in the browser: a copy beside it, with our script and without the policy that forbids scripts."""
    whole = path.read_text("utf-8")
    probed = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', PROBE, whole)
    copy = path.with_name("probe.htm")
    copy.write_text(probed, "utf-8")
    try:
        (found,) = re.findall(r'<pre id="facts">(.*?)</pre>', browse(copy, width), re.S)
    finally:
        copy.unlink()
    return dict(json.loads(found.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")))


def test_the_index_is_readable_without_a_network(lake: Path, browse: Browse) -> None:
    shown = Words(browse(lake / "_docs/index.html")).text
    rows = [
        "2026-03-01 12:05:00 silver EMPTY 0 0 0 0 0 none",
        "2026-03-01 12:02:00 silver HOLD 40 0 0 0 40 device_ id_ present",
        "2026-03-01 12:00:00 silver PROMOTE 40 39 0 1 0 none",
    ]
    assert [row for row in rows if row not in shown] == []


def test_a_promotion_and_its_suite_are_readable_without_a_network(lake: Path, browse: Browse) -> None:
    promotion = Words(browse(page(lake, "held"))).text
    suite = Words(browse(lake / "_docs" / suite_page(SUITE, suite_hash()))).text
    assert "share_quarantined is 0.8, at most 0.5 is allowed" in promotion
    assert "30 unexpected values found. 75% of 40 total rows." in promotion
    assert "Beyond -50..100 °C the sensor is broken." in suite


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_style_comes_from_the_folder_and_nothing_is_cut_off(lake: Path, browse: Browse, width: int) -> None:
    for path in (lake / "_docs/index.html", page(lake, "hostile"), lake / "_docs" / suite_page(SUITE, suite_hash())):
        facts = facts_of(browse, path, width)
        cards = "table-row" if width == WIDE else "block"
        assert (facts["overflow"], facts["clipped"], facts["cards"]) == (0, 0, cards), path.name
        assert facts["badge"] != "rgba(0, 0, 0, 0)"


def test_rules_have_their_glyphs_and_tracebacks_are_folded(lake: Path, browse: Browse) -> None:
    facts = facts_of(browse, page(lake, "broken"))
    assert facts["icons"] == '"⚠"' + '"✖"' * 4 + '"✔"' * 15
    assert facts["folded"] == 1


def test_a_hostile_value_is_inert_even_without_the_policy(lake: Path, browse: Browse) -> None:
    facts = facts_of(browse, page(lake, "hostile"))
    assert (facts["title"], facts["images"]) == ("silver-0a1b2c3d-4", 0)
    assert Words(browse(page(lake, "hostile"))).text.count(HOSTILE) == 5


def test_the_policy_of_a_page_forbids_every_script(lake: Path, browse: Browse) -> None:
    whole = page(lake, "good").read_text("utf-8")
    infected = page(lake, "good").with_name("infected.htm")
    infected.write_text(whole.replace("<main>", "<main><script>document.title='taken'</script>"), "utf-8")
    assert "<title>silver-0a1b2c3d-0</title>" in browse(infected)


def test_a_picture_can_be_taken_at_the_width_of_a_telephone(lake: Path, browse: Browse, tmp_path: Path) -> None:
    picture = tmp_path / "index.png"
    browse(lake / "_docs/index.html", NARROW, picture)
    assert struct.unpack(">II", picture.read_bytes()[16:24]) == (NARROW, 1600)

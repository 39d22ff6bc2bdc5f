from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.unit.quality.docs_lake import CASES, HOSTILE, SUITE, SUITE_FILE, suite_hash, write_result

from sluice.quality.docs import DocsBuilt, build_docs
from sluice.quality.docs_page import docs_page, result_path, suite_page
from sluice.quality.docs_render import render_results
from sluice.quality.docs_results import ResultDamaged, Skipped, read_result

# Every tag a page may hold; none of them runs, loads or sends anything.
HARMLESS = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "link",
        "body",
        "nav",
        "main",
        "footer",
        "section",
        "h1",
        "h2",
        "p",
        "div",
        "pre",
    ),
    *("a", "b", "i", "span", "small", "strong", "code", "br", "wbr", "time", "details", "summary", "dl", "dt", "dd"),
    *("table", "thead", "tbody", "tr", "th", "td", "svg", "rect", "fieldset", "legend", "label", "input"),
}


class Page(HTMLParser):
    """The parts of a page that tests ask for."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.feed(path.read_text("utf-8"))
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def links(self) -> list[str]:
        return [value for tag, name, value in self.attributes if (tag, name) == ("a", "href")]


def build(lake: Path, limit: int = 200, output: Path | None = None) -> DocsBuilt:
    return build_docs(lake, SUITE_FILE.parent, output or lake / "_docs", limit)


def pages_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One promotion of every case, built."""
    folder = tmp_path_factory.mktemp("docs") / "lake"
    for minute, case in enumerate(CASES):
        write_result(folder, case, minute)
    build(folder)
    return folder


def page_of(lake: Path, case: str) -> Page:
    return Page(lake / docs_page("silver", f"silver-0a1b2c3d-{list(CASES).index(case)}"))


def test_the_page_of_a_promotion_is_named_without_great_expectations() -> None:
    program = (
        "import sys; from sluice.quality.docs_page import docs_page; print(docs_page('silver', 'silver-1-2')); "
        "print('great_expectations' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout.split() == ["_docs/promotions/silver/silver-1-2.html", "False"]


def test_every_promotion_has_the_page_the_ledger_names(lake: Path) -> None:
    found = sorted(str(path.relative_to(lake)) for path in (lake / "_docs").rglob("*.html"))
    expected = [docs_page("silver", f"silver-0a1b2c3d-{minute}") for minute in range(len(CASES))]
    expected += ["_docs/index.html", f"_docs/{suite_page(SUITE, suite_hash())}"]
    assert found == sorted(expected)


def test_no_page_names_anything_outside_the_folder_or_runs_anything(lake: Path) -> None:
    for path in (lake / "_docs").rglob("*.html"):
        page = Page(path)
        assert page.tags <= HARMLESS, path
        addresses = [value for _, name, value in page.attributes if name in {"href", "src", "action", "data", "srcset"}]
        outside = [value for value in addresses if re.match(r"\s*([a-z+.-]+:|//|/)", value, re.I) and value != "data:,"]
        assert outside == []
        assert [(tag, name) for tag, name, _ in page.attributes if name.startswith("on") or name == "style"] == []
        policy = next(value for _, name, value in page.attributes if value.startswith("default-src"))
        assert "script" not in policy
        assert policy.startswith("default-src 'none';")
    style = (lake / "_docs/static/docs.css").read_text("utf-8")
    assert re.findall(r"https?:|@import|url\(", style) == []


def test_every_link_leads_to_a_page_that_is_there(lake: Path) -> None:
    for path in (lake / "_docs").rglob("*.html"):
        for target in Page(path).links():
            assert target.startswith("#") or (path.parent / target).is_file(), (path, target)


def test_index_promotion_and_suite_link_to_each_other(lake: Path) -> None:
    index = Page(lake / "_docs/index.html").links()
    suite_links = Page(lake / "_docs" / suite_page(SUITE, suite_hash())).links()
    promotions = [f"promotions/silver/silver-0a1b2c3d-{minute}.html" for minute in reversed(range(len(CASES)))]
    assert index == ["#suites", *promotions, suite_page(SUITE, suite_hash())]
    assert suite_links == ["../index.html", *(f"../{promotion}" for promotion in promotions)]
    assert page_of(lake, "good").links() == ["../../index.html", f"../../{suite_page(SUITE, suite_hash())}"]


@pytest.mark.parametrize(
    ("case", "facts"),
    [
        ("good", ["silver · 2026-03-01 12:00:00", "every rule was met", "19 of 19 rules met."]),
        ("warnings", ["PROMOTE WITH WARNINGS", "6 unexpected values found. 15% of 40 total rows", "20.0", "15.5"]),
        ("held", ["HOLD", "share_quarantined is 0.8", "75% unexpected", "Beyond -50..100 °C the sensor is broken."]),
        ("broken", ["ERROR", "Could not be judged 1", 'The column "no_such_<column>" in BatchData does not exist.']),
        ("empty", ["EMPTY", "there was nothing to judge", "No rule was judged."]),
    ],
)
def test_a_page_says_what_was_decided_and_what_great_expectations_found(
    lake: Path, case: str, facts: list[str]
) -> None:
    shown = page_of(lake, case).text
    assert [fact for fact in facts if fact not in re.sub(r"\s+([.,])", r"\1", shown)] == []


def test_counts_and_facts_stand_on_the_page(lake: Path) -> None:
    shown = page_of(lake, "warnings").text
    books = "40 rows in = 38 promoted + 1 quarantined + 1 duplicate + 0 held"
    assert books in shown
    assert "rows_in 40 share_unreadable 0.0125 freshness_seconds 3.25 volume_ratio –" in shown


def test_a_suite_page_has_every_rule_with_its_description(lake: Path) -> None:
    shown = Page(lake / "_docs" / suite_page(SUITE, suite_hash())).text.replace("_ ", "_")
    rules = json.loads(SUITE_FILE.read_text("utf-8"))["expectations"]
    wanted = [part for rule in rules for part in (rule["meta"]["rule_id"], rule["description"])]
    assert [part for part in wanted if part not in shown] == []
    assert "temperature_celsius values must be greater than or equal to -50 and less than or equal to 100" in shown


def test_a_hostile_value_is_shown_as_the_text_it_is(lake: Path) -> None:
    page = page_of(lake, "hostile")
    raw = (lake / docs_page("silver", f"silver-0a1b2c3d-{list(CASES).index('hostile')}")).read_text("utf-8")
    assert "<script" not in raw
    assert "<img" not in raw
    # In why, rule id, description, value set and the sampled values.
    assert page.text.count(HOSTILE) == 5
    assert f"${{column}} is known. {HOSTILE}" in page.text


def test_a_second_build_makes_nothing_anew(lake: Path) -> None:
    before = pages_of(lake / "_docs")
    built = build(lake)
    assert (built.rendered, built.removed, built.skipped) == (0, 0, ())
    assert pages_of(lake / "_docs") == before


def test_only_what_changed_is_made_anew(tmp_path: Path) -> None:
    for minute in range(3):
        write_result(tmp_path, "good", minute)
    assert build(tmp_path).rendered == 4
    write_result(tmp_path, "held", 1)
    before = pages_of(tmp_path / "_docs")
    # The promotion, and the suite, which says what it decided.
    assert build(tmp_path).rendered == 2
    after = pages_of(tmp_path / "_docs")
    changed = sorted(name for name in after if after[name] != before[name])
    assert changed == ["index.html", "promotions/silver/silver-0a1b2c3d-1.html", suite_page(SUITE, suite_hash())]


def test_the_index_lists_the_newest_and_pages_of_older_ones_stay(tmp_path: Path) -> None:
    for minute in range(5):
        write_result(tmp_path, "good", minute, layer="gold" if minute % 2 else "silver")
    build(tmp_path)
    built = build(tmp_path, limit=2)
    index = Page(built.index)
    assert (built.promotions, built.removed) == (2, 0)
    assert [each for each in index.links() if each.startswith("promotions")] == [
        "promotions/silver/silver-0a1b2c3d-4.html",
        "promotions/gold/gold-0a1b2c3d-3.html",
    ]
    assert "the newest 2 of 5 promotions" in index.text
    assert (tmp_path / docs_page("silver", "silver-0a1b2c3d-0")).is_file()


def test_what_a_candidate_suite_would_have_decided_has_no_page(tmp_path: Path) -> None:
    for layer in ("silver", "silver-candidate"):
        write_result(tmp_path, "good", 0, layer=layer)
    built = build(tmp_path)
    assert (built.promotions, [path.name for path in (tmp_path / "_docs/promotions").iterdir()]) == (1, ["silver"])


def test_a_page_goes_when_its_result_is_gone_and_other_files_stay(tmp_path: Path) -> None:
    kept, gone = (write_result(tmp_path, "good", minute) for minute in range(2))
    build(tmp_path)
    foreign = tmp_path / "_docs/promotions/silver/notes.html"
    foreign.write_text("<p>mine</p>", "utf-8")
    result_path(tmp_path, "silver", gone).unlink()
    assert build(tmp_path).removed == 1
    left = sorted(path.name for path in foreign.parent.iterdir())
    assert left == ["notes.html", f"{kept}.html"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "not valid JSON: Expecting property name enclosed in double quotes"),
        (b"[1]", "no JSON object"),
        (b"\xff", "not valid JSON: 'utf-8' codec can't decode"),
        (b"[" * 200_000, "not valid JSON: "),
        (b"{}", "no validation result of a gate (KeyError: 'meta')"),
        (b'{"meta": {"decided_at": 1}, "results": []}', "no validation result of a gate (TypeError"),
        (
            b'{"meta": {"decided_at": "2026-01-01"}, "results": [{"expectation_config": {"type": "t"}, "success": 1}]}',
            "a result without success",
        ),
        (
            b'{"meta": {"decided_at": "2026-01-01"}, "results": ['
            b'{"expectation_config": {"type": "expect_nothing", "kwargs": 3}, "success": true}]}',
            "rule expect_nothing: Great Expectations cannot render it: ",
        ),
    ],
)
def test_a_damaged_result_is_skipped_with_its_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    write_result(tmp_path, "good", 0)
    damaged = result_path(tmp_path, "silver", "damaged")
    damaged.write_bytes(content)
    built = build(tmp_path)
    assert built.promotions == 1
    (skipped,) = built.skipped
    assert skipped.file == damaged
    assert skipped.reason.startswith(reason)
    assert "damaged" not in built.index.read_text("utf-8")


def test_a_name_that_could_leave_the_folder_or_the_address_is_refused(tmp_path: Path) -> None:
    for name in ('a"b', "a b", "ü"):
        path = result_path(tmp_path, "silver", name)
        with pytest.raises(ResultDamaged, match="its name is not that of a promotion"):
            read_result(path)


def test_a_damaged_suite_is_skipped_and_the_text_that_decided_has_a_page_of_its_own(tmp_path: Path) -> None:
    write_result(tmp_path, "good", 0, suite_hash="ab" * 32)
    configs = tmp_path / "_checkpoints/silver/configs"
    configs.mkdir(parents=True)
    (configs / f"suite-{'ab' * 32}").write_text(SUITE_FILE.read_text("utf-8"), "utf-8")
    (configs / f"suite-{'cd' * 32}").write_text('{"name": "../x", "expectations": []}', "utf-8")
    built = build(tmp_path)
    assert built.skipped == (Skipped(configs / f"suite-{'cd' * 32}", "a suite without a name that can be a file's"),)
    assert f"../../suites/{SUITE}-{'ab' * 6}.html" in Page(tmp_path / docs_page("silver", "silver-0a1b2c3d-0")).links()
    assert built.suites == 2


def test_a_lake_without_results_has_an_index_of_its_suites(tmp_path: Path) -> None:
    built = build(tmp_path)
    assert (built.promotions, built.suites) == (0, 1)
    assert "No promotion has a stored result yet." in Page(built.index).text


def test_odd_values_beside_a_result_break_no_page(tmp_path: Path) -> None:
    odd = {"verdict": ["?"], "suite_hash": [1], "rows_in": "many", "facts": [1], "why": {"a": 1}, "kind": None}
    write_result(tmp_path, "good", 0, **odd)
    built = build(tmp_path)
    assert (built.promotions, built.skipped) == (1, ())
    assert "ERROR" in Page(built.index).text


def test_progress_is_told_up_to_the_number_of_pages(tmp_path: Path) -> None:
    for minute in range(3):
        write_result(tmp_path, "good", minute)
    told: list[tuple[int, int]] = []
    build_docs(tmp_path, SUITE_FILE.parent, tmp_path / "out", 2, lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]


def test_nothing_is_reported_to_anybody() -> None:
    render_results([])
    assert os.environ["GX_ANALYTICS_ENABLED"] == "false"

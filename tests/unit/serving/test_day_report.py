"""The quality report of a day against plain Python over the rows, and as it is printed and drawn."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import sluice
from sluice.cli import run_command
from sluice.errors import LakeMissing, NothingToReport
from sluice.serving.day_report import make_report
from sluice.serving.report import BrokenRule, Report

from .lake_builder import Row, append, at, build_lake, copy_of, held, minute, reading, refused

DAY = date(2026, 3, 1)
HOSTILE = "<script>alert('x')</script>\x1b[31m\u202e"
CUSTOMERS = {"a": "acme", "b": "acme", "g": "globex", HOSTILE: None}
NOON = at("12:00:00")
TOO_HOT = "temperature_celsius_at_most_registered_max"


def sent(offset: int, device: str, **odd: object) -> Row:
    """A reading that reached Kafka at once."""
    own = {"device_id": device, "customer": CUSTOMERS[device], "kafka_timestamp": NOON}
    return {**reading(offset, NOON), **own, **odd}


def scored(device: str, **odd: object) -> Row:
    row = {"day": DAY, "device_id": device, "customer": CUSTOMERS.get(device), "score": 50.0, "band": "critical"}
    counts = ("received", "readings", "quarantined", "out_of_range", "duplicates", "judged", "late")
    return {**row, **dict.fromkeys(counts, 0), "updated_at": at("13:00:00"), **odd}


# a: 3 readings, one out of range, one late; 1 refused. b: 1 reading, 2 copies. g: 1 refused by a rule. Two days.
ROWS: dict[str, list[Row]] = {
    "silver.readings": [
        sent(0, "a"),
        sent(1, "a", quality_flag="out_of_range", failed_rules=[TOO_HOT, "odd"]),
        sent(2, "a", kafka_timestamp=NOON + timedelta(seconds=301)),
        sent(3, "b", failed_rules=["odd"]),
        sent(4, HOSTILE, quality_flag="unknown_device"),
        sent(5, "b", event_time=NOON - timedelta(days=1), event_date=DAY - timedelta(days=1), failed_rules=["old"]),
    ],
    "silver.quarantine": [
        refused(10, "BAD_TIME", device_id="a", kafka_timestamp=NOON, stage="parse"),
        refused(11, "RULE_FAILED", device_id="g", kafka_timestamp=NOON, stage="rules", failed_rules=["humid", "odd"]),
        refused(12, "NOT_JSON", kafka_timestamp=at("00:00:00"), stage="parse"),
        refused(13, "NOT_JSON", kafka_timestamp=at("23:59:59.999999"), stage="parse", status="discarded"),
        refused(14, "NOT_JSON", kafka_timestamp=NOON, stage="parse", status="replayed"),
        refused(15, "NOT_JSON", kafka_timestamp=NOON + timedelta(days=1), stage="parse"),
    ],
    "silver.duplicates": [copy_of(20, NOON, device_id="b"), copy_of(21, NOON, device_id="b")],
    "silver.held": [held(30, "p1"), held(31, "p1", status="approved")],
    "gold.held": [{**minute(NOON, device_id="a"), "status": "open"}, {**minute(NOON, device_id="g"), "status": "open"}],
    "gold.quality_scores": [
        scored("a", received=4, readings=3, quarantined=1, out_of_range=1, late=1, expected=6.0, score=70.0),
        scored("b", received=3, readings=1, duplicates=2, expected=0.5, score=60.0, updated_at=at("14:00:00")),
        scored("g", received=1, quarantined=1, judged=1, score=0.0),
        scored("(unreadable)", received=2, quarantined=2, score=0.0),
        scored(HOSTILE, received=1, readings=1, score=99.0, band="good"),
        scored("b", day=DAY - timedelta(days=1), received=1, readings=1, score=1.0),
    ],
}


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = build_lake(tmp_path / "lake", {name: [_plain(row) for row in rows] for name, rows in ROWS.items()})
    monkeypatch.setenv("SLUICE_LAKE__PATH", str(path))
    return path


def _plain(row: Row) -> Row:
    """gold/held has no bucket_date."""
    return {name: value for name, value in row.items() if "status" not in row or name != "bucket_date"}


def report(lake: Path, **wanted: Any) -> Report:
    return make_report(sluice.open_lake(lake), 300.0, **wanted)


def test_the_totals_are_those_of_the_day_and_name_where_each_record_went(lake: Path) -> None:
    made = report(lake)

    assert made.day == DAY
    assert vars(made.totals) == {
        "received": 5 + 4 + 2,
        "promoted": 5,
        "quarantined": 4,
        "duplicates": 2,
        "out_of_range": 1,
        "late": 1,
        "held": 1,
        "held_minutes": 2,
    }
    assert dict(made.quarantined_by_code) == {"NOT_JSON": 2, "BAD_TIME": 1, "RULE_FAILED": 1}
    assert list(made.quarantined_by_code) == ["NOT_JSON", "BAD_TIME", "RULE_FAILED"]
    assert made.device_count == 4


def test_rules_are_counted_over_promoted_and_refused_records_the_worst_first(lake: Path) -> None:
    assert report(lake).rules == (
        BrokenRule("odd", promoted=2, quarantined=1, devices=3),
        BrokenRule("humid", promoted=0, quarantined=1, devices=1),
        BrokenRule(TOO_HOT, promoted=1, quarantined=0, devices=1),
    )
    assert [rule.rule_id for rule in report(lake, most_rules=1).rules] == ["odd"]


def test_devices_come_worst_first_and_bounded(lake: Path) -> None:
    made = report(lake)

    columns = ("device_id", "customer", "score", "received", "promoted", "quarantined", "duplicates", "late")
    assert [tuple(getattr(each, name) for name in columns) for each in made.devices] == [
        ("(unreadable)", None, 0.0, 2, 0, 2, 0, 0),
        ("g", "globex", 0.0, 1, 0, 1, 0, 0),
        ("b", "acme", 60.0, 3, 1, 0, 2, 0),
        ("a", "acme", 70.0, 4, 3, 1, 0, 1),
        (HOSTILE, None, 99.0, 1, 1, 0, 0, 0),
    ]
    assert [each.device_id for each in report(lake, most_devices=2).devices] == ["(unreadable)", "g"]
    assert len(report(lake, most_devices=0).devices) == 5


def test_the_score_is_made_from_the_sums_and_an_eager_device_makes_up_for_no_other(lake: Path) -> None:
    made = report(lake)

    # Expected are 6 of a, of which 3 came, and 0.5 of b, of which no more than 0.5 counts.
    shares = (3.5 / 6.5, 1 - (4 + 1) / 11, 1 - 2 / 11, 1 - 1 / 5)
    score = made.score
    assert score is not None
    assert (score.completeness, score.validity, score.uniqueness, score.timeliness, score.consistency) == (
        *map(pytest.approx, shares),
        None,
    )
    assert score.score == pytest.approx(100 * sum(shares) / 4)
    assert (score.band, made.score_is_current, made.scored_at) == ("critical", True, at("14:00:00"))


def test_of_one_customer_only_its_devices_count_and_what_is_held_is_not_known(lake: Path) -> None:
    made = report(lake, customer="acme")

    assert [each.device_id for each in made.devices] == ["b", "a"]
    assert vars(made.totals) == {
        "received": 7,
        "promoted": 4,
        "quarantined": 1,
        "duplicates": 2,
        "out_of_range": 1,
        "late": 1,
        "held": None,
        "held_minutes": 1,
    }
    assert dict(made.quarantined_by_code) == {"BAD_TIME": 1}
    assert [rule.rule_id for rule in made.rules] == ["odd", TOO_HOT]
    assert made.score is not None
    assert made.score.validity == pytest.approx(1 - 2 / 7)
    # Only the registry, by way of the scores, knows whose device g is: none of its readings was promoted.
    assert [each.device_id for each in report(lake, customer="globex").devices] == ["g"]


def test_scores_that_are_behind_are_said_to_be(lake: Path) -> None:
    append(lake, "silver.readings", [sent(6, "a")])

    made = report(lake)

    assert (made.totals.promoted, made.score_is_current) == (6, False)


def test_without_scores_the_counts_stand_alone(tmp_path: Path) -> None:
    names = ("silver.readings", "silver.quarantine", "silver.duplicates")
    lake = build_lake(tmp_path, {name: ROWS[name] for name in names})

    made = report(lake)

    assert (made.score, made.score_is_current, made.scored_at) == (None, False, None)
    assert (made.totals.received, made.totals.held, made.totals.held_minutes) == (11, 0, 0)
    assert [(each.device_id, each.score) for each in made.devices[:2]] == [("(unreadable)", None), (HOSTILE, None)]
    assert Counter(each.customer for each in made.devices) == {None: 3, "acme": 2}


def test_a_day_of_which_there_is_nothing_names_the_newest_and_a_customer_those_there_are(lake: Path) -> None:
    told = []
    wanted: tuple[dict[str, Any], ...] = ({"day": date(2020, 1, 1)}, {"customer": "nobody"}, {"customer": "x' OR 1=1"})
    for each in wanted:
        with pytest.raises(NothingToReport) as caught:
            report(lake, **each)
        told.append(caught.value.in_one_line)

    assert told == [
        "there is nothing of 2020-01-01; the newest day with readings is 2026-03-01",
        "customer 'nobody' has nothing on 2026-03-01; these have: acme, globex",
        'customer "x\' OR 1=1" has nothing on 2026-03-01; these have: acme, globex',
    ]


def test_empty_tables_and_missing_ones_are_told_apart(tmp_path: Path) -> None:
    names = ("silver.readings", "silver.quarantine", "silver.duplicates")
    with pytest.raises(NothingToReport, match="silver has read nothing yet"):
        report(build_lake(tmp_path / "empty", {name: [] for name in names}))
    with pytest.raises(LakeMissing, match=r"has no table silver\.readings"):
        report(build_lake(tmp_path / "none", {"bronze.events": []}))


def test_where_nothing_was_promoted_the_newest_day_is_that_of_a_refused_record(tmp_path: Path) -> None:
    rows = {
        "silver.readings": [],
        "silver.duplicates": [],
        "silver.quarantine": ROWS["silver.quarantine"],
    }

    assert report(build_lake(tmp_path, rows)).day == DAY + timedelta(days=1)


def test_the_command_prints_it_for_people_without_anything_alive(
    lake: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["report", "--day", "2026-03-01"]) == 0

    shown = capsys.readouterr().out
    assert shown.splitlines()[0] == "Quality of 2026-03-01"
    assert (
        "\nscore 67.6 (critical): completeness 53.85 %, validity 54.55 %, uniqueness 81.82 %, timeliness 80.00 %\n"
        in shown
    )
    assert "\nDevices, the worst first (4 devices; 5 rows listed)\n" in shown
    assert "<script>alert('x')</script>\\x1b[31m\\u202e" in shown
    assert not {"\x1b", "\u202e"} & set(shown)


def test_the_command_tells_programs_all_of_it(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["report", "--json", "--customer", "acme", "--devices", "1"]) == 0

    told = json.loads(capsys.readouterr().out)
    assert {key: told[key] for key in ("day", "customer", "device_count", "score_is_current")} == {
        "day": "2026-03-01",
        "customer": "acme",
        "device_count": 2,
        "score_is_current": True,
    }
    assert told["devices"][0]["device_id"] == "b"
    assert told["totals"]["received"] == 7
    assert told["score"]["band"] == "critical"
    assert (
        abs(datetime.fromisoformat(told["made_at"].replace("Z", "+00:00")).timestamp() - datetime.now().timestamp())
        < 600
    )


class _Page(HTMLParser):
    """The tags of a page, the addresses it names, and its visible text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "srcset")]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page_loads_nothing_runs_nothing_and_shows_hostile_ids_as_text(lake: Path, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    assert run_command(["report", "--html", str(file)]) == 0

    text = file.read_text("utf-8")
    page = _Page()
    page.feed(text)
    assert page.tags <= {
        *("html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "p", "div", "span", "b", "i"),
        *("strong", "br", "table", "tr", "th", "td"),
    }
    assert page.addresses == []
    assert re.findall(r"url\(|@import|https?:", text) == []
    assert "default-src 'none'" in text
    assert "<script>alert('x')</script>\\x1b[31m\\u202e" in page.words
    assert not {"\x1b", "\u202e"} & set(text)
    assert {"67.6", "critical", "53.85 %", "54.55 %", "NOT_JSON", TOO_HOT} <= set(page.words)


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["--day", "yesterday"], 2, "sluice: --day 'yesterday' is no date\n  next: e.g. --day 2026-01-31\n"),
        (["--day", "2020-01-01"], 1, "sluice: there is nothing of 2020-01-01\n"),
        (["--html", "/nowhere/at/all.html"], 2, "sluice: cannot write /nowhere/at/all.html: No such file"),
        (["--set", "lake.path=/nowhere"], 3, "sluice: there is no lake at /nowhere\n"),
    ],
)
def test_what_is_wrong_is_one_line_and_an_exit_code(
    lake: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, error: str
) -> None:
    assert run_command(["report", *arguments]) == code

    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(error)

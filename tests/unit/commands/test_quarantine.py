"""`sluice quarantine` as it is typed; what is asked of a running or absent owner is tested where there is one."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from tests.unit.serving.lake_builder import at, between, bronze, build_lake, config, promotion, refused, suite_text

from sluice.cli import run_command

HOSTILE = "\x1b[31m[red]x[/red]\x9b2J\u202e\x07"
BYTES = b"\x00\xff\x1b[31mred\r\n" + "\u202eü".encode()
HOT = between("hot", "temperature_celsius", -50, 100)


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four open records of two codes, one hostile through and through, one discarded, and one of two generations."""
    long_ago = datetime.now(timezone.utc) - timedelta(days=3)
    headers = [{"key": f"h{HOSTILE}", "value": BYTES}, {"key": "empty", "value": None}]
    path = build_lake(
        tmp_path / "lake",
        {
            "silver.quarantine": [
                refused(1, "NOT_JSON", stage="parse", value=b"{not json", key=b"k", promotion_id="p1")
                | {"first_seen_at": long_ago, "last_seen_at": long_ago, "error_detail": "no JSON at 1"},
                refused(2, "NOT_JSON", stage="parse", value=BYTES, key=BYTES, headers=headers, promotion_id="p1")
                | {"error_detail": f"detail {HOSTILE}", "device_id": HOSTILE},
                refused(3, "RULE_FAILED", stage="rules", device_id="d1", value=b'{"temperature": 500}')
                | {"failed_rules": ["hot"], "promotion_id": "p1", "error_detail": "broke hot"}
                | {"attempts": 2, "last_seen_at": at("13:00:00")},
                refused(4, "NOT_JSON", stage="parse", value=None, status="discarded", promotion_id="p1")
                | {"last_seen_at": at("14:00:00")},
                refused(5, "NOT_JSON", stage="parse", value=b"x" * 2000, topic_generation=2),
                refused(5, "NOT_JSON", stage="parse", value=b"", status="replayed"),
            ],
            "ops.silver_promotions": [
                promotion(1, rows_in=5, rows_quarantined=5, suite_hash="s1", contract_hash="c1"),
                promotion(2, kind="replay", promotion_id="r1", decided_by="ann", why=f"try {HOSTILE}", suite_hash="s2")
                | {"decided_at": at("13:00:00"), "contract_hash": "c1", "suite": "silver_readings"},
                promotion(3, kind="discard", promotion_id="x1", decided_by="bob", why="noise", verdict=None)
                | {"decided_at": at("14:00:00")},
            ],
            "ops.configs": [
                config("suite", "s2", suite_text(HOT)),
                config("contract", "c1", "versions: [{fields: {temperature: {column: temperature_celsius}}}]"),
            ],
        },
    )
    monkeypatch.setenv("SLUICE_LAKE__PATH", str(path))
    return path


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """The JSON that a command of `sluice quarantine` prints."""
    assert run_command(["quarantine", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_ls_groups_what_is_open(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["quarantine", "ls"]) == 0

    header, *groups, total = capsys.readouterr().out.splitlines()
    assert header.split() == ["error_code", "stage", "records", "oldest", "newest", "attempts", "example", "detail"]
    assert [line.split()[:3] for line in groups] == [["NOT_JSON", "parse", "3"], ["RULE_FAILED", "rules", "1"]]
    assert groups[1].rstrip().endswith("2  iot.raw:1:0:3  broke hot")
    assert total == "4 records; the bytes of one: sluice quarantine show RECORD"


def test_ls_json_has_ages_and_samples_the_newest_first(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(capsys, "ls", "--code", "NOT_JSON")

    (group,) = found["groups"]
    assert (found["status"], found["records"], group["records"], group["device_id"]) == ("open", 3, 3, None)
    samples = [sample["coordinates"] for sample in group["samples"]]
    assert sorted(samples[:2]) == ["iot.raw:1:0:2", "iot.raw:2:0:5"] or samples[0] == "iot.raw:1:0:1"
    assert len(samples) == 3
    assert group["oldest_seconds"] >= group["newest_seconds"]


@pytest.mark.parametrize(
    ("options", "groups"),
    [
        (["--per-device"], [("NOT_JSON", HOSTILE, 1), ("NOT_JSON", None, 2), ("RULE_FAILED", "d1", 1)]),
        (["--device", "d1"], [("RULE_FAILED", None, 1)]),
        (["--stage", "rules"], [("RULE_FAILED", None, 1)]),
        (["--status", "discarded"], [("NOT_JSON", None, 1)]),
        (["--status", "all"], [("NOT_JSON", None, 5), ("RULE_FAILED", None, 1)]),
        (["--since", "2026-03-01T13:00:00+01:00", "--code", "RULE_FAILED"], [("RULE_FAILED", None, 1)]),
        (["--since", "2999-01-01T00:00:00Z"], []),
    ],
)
def test_ls_chooses_and_groups_as_asked(
    lake: Path, capsys: pytest.CaptureFixture[str], options: list[str], groups: list[tuple[Any, ...]]
) -> None:
    found = answer(capsys, "ls", *options)["groups"]

    shown = [(group["error_code"], group["device_id"], group["records"]) for group in found]
    assert sorted(shown, key=str) == sorted(groups, key=str)


def test_ls_lists_single_records_up_to_a_limit(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["quarantine", "ls", "--records", "--limit", "2", "--stage", "parse"]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = answer(capsys, "ls", "--records", "--limit", "0", "--status", "all")

    assert lines[0].split()[:4] == ["record", "error_code", "stage", "device_id"]
    assert lines[-1] == "2 of 3 records; the bytes of one: sluice quarantine show RECORD"
    assert (found["records"], len(found["listed"])) == (6, 6)
    assert "value" not in found["listed"][0]
    assert {row["coordinates"] for row in found["listed"]} >= {"iot.raw:1:0:3", "iot.raw:2:0:5"}


def test_ls_says_when_there_is_nothing(lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = build_lake(tmp_path / "other", {"bronze.events": [bronze(1)]})

    assert run_command(["quarantine", "ls", "--set", f"lake.path={other}"]) == 0
    assert run_command(["quarantine", "ls", "--records", "--set", f"lake.path={other}"]) == 0
    assert run_command(["quarantine", "ls", "--code", "TOO_DEEP", "--status", "all"]) == 0
    nothing = "no such record is in quarantine"
    assert capsys.readouterr().out.splitlines() == ["nothing is in quarantine", nothing, nothing]


def test_show_has_the_bytes_the_reason_and_who_dealt_with_it(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["quarantine", "show", "iot.raw:0:3"]) == 0

    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "record iot.raw:1:0:3: open",
        "  rules: RULE_FAILED, broke hot",
        "  device_id        d1",
        "  kafka_timestamp  unknown",
        "  first_seen_at    2026-03-01T12:00:00Z",
        "  last_seen_at     2026-03-01T13:00:00Z",
        "  attempts         2",
        "  rule hot failed in r1",
        "    saw   temperature_celsius = 500 (sent as temperature)",
        "    rule  expect_column_values_to_be_between(column=temperature_celsius, min_value=-50, max_value=100), "
        "critical",
        "  promotion p1 (batch, 2026-03-01T12:00:00Z)",
        r"  promotion r1 (replay by ann, 2026-03-01T13:00:00Z): try \x1b[31m[red]x[/red]\x9b2J\u202e\x07",
        "  key: null",
        "  value: 20 bytes",
        '    {"temperature": 500}',
        '    00000000  7b 22 74 65 6d 70 65 72 61 74 75 72 65 22 3a 20  {"temperature":',
        "    00000010  35 30 30 7d                                      500}",
    ]


def test_show_json_has_bytes_as_text_and_hex(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(capsys, "show", "iot.raw:1:0:2")

    assert (found["coordinates"], found["attempts"], found["status"]) == ("iot.raw:1:0:2", 1, "open")
    assert bytes.fromhex(found["value"]["hex"]) == BYTES
    assert found["value"]["text"] == "\x00\\xff\x1b[31mred\r\n\u202eü"
    assert (found["value"]["bytes"], found["value"]["is_cut"]) == (len(BYTES), False)
    assert [header.get("hex") for header in found["headers"]] == [BYTES.hex(), None]
    cut = answer(capsys, "show", "iot.raw:2:0:5", "--bytes", "10")
    assert (cut["value"]["bytes"], cut["value"]["text"], cut["value"]["is_cut"]) == (2000, "x" * 10, True)
    assert len(answer(capsys, "show", "iot.raw:2:0:5", "--bytes", "0")["value"]["text"]) == 2000


def test_show_tells_what_became_of_a_record(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["quarantine", "show", "iot.raw:0:4"]) == 0

    shown = capsys.readouterr().out
    assert shown.startswith("record iot.raw:1:0:4: discarded\n")
    assert "  promotion x1 (discard by bob, 2026-03-01T14:00:00Z): noise\n" in shown
    assert "  value: null\n" in shown
    assert shown.endswith("  where it is now: sluice trace iot.raw:1:0:4\n")


@pytest.mark.parametrize(
    "command",
    [
        ["ls"],
        ["ls", "--per-device"],
        ["ls", "--records"],
        ["ls", "--records", "--json"],
        ["ls", "--json", "--per-device"],
        ["show", "iot.raw:0:2"],
        ["show", "iot.raw:0:2", "--json"],
        ["show", "iot.raw:0:3", "--json"],
        ["show", HOSTILE],
        ["ls", "--code", HOSTILE],
        ["discard", "--device", f"{HOSTILE}?", "--by", HOSTILE, "--why", HOSTILE],
    ],
)
def test_hostile_bytes_are_inert(lake: Path, capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    run_command(["quarantine", *command])

    shown = capsys.readouterr()
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", shown.out + shown.err)


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["ls", "--code", "NO_CODE"], 2, "sluice: there is no error code 'NO_CODE'\n  next: one of EMPTY_MESSAGE"),
        (["ls", "--since", "yesterday"], 2, "sluice: --since 'yesterday': no RFC 3339 time"),
        (["ls", "--status", "gone"], 2, ""),
        (["ls", "--set", "lake.path=/nowhere"], 3, "sluice: there is no lake at /nowhere"),
        (["show", "e1"], 2, "sluice: 'e1' cannot be read as coordinates"),
        (["show", "iot.raw:0:99"], 1, "sluice: iot.raw:0:99 is not in silver.quarantine\n  next: sluice trace"),
        (["show", "iot.raw:0:5"], 2, "sluice: iot.raw:0:5 is in several generations"),
        (["replay", "nonsense"], 2, "sluice: 'nonsense' cannot be read as coordinates"),
        (["discard", "--by", "ann", "--why", "x"], 2, "sluice: say which records, or --all"),
        (["discard", "--all", "--code", "NOT_JSON", "--by", "ann", "--why", "x"], 2, "sluice: say which records"),
        (["discard", "--all", "--by", " ", "--why", "x"], 2, "sluice: --by and --why must say something"),
        (["discard", "--all"], 2, ""),
    ],
)
def test_what_is_wrong_has_its_exit_code(
    lake: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, error: str
) -> None:
    assert run_command(["quarantine", *arguments]) == code
    assert capsys.readouterr().err.startswith(error)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["replay", "--code", "TOO_DEEP"], "nothing replayed: no open record is selected (code TOO_DEEP)"),
        (["replay", "iot.raw:0:4"], "nothing replayed: no open record is selected (iot.raw:0:4)"),
        (
            ["discard", "--device", "d9", "--stage", "rules", "--by", "ann", "--why", "x"],
            "nothing discarded: no open record is selected (device d9, stage rules)",
        ),
    ],
)
def test_where_nothing_is_selected_nothing_is_asked(
    lake: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert run_command(["quarantine", *arguments]) == 0
    assert capsys.readouterr().out == f"{said}\n"
    found = answer(capsys, *arguments)
    assert (found["promotion_id"], found["done"], found["rows_in"], found["message"]) == (None, True, 0, said)
    assert not (lake / "_requests").exists()

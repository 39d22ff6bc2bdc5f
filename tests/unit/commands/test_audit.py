"""`sluice audit` as it is typed: what is printed where, and the exit codes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.unit.serving.audit_lake import balanced_lake, delete, event, silver_promotion
from tests.unit.serving.lake_builder import append, bronze, build_lake

from sluice.cli import run_command

HOSTILE = "\x1b[31m[red]x[/red]\u202e"


@pytest.fixture(scope="module")
def balanced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return balanced_lake(tmp_path_factory.mktemp("balanced") / "lake")


@pytest.fixture
def lake(balanced: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A balanced lake of the test's own, and no broker."""
    path = Path(shutil.copytree(balanced, tmp_path / "lake"))
    monkeypatch.setenv("SLUICE_LAKE__PATH", str(path))
    monkeypatch.setenv("SLUICE_BROKER__DATA_PATH", str(tmp_path / "no-broker"))
    return path


def test_an_audit_has_a_line_for_each_check_and_a_conclusion(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["audit"]) == 0

    shown = capsys.readouterr()
    no_broker = "no Kafka broker is configured and the embedded one is not up"
    assert shown.out.splitlines() == [
        "ok          bronze.once    no record stands in bronze twice (16 records)",
        f"skipped     bronze.topic   bronze has every record the topic still shows ({no_broker}; 2 partitions)",
        "ok          silver.places  every record that silver has read is in exactly one place "
        "(15 read, 7 readings, 3 quarantine, 1 duplicates, 4 held, 1 pending)",
        "ok          silver.ledger  silver's ledger adds up, and counts what is there "
        "(7 promotions, 15 rows in, 15 bronze records)",
        "ok          silver.keys    no event is in silver.readings twice (7 readings)",
        "ok          gold.minutes   every minute is what its readings give (6 minutes, 1 held)",
        "ok          gold.latest    the latest readings are those of silver (3 latest)",
        "skipped     gold.rollups   every hour and day is what its minutes give "
        "(hours and days have not been made yet)",
        "skipped     gold.devices   what is registered now stands there once (no registry has been taken in yet)",
        "ok          gold.ledger    gold's ledger adds up, and counts what is held (2 promotions)",
        "the books balance: 16 records, 1 pending",
    ]
    assert shown.err == ""


def test_what_is_wrong_is_named_below_the_checks(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    delete(lake, "silver.quarantine", '"offset" = 4')

    assert run_command(["audit"]) == 1
    assert capsys.readouterr().out.splitlines()[-5:] == [
        "silver.places: 1 records that are in no place",
        "  iot.raw:1:0:4",
        "silver.ledger: 1 counts of the ledger that the tables do not have",
        "  silver-g-0  rows_quarantined 1, silver.quarantine has 0",
        "the books do not balance: silver.places, silver.ledger",
    ]


def test_more_than_the_first_twenty_are_only_counted(
    tmp_path: Path, lake: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    append(lake, "bronze.events", [bronze(4)] * 3 + [bronze(offset) for offset in range(12)] * 2)
    assert run_command(["audit"]) == 1
    shown = capsys.readouterr().out.splitlines()
    start = shown.index("bronze.once: 27 rows too many in bronze.events: their record stands there already")
    assert shown[start + 5] == "  iot.raw:1:0:4  6 rows"

    many = build_lake(tmp_path / "many", {"bronze.events": [bronze(offset) for offset in range(25)] * 2})
    monkeypatch.setenv("SLUICE_LAKE__PATH", str(many))
    assert run_command(["audit"]) == 1
    shown = capsys.readouterr().out.splitlines()
    start = shown.index("bronze.once: 25 rows too many in bronze.events: their record stands there already")
    assert shown[start + 20 : start + 22] == ["  iot.raw:1:0:19  2 rows", "  …"]


def test_json_is_one_document_with_every_check(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    delete(lake, "silver.quarantine", '"offset" = 4')
    assert run_command(["audit", "--json"]) == 1

    answer = json.loads(capsys.readouterr().out)
    assert (answer["balances"], answer["records"], answer["pending"], answer["since"]) == (False, 16, 1, None)
    assert answer["versions"]["silver.quarantine"] == 1
    checks = {check["check"]: check for check in answer["checks"]}
    assert next(iter(checks)) == "bronze.once"
    lost = {"what": "records that are in no place", "count": 1, "first": [{"at": "iot.raw:1:0:4", "detail": None}]}
    assert checks["silver.places"]["problems"] == [lost]
    assert checks["bronze.topic"]["result"] == "skipped"
    assert set(checks["gold.minutes"]) == {
        *("check", "proves", "result", "reason", "counts", "problems", "notes", "seconds")
    }


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_hostile_text_is_inert(lake: Path, capsys: pytest.CaptureFixture[str], options: list[str]) -> None:
    append(lake, "bronze.events", [bronze(4, partition=1)])
    hostile = event(3, 9, "silver-g-5", partition=1, event_id=HOSTILE, device_id=HOSTILE)
    append(lake, "silver.readings", [hostile, {**hostile, "offset": 4}])
    append(lake, "ops.silver_promotions", [silver_promotion(5, {"1": 4}, promoted=2)])

    assert run_command(["audit", *options]) == 1
    shown = capsys.readouterr()
    assert set(shown.out + shown.err) & {"\x1b", "\u202e"} == set()
    assert "[red]x[/red]" in shown.out


def test_since_is_told_in_the_conclusion(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["audit", "--since", "2026-03-01T13:00:00+01:00"]) == 0
    assert (
        capsys.readouterr().out.splitlines()[-1]
        == "the books balance: 16 records since 2026-03-01T12:00:00Z, 1 pending"
    )
    assert run_command(["audit", "--since", "2026-03-02T00:00:00Z"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "the books balance: 0 records since 2026-03-02T00:00:00Z"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--since", "yesterday"], "sluice: --since yesterday: not a time with an offset\n"),
        (["--since", "2026-03-01T12:00:00"], "sluice: --since 2026-03-01T12:00:00: not a time with an offset\n"),
        (["--set", "lake.path=/nowhere"], "sluice: there is no lake at /nowhere\n"),
    ],
)
def test_what_cannot_be_checked_is_said_on_standard_error(
    lake: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], error: str
) -> None:
    assert run_command(["audit", *arguments]) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err.startswith(error)) == ("", True)


def test_a_lake_without_tables_and_a_damaged_one_cannot_be_checked(
    lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in (lake / "silver/held").glob("*.parquet"):
        file.write_bytes(b"PAR1 and nothing of it")
    assert run_command(["audit"]) == 2
    assert "the lake's files cannot be read: " in capsys.readouterr().err

    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("SLUICE_LAKE__PATH", str(tmp_path / "empty"))
    assert run_command(["audit"]) == 2
    assert "has no tables yet" in capsys.readouterr().err


def test_a_check_that_could_not_be_made_says_what_it_could_not_read(
    lake: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = next((lake / "gold/readings_1min").rglob("*.parquet"))
    file.unlink()
    assert run_command(["audit"]) == 2
    shown = capsys.readouterr().out.splitlines()
    assert shown[5].startswith("unreadable  gold.minutes")
    assert file.name in shown[5]
    assert shown[-1] == "the books could not be checked"

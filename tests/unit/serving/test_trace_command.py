"""`sluice trace` as it is typed: what is printed where, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sluice.cli import run_command

from .lake_builder import at, between, bronze, build_lake, config, minute, promotion, reading, suite_text

HOSTILE = "\x1b[31m[red]x[/red]\x9b2J\u202e"
COLD = between("cold", "temperature_celsius", 0, 10, "warning")


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = build_lake(
        tmp_path / "lake",
        {
            "bronze.events": [bronze(1, b'{"event_id": "e1"}'), bronze(2, HOSTILE.encode())],
            "silver.readings": [
                reading(1, at("12:00:05"), promotion_id="p1", promoted_at=at("12:01:00"), failed_rules=["cold"]),
                reading(2, at("12:00:06"), event_id=HOSTILE, device_id=HOSTILE, promotion_id=HOSTILE, firmware=HOSTILE)
                | {"failed_rules": [HOSTILE], "quality_flag": HOSTILE},
            ],
            "gold.readings_1min": [
                minute(at("12:00:00"), updated_at=at("12:02:00")),
                minute(at("12:00:00"), device_id=HOSTILE, unit=HOSTILE),
            ],
            "ops.silver_promotions": [
                promotion(1, suite="silver_readings", suite_hash="s1", decided_at=at("12:01:00")),
                promotion(2, promotion_id=HOSTILE, why=HOSTILE, decided_by=HOSTILE, suite_hash=HOSTILE),
            ],
            "ops.configs": [config("suite", "s1", suite_text(COLD))],
        },
    )
    monkeypatch.setenv("SLUICE_LAKE__PATH", str(path))
    return path


def test_a_trace_reads_as_a_story(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["trace", "e1"]) == 0

    shown = capsys.readouterr()
    assert shown.out.splitlines() == [
        "event e1 of sensor-0001 at 2026-03-01T12:00:05Z: promoted",
        "  2026-03-01T12:00:00Z        iot.raw:1:0:1 landed in bronze.events "
        "(18 bytes, Kafka time 2026-03-01T12:00:00Z)",
        "  2026-03-01T12:01:00Z        p1 (PROMOTE) promoted iot.raw:1:0:1 to silver.readings "
        "(quality valid, schema version 2)",
        "  rule cold failed for iot.raw:1:0:1 in p1",
        "    saw   temperature_celsius = 20.0",
        "    rule  expect_column_values_to_be_between(column=temperature_celsius, min_value=0, max_value=10), warning",
        "    suite silver_readings s1",
        "  gold 2026-03-01T12:00:00Z temperature_celsius: 12 readings, mean 20.5 °C, min 20.0, max 21.0",
        "  promotion p1: batch, PROMOTE; suite s1",
        '  message {"event_id": "e1"}',
    ]
    assert shown.err == ""


def test_json_is_one_document_with_the_rule_and_the_raw_message(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["trace", "iot.raw:0:1", "--json"]) == 0

    answer = json.loads(capsys.readouterr().out)
    (event,) = answer["events"]
    assert (event["state"], event["failed_rules"][0]["rule"]) == ("promoted", COLD)
    assert event["records"][0]["places"][0]["row"]["value"] == '{"event_id": "e1"}'
    assert answer["notes"] == ["read as coordinates; --as id reads it otherwise"]


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_hostile_text_is_inert(lake: Path, capsys: pytest.CaptureFixture[str], options: list[str]) -> None:
    assert run_command(["trace", "iot.raw:0:2", *options]) == 0
    found = capsys.readouterr()
    assert run_command(["trace", f"{HOSTILE}?", *options]) == 1
    unknown = capsys.readouterr()

    for text in (found.out, found.err, unknown.out, unknown.err):
        assert set(text) & {"\x1b", "\x9b", "\u202e", "\x07"} == set()
    assert "[red]x[/red]" in found.out


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["nobody"], 1, "sluice: no table of the lake knows event id nobody\n  next: ids are compared exactly"),
        (["iot.raw:9:9"], 1, "sluice: no table of the lake knows coordinates iot.raw:9:9 or event id iot.raw:9:9\n"),
        (["e1", "--as", "time"], 2, "sluice: 'e1' cannot be read as time\n  next: write DEVICE@TIME"),
        (["e1", "--as", "age"], 2, ""),
        ([""], 2, "sluice: nothing to trace was given"),
        ([], 2, ""),
        (["e1", "--set", "lake.path=/nowhere"], 3, "sluice: there is no lake at /nowhere"),
    ],
)
def test_what_is_wrong_is_said_on_standard_error_with_its_exit_code(
    lake: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, error: str
) -> None:
    assert run_command(["trace", *arguments]) == code

    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(error)
    assert "Traceback" not in shown.err

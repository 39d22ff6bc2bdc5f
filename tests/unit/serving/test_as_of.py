"""Time travel: each table at the version that was its newest at a moment, or one table at a version."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from deltalake import DeltaTable

import sluice
from sluice.cli import run_command
from sluice.errors import LakeMissing, QueryInvalid
from sluice.serving.readonly import run_read_only
from sluice.serving.values import rfc3339

from .lake_builder import append, at, build_lake, reading, refused

COUNT = 'SELECT count(*) FROM silver.readings -- not a SHOW, nor "gold.held"'
BOTH = "SELECT (SELECT count(*) FROM silver.readings), (SELECT count(*) FROM silver.quarantine)"


def written(lake: Path, name: str, version: int, moment: datetime) -> None:
    """Makes a commit say that it was written at that moment."""
    path = lake / name.replace(".", "/") / "_delta_log" / f"{version:020}.json"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if "commitInfo" in line:
            line["commitInfo"]["timestamp"] = int(moment.timestamp() * 1000)
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Readings written at 12:00, 12:10, 12:20 and 12:30, one each; refused records at 12:15."""
    path = build_lake(tmp_path / "lake", {"silver.readings": [reading(0, at("12:00:00"))]})
    for offset in (1, 2, 3):
        append(path, "silver.readings", [reading(offset, at("12:00:00"))])
    append(path, "silver.quarantine", [refused(9, "NOT_JSON")])
    for version in range(4):
        written(path, "silver.readings", version, at(f"12:{version}0:00"))
    written(path, "silver.quarantine", 0, at("12:15:00"))
    return path


def counts(lake: Path, sql: str, as_of: int | datetime | None, optional: Sequence[str] = ()) -> tuple[object, ...]:
    (row,) = run_read_only(sluice.open_lake(lake), sql, optional=optional, as_of=as_of).rows()
    return row


@pytest.mark.parametrize(
    ("as_of", "rows"),
    [
        (0, 1),
        (2, 3),
        (None, 4),
        (at("12:00:00"), 1),
        (at("12:19:59.999"), 2),
        (at("12:20:00"), 3),
        (at("12:20:00").astimezone(timezone(timedelta(hours=9))), 3),
        (at("23:00:00"), 4),
        (at("12:00:00").replace(year=9999), 4),
    ],
)
def test_a_table_is_read_at_a_version_or_at_its_newest_of_a_moment(
    lake: Path, as_of: int | datetime | None, rows: int
) -> None:
    opened = sluice.open_lake(lake)

    assert counts(lake, COUNT, as_of) == (rows,)
    assert opened.sql(COUNT, as_of=as_of).fetchall() == [(rows,)]
    assert opened.arrow("silver.readings", as_of).num_rows == rows


def test_each_table_of_a_statement_is_at_its_own_newest_version_then(lake: Path) -> None:
    assert counts(lake, BOTH, at("12:15:00")) == (2, 1)
    assert counts(lake, BOTH, None) == (4, 1)


def test_what_did_not_exist_yet_is_empty_only_where_that_is_allowed(lake: Path) -> None:
    assert counts(lake, BOTH, at("12:10:00"), ["silver.quarantine", "silver.held"]) == (2, 0)
    with pytest.raises(LakeMissing) as caught:
        counts(lake, BOTH, at("12:10:00"))

    assert caught.value.in_one_line == (
        "silver.quarantine cannot be read as of 2026-03-01T12:10:00Z: its first version is of 2026-03-01T12:15:00Z; "
        "give a later time"
    )


def test_a_version_is_of_one_table(lake: Path) -> None:
    with pytest.raises(QueryInvalid) as caught:
        counts(lake, BOTH, 1)

    assert caught.value.in_one_line == (
        "version 1 is one table's, and the query reads 2: silver.readings, silver.quarantine; "
        "give a time: each table is read at its newest version then"
    )


@pytest.mark.parametrize(
    ("version", "fact"),
    [(4, "its newest is 3; its log tells of versions 0 to 3"), (-1, "versions count from 0; take a newer one")],
)
def test_a_version_that_never_was_is_named(lake: Path, version: int, fact: str) -> None:
    with pytest.raises(LakeMissing) as caught:
        counts(lake, COUNT, version)

    assert caught.value.in_one_line.startswith(f"silver.readings cannot be read at version {version}: {fact}")


def test_a_version_whose_files_upkeep_has_removed_is_refused_before_anything_is_read(lake: Path) -> None:
    DeltaTable(lake / "silver/readings").optimize.compact()
    DeltaTable(lake / "silver/readings").vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)

    assert counts(lake, COUNT, 4) == (4,)
    for as_of in (2, at("12:25:00")):
        with pytest.raises(LakeMissing) as caught:
            counts(lake, COUNT, as_of)
        assert caught.value.in_one_line == (
            "silver.readings cannot be read at version 2: 3 of its 3 files were removed since, by upkeep; "
            "take a newer one; its log tells of versions 0 to 6"
        )


def test_a_log_that_was_cut_reaches_back_to_its_oldest_checkpoint(lake: Path) -> None:
    DeltaTable(lake / "silver/readings", version=2).create_checkpoint()
    for version in (0, 1):
        (lake / f"silver/readings/_delta_log/{version:020}.json").unlink()

    assert counts(lake, COUNT, 2) == (3,)
    assert counts(lake, COUNT, at("12:21:00")) == (3,)
    with pytest.raises(LakeMissing, match=r"at version 1: its log reaches back to version 2 only$"):
        counts(lake, COUNT, 1)
    with pytest.raises(LakeMissing, match=r"as of 2026-03-01T12:11:00Z: its log reaches back to 2026-03-01T12:20:00Z"):
        counts(lake, COUNT, at("12:11:00"))


def test_a_commit_that_does_not_say_when_it_was_made_is_as_old_as_its_file(lake: Path) -> None:
    path = lake / "silver/quarantine/_delta_log" / f"{0:020}.json"
    lines = [line for line in path.read_text().splitlines() if "commitInfo" not in line]
    path.write_text("\n".join(lines) + "\n")
    os.utime(path, (at("12:12:00").timestamp(),) * 2)

    assert [each.written_at for each in sluice.open_lake(lake).history("silver.quarantine")] == [at("12:12:00")]


def test_the_history_tells_versions_with_their_times_newest_first(lake: Path) -> None:
    opened = sluice.open_lake(lake)

    assert [(each.version, each.written_at, each.operation) for each in opened.history("silver.readings", 2)] == [
        (3, at("12:30:00"), "WRITE"),
        (2, at("12:20:00"), "WRITE"),
    ]
    assert [each.version for each in opened.history("silver.readings", 0)] == [3, 2, 1, 0]


@pytest.mark.parametrize(
    ("arguments", "code", "shown"),
    [
        (["--sql", COUNT, "--as-of", "1"], 0, '[{"count_star()": 2}]\n'),
        (["--sql", COUNT, "--as-of", "2026-03-01T13:25:00+01:00"], 0, '[{"count_star()": 3}]\n'),
        (["--sql", COUNT, "--as-of", "yesterday"], 2, "--as-of: 'yesterday' is neither a version nor a time"),
        (["--sql", COUNT, "--as-of", "2026-03-01T12:25:00"], 2, "is neither a version nor a time"),
        (["--sql", COUNT, "--as-of", "7"], 3, "silver.readings cannot be read at version 7: its newest is 3"),
        (["--sql", "SELECT 1", "--as-of", "0"], 2, "version 0 is one table's, and the query reads 0: none"),
        (["quarantine_by_code", "--as-of", "2026-03-01T12:00:00Z"], 3, "its first version is of 2026-03-01T12:15:00Z"),
    ],
)
def test_the_command_takes_a_version_or_a_time(
    lake: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    shown: str,
) -> None:
    monkeypatch.setenv("SLUICE_LAKE__PATH", str(lake))

    assert run_command(["query", *arguments, "--json"]) == code

    printed = capsys.readouterr()
    assert shown in (printed.out if code == 0 else printed.err)
    assert "Traceback" not in printed.err


def test_what_is_counted_from_now_is_counted_from_the_moment_asked_for(
    lake: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    newest = {"device_id": "a", "metric": "humidity_percent", "event_time": at("12:00:00")}
    append(lake, "gold.latest_readings", [newest])
    monkeypatch.setenv("SLUICE_LAKE__PATH", str(lake))
    moment = sluice.open_lake(lake).history("gold.latest_readings")[0].written_at + timedelta(minutes=1)

    assert run_command(["query", "silent_devices", "--as-of", rfc3339(moment), "--json"]) == 0

    (row,) = json.loads(capsys.readouterr().out)
    assert row["minutes_silent"] == pytest.approx((moment - at("12:00:00")).total_seconds() / 60)


def test_a_lazy_answer_keeps_the_versions_it_was_asked_for(lake: Path) -> None:
    opened = sluice.open_lake(lake)
    old = opened.sql(COUNT, as_of=0)
    older = opened.ask("version_mix", as_of=1)
    new = opened.sql(COUNT)

    assert (old.fetchall(), new.fetchall(), older.project("events").fetchall()) == ([(1,)], [(4,)], [(2,)])

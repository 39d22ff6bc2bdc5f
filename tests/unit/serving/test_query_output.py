"""`sluice query --output`: the whole answer in a file, or no file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pyarrow import parquet

from sluice.cli import run_command

from .lake_builder import at, build_lake, reading

HOSTILE = 'a,"b"\n=1+1\x1b[31m'


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rows = [reading(offset, at("12:00:00.000001"), device_id=HOSTILE, failed_rules=["r"]) for offset in range(3)]
    path = build_lake(tmp_path / "lake", {"silver.readings": rows})
    monkeypatch.setenv("SLUICE_LAKE__PATH", str(path))
    return path


ASKED = 'SELECT device_id, event_time, "offset" AS n, "offset" AS n, failed_rules FROM silver.readings ORDER BY n'


def test_parquet_keeps_types_rows_and_repeated_names(
    lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "out.PARQUET"

    assert run_command(["query", "--sql", ASKED, "--output", str(file)]) == 0

    table = parquet.read_table(file)
    assert {field.name: str(field.type) for field in table.schema} == {
        "device_id": "string",
        "event_time": "timestamp[us, tz=UTC]",
        "n": "int64",
        "n_2": "int64",
        "failed_rules": "list<element: string>",
    }
    assert table.to_pylist() == [
        {"device_id": HOSTILE, "event_time": at("12:00:00.000001"), "n": n, "n_2": n, "failed_rules": ["r"]}
        for n in range(3)
    ]
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", f"3 rows in {file}\n")


@pytest.mark.parametrize("how", ["csv", "json"])
def test_csv_and_json_are_what_would_be_printed(
    lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    assert run_command(["query", "--sql", ASKED, "--format", how]) == 0
    printed = capsys.readouterr().out

    assert run_command(["query", "--sql", ASKED, "--output", str(tmp_path / f"out.{how}")]) == 0
    assert run_command(["query", "--sql", ASKED, "--output", str(tmp_path / "named.txt"), "--format", how]) == 0

    assert (tmp_path / f"out.{how}").read_text() == (tmp_path / "named.txt").read_text() == printed


def test_a_limit_and_a_table_without_rows_hold_for_files_too(lake: Path, tmp_path: Path) -> None:
    counts = []
    for number, (sql, limit) in enumerate(
        [("FROM range(50000)", "20001"), ("FROM range(5)", "0"), ("FROM silver.readings WHERE false", "3")]
    ):
        for ending in ("parquet", "json"):
            assert (
                run_command(["query", "--sql", sql, "--limit", limit, "--output", f"{tmp_path}/{number}.{ending}"]) == 0
            )
        rows = json.loads((tmp_path / f"{number}.json").read_text())
        counts.append((parquet.read_table(tmp_path / f"{number}.parquet").num_rows, len(rows)))

    assert counts == [(20001, 20001), (5, 5), (0, 0)]


def test_a_ready_made_query_of_no_rows_has_its_columns(lake: Path, tmp_path: Path) -> None:
    file = tmp_path / "out.parquet"
    assert run_command(["query", "device_last_hour", "--param", "device_id=nobody", "--output", str(file)]) == 0

    schema = parquet.read_table(file).schema
    assert schema.names[:2] == ["event_time", "event_id"]
    assert str(schema.field("event_time").type) == "timestamp[us, tz=UTC]"


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["--sql", "SELECT 1", "--format", "parquet"], 2, "sluice: Parquet is not for a terminal"),
        (["--sql", "SELECT 1", "--output", "{}/x.txt"], 2, "sluice: --output {}/x.txt: the name tells no format"),
        (["--sql", "SELECT 1", "--output", "{}/none/x.csv"], 2, "sluice: cannot write {}/none/x.csv: No such file"),
        (["--sql", "SELECT INTERVAL 1 DAY", "--output", "{}/x.parquet"], 2, "sluice: Parquet cannot hold this answer"),
        (
            ["--sql", "SELECT device_id::INT FROM silver.readings", "--output", "{}/x.csv"],
            2,
            "sluice: Conversion Error",
        ),
        (["--sql", "SELECT device_id::INT FROM silver.readings", "--output", "{}/x.parquet"], 2, "sluice: Conversion"),
        (["--sql", "FROM silver.held", "--output", "{}/x.parquet"], 3, "sluice: the lake has no table silver.held yet"),
    ],
)
def test_what_fails_leaves_no_file_and_the_old_one_as_it_was(
    lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, error: str
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    for name in ("x.csv", "x.parquet"):
        (folder / name).write_text("old")

    assert run_command(["query", *(each.replace("{}", str(folder)) for each in arguments)]) == code

    printed = capsys.readouterr()
    assert printed.err.startswith(error.replace("{}", str(folder)))
    assert "Traceback" not in printed.err
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"x.csv": "old", "x.parquet": "old"}


def test_times_that_python_cannot_tell_are_kept_in_parquet(lake: Path, tmp_path: Path) -> None:
    file = tmp_path / "out.parquet"
    assert (
        run_command(["query", "--sql", "SELECT make_timestamptz(9223372036854775806) AS t", "--output", str(file)]) == 0
    )

    assert parquet.read_table(file)["t"].cast("int64").to_pylist() == [9223372036854775806]

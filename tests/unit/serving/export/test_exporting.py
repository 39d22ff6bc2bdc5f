from __future__ import annotations

import csv
import io
import json
import math
import os
import shutil
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from tests.unit.serving.lake_builder import append, at, build_lake, minute, reading

from sluice.errors import ExportInvalid, LakeMissing, StoreLocked
from sluice.pipelines.export import export_once
from sluice.schemas import SILVER_READINGS
from sluice.serving.export.exporting import Exported
from sluice.serving.export.manifest import read_manifest
from sluice.serving.export.tables import find_table
from sluice.serving.export.verify import verify_export
from sluice.serving.export.wish import Wish, own_folder
from sluice.serving.lake import open_lake
from sluice.serving.publish.tables import DEVICES
from sluice.settings import load_settings

SILVER = "silver.readings"
MINUTES = "gold.readings_1min"
DAY = "day=2026-03-01"
NEXT = timedelta(days=1)
REGISTRY = """\
devices:
  - {device_id: sensor-0001, customer: acme, expected_interval_seconds: 5, metrics: {temperature_celsius: {}}}
"""


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Readings of acme, of Acme and of nobody on one day, and of acme on the next."""
    rows = [
        reading(1, at("12:00:00"), customer="acme"),
        reading(2, at("11:00:00"), customer="acme"),
        reading(3, at("12:00:00"), customer="Acme", device_id="b"),
        reading(4, at("12:00:00"), device_id="c"),
        reading(5, at("12:00:00") + NEXT, customer="acme"),
    ]
    return build_lake(tmp_path / "lake", {SILVER: rows})


def export(lake: Path, table: str = SILVER, **wish: Any) -> Exported:
    registry = lake.parent / "devices.yaml"
    registry.write_text(REGISTRY)
    options = {"lake.path": str(lake), "devices.path": str(registry)}
    settings = load_settings(options=options, environment={})
    wished = {"folder": lake.parent / "out", "format": "parquet", **wish}
    (done,) = export_once(settings, [Wish(find_table(table), **wished)])
    return done


def files(lake: Path, table: str = SILVER) -> dict[str, tuple[int, int]]:
    """Inode and time of change of each exported file, which a rewritten one would change."""
    folder = lake.parent / "out" / table
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in folder.rglob("part.*")
    }


def rows_in(path: Path) -> list[dict[str, Any]]:
    return pq.ParquetFile(path).read().to_pylist()


def test_each_day_and_customer_has_a_file_with_its_rows_in_order(lake: Path) -> None:
    done = export(lake)

    assert sorted(files(lake)) == [
        f"{DAY}/customer=%41cme/part.parquet",
        f"{DAY}/customer=__HIVE_DEFAULT_PARTITION__/part.parquet",
        f"{DAY}/customer=acme/part.parquet",
        "day=2026-03-02/customer=acme/part.parquet",
    ]
    assert (done.days, done.days_unchanged, done.written, done.removed, done.rows) == (2, 0, 4, 0, 5)
    in_lake = open_lake(lake).arrow(SILVER).to_pylist()
    expected = sorted((row for row in in_lake if row["offset"] in (1, 2)), key=lambda row: row["event_time"])
    assert rows_in(Path(done.folder) / DAY / "customer=acme" / "part.parquet") == expected


def test_readers_of_hive_layout_see_the_table(lake: Path) -> None:
    done = export(lake)
    text = f"FROM read_parquet('{done.folder}/*/*/*.parquet', hive_partitioning = true)"
    found = duckdb.sql(f"SELECT customer, count(*) {text} GROUP BY customer ORDER BY customer NULLS FIRST").fetchall()
    assert found == [(None, 1), ("Acme", 1), ("acme", 3)]


def test_the_manifest_says_what_is_there(lake: Path) -> None:
    done = export(lake)
    manifest = read_manifest(Path(done.folder))
    assert manifest is not None
    delta = open_lake(lake).delta(SILVER)
    assert (manifest.table, manifest.table_id, manifest.table_version) == (SILVER, delta.metadata().id, 0)
    assert manifest.as_of == datetime.fromtimestamp(delta.history(1)[0]["timestamp"] / 1000, timezone.utc).isoformat(
        timespec="milliseconds"
    ).replace("+00:00", "Z")
    assert [name for name, _ in manifest.schema] == list(SILVER_READINGS.column_names)
    part = manifest.files[f"{DAY}/customer=%41cme/part.parquet"]
    assert (part.day, part.customer, part.rows) == ("2026-03-01", "Acme", 1)
    assert manifest.written_by.startswith("sluice 0.1.0, pyarrow ")
    (found,) = verify_export(lake.parent / "out")
    assert (found.files, found.rows, found.differences) == (4, 5, ())


def test_the_same_version_is_the_same_bytes_and_nothing_is_rewritten(lake: Path) -> None:
    export(lake)
    before = files(lake)
    manifest = (lake.parent / "out" / SILVER / "manifest.json").stat()

    done = export(lake)
    assert (done.days_unchanged, done.written, files(lake)) == (2, 0, before)
    done = export(lake, again=True)
    assert (done.days_unchanged, done.written, files(lake)) == (0, 0, before)
    assert (lake.parent / "out" / SILVER / "manifest.json").stat().st_mtime_ns == manifest.st_mtime_ns

    elsewhere = export(lake, folder=lake.parent / "second")
    for path in before:
        assert (Path(elsewhere.folder) / path).read_bytes() == (lake.parent / "out" / SILVER / path).read_bytes()


def test_only_the_files_that_changed_are_replaced(lake: Path) -> None:
    export(lake)
    before = files(lake)
    append(lake, SILVER, [reading(6, at("13:00:00"), customer="acme")])
    DeltaTable(lake / "silver/readings").optimize.compact()

    done = export(lake)

    assert (done.days, done.days_unchanged, done.written, done.rows) == (2, 1, 1, 6)
    changed = [path for path, state in files(lake).items() if before[path] != state]
    assert changed == [f"{DAY}/customer=acme/part.parquet"]
    assert verify_export(lake.parent / "out")[0].differences == ()


def test_a_file_whose_rows_are_gone_goes(lake: Path) -> None:
    export(lake)
    DeltaTable(lake / "silver/readings").delete("customer = 'Acme' OR event_date = '2026-03-02'")

    done = export(lake)

    assert (done.written, done.removed) == (0, 2)
    assert sorted(files(lake)) == [
        f"{DAY}/customer=__HIVE_DEFAULT_PARTITION__/part.parquet",
        f"{DAY}/customer=acme/part.parquet",
    ]
    assert not (lake.parent / "out" / SILVER / "day=2026-03-02").exists()
    assert verify_export(lake.parent / "out")[0].differences == ()


def test_one_day_and_one_customer_leave_the_others_as_they_are(lake: Path) -> None:
    done = export(lake, first=date(2026, 3, 1), last=date(2026, 3, 1), customer="acme")
    assert (done.days, done.files, sorted(files(lake))) == (1, 1, [f"{DAY}/customer=acme/part.parquet"])
    assert export(lake, customer="acme").days_unchanged == 1
    assert export(lake).files == 4

    append(lake, SILVER, [reading(6, at("13:00:00"), customer="acme"), reading(7, at("13:00:00"), customer="Acme")])
    assert (export(lake, customer="acme").written, export(lake, customer="Acme").written) == (1, 1)
    done = export(lake)
    assert (done.days_unchanged, done.written, done.rows) == (1, 0, 7)


def test_a_customer_of_an_older_version_is_not_taken_for_exported(lake: Path) -> None:
    export(lake, customer="acme")
    append(lake, SILVER, [reading(6, at("13:00:00"), customer="acme"), reading(7, at("13:00:00"), customer="Acme")])
    export(lake, customer="Acme")
    assert export(lake, customer="acme").written == 1
    assert len(rows_in(lake.parent / "out" / SILVER / DAY / "customer=acme" / "part.parquet")) == 3


def test_what_a_killed_export_left_is_cleared_away(lake: Path) -> None:
    export(lake)
    folder = lake.parent / "out" / SILVER
    (folder / ".writing").mkdir()
    (folder / ".writing" / "0.parquet").write_bytes(b"half")
    stray = folder / DAY / "customer=gone" / "part.parquet"
    stray.parent.mkdir()
    stray.write_bytes(b"of a version that no manifest names")
    (folder / f"{DAY}/customer=acme/part.parquet").write_bytes(b"newer than the manifest")

    differences = verify_export(folder)[0].differences
    assert [line.split(": ")[0] for line in differences] == [
        f"{DAY}/customer=acme/part.parquet",
        f"{DAY}/customer=gone/part.parquet",
    ]
    done = export(lake)
    assert (done.written, done.removed, (folder / ".writing").exists()) == (1, 1, False)
    assert verify_export(folder)[0].differences == ()


def test_a_changed_byte_is_found_and_mended(lake: Path) -> None:
    export(lake)
    path = lake.parent / "out" / SILVER / DAY / "customer=acme" / "part.parquet"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)

    (found,) = verify_export(lake.parent / "out")
    name = f"{DAY}/customer=acme/part.parquet"
    assert found.differences == (f"{name}: other bytes than the manifest's checksum says",)
    assert export(lake, again=True).written == 1
    assert verify_export(lake.parent / "out")[0].differences == ()
    path.unlink()
    assert verify_export(lake.parent / "out")[0].differences == (f"{name}: missing",)
    assert export(lake).written == 1


HOSTILE = ["../x", "a/b", "nul\0here", "ACME", "acme", "=1+1", 'q"uo,te', "two\r\nlines", "ü" * 150, "", "NULL"]


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_hostile_names_stay_in_their_folder_and_arrive_as_they_are(tmp_path: Path, form: str) -> None:
    rows = [reading(place, at("12:00:00"), customer=name, device_id=name) for place, name in enumerate(HOSTILE)]
    lake = build_lake(tmp_path / "lake", {SILVER: rows})
    before = set(tmp_path.iterdir())

    done = export(lake, format=form)

    assert set(tmp_path.iterdir()) - before == {tmp_path / "out", tmp_path / "devices.yaml"}
    assert done.files == len(HOSTILE)
    manifest = read_manifest(Path(done.folder))
    assert manifest is not None
    for part in manifest.files.values():
        path = Path(done.folder) / part.path
        found = rows_in(path) if form == "parquet" else read_csv(path)
        assert [(row["customer"], row["device_id"]) for row in found] == [(part.customer, part.customer)]
    assert {part.customer for part in manifest.files.values()} == set(HOSTILE)


def read_csv(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8"), newline="")))


def test_csv_is_rfc_4180_with_nothing_lost(lake: Path) -> None:
    odd = {"temperature_celsius": math.nan, "humidity_percent": math.inf, "pressure_hpa": 0.1, "status": ""}
    append(lake, SILVER, [reading(9, at("12:00:00.5"), customer="odd", failed_rules=["a", "b,c"], **odd)])
    done = export(lake, format="csv", customer="odd")

    content = (Path(done.folder) / DAY / "customer=odd" / "part.csv").read_bytes()
    header, line, end = content.split(b"\r\n")
    assert header.decode().split(",") == list(SILVER_READINGS.column_names)
    assert end == b""
    assert line.decode() == (
        'e9,sensor-0001,2026-03-01T12:00:00.500000Z,2,NaN,Infinity,0.1,,,,"",,,,odd,,valid,'
        '"[""a"", ""b,c""]",iot.raw,1,0,9,,,,,2026-03-01'
    )


def test_formulas_are_escaped_on_request_and_the_manifest_says_so(tmp_path: Path) -> None:
    rows = [reading(1, at("12:00:00"), customer="x", device_id="=cmd()", status="-1", temperature_celsius=-1.0)]
    lake = build_lake(tmp_path / "lake", {SILVER: rows})
    path = lake.parent / "out" / SILVER / DAY / "customer=x" / "part.csv"

    export(lake, format="csv")
    assert (read_csv(path)[0]["device_id"], read_csv(path)[0]["status"]) == ("=cmd()", "-1")
    assert export(lake, format="csv", escape_formulas=True).written == 1
    (row,) = read_csv(path)
    assert (row["device_id"], row["status"], row["temperature_celsius"]) == ("'=cmd()", "'-1", "-1.0")
    assert json.loads((path.parents[2] / "manifest.json").read_text())["escape_formulas"] is True


def test_minutes_belong_to_whom_the_registry_names(tmp_path: Path) -> None:
    rows = [minute(at("12:00:00")), minute(at("12:00:00"), device_id="other")]
    lake = build_lake(tmp_path / "lake", {MINUTES: rows})
    done = export(lake, MINUTES)
    found = {path: rows_in(Path(done.folder) / path) for path in files(lake, MINUTES)}
    assert {path: [(row["device_id"], row["customer"]) for row in rows] for path, rows in found.items()} == {
        f"{DAY}/customer=acme/part.parquet": [("sensor-0001", "acme")],
        f"{DAY}/customer=__HIVE_DEFAULT_PARTITION__/part.parquet": [("other", None)],
    }


def test_minutes_belong_to_whom_the_device_belonged_at_the_time(tmp_path: Path) -> None:
    buckets = [at("10:00:00"), at("12:00:00"), at("14:00:00"), at("16:00:00")]
    lake = build_lake(tmp_path / "lake", {MINUTES: [minute(bucket) for bucket in buckets]})
    device = {"device_id": "sensor-0001", "metric": "temperature_celsius"}
    other = {**device, "metric": "humidity_percent"}
    periods = [("acme", "11:00:00", "13:00:00"), ("globex", "13:00:00", "15:00:00")]
    rows = [
        {**each, "customer": customer, "valid_from": at(start), "valid_to": at(end)}
        for customer, start, end in periods
        for each in (device, other)
    ]
    write_deltalake(str(lake / "gold/devices"), pa.Table.from_pylist(rows, DEVICES.arrow_schema))

    done = export(lake, MINUTES)

    found = {path.split("/")[1]: rows_in(Path(done.folder) / path) for path in files(lake, MINUTES)}
    assert {folder: [row["bucket"] for row in rows] for folder, rows in found.items()} == {
        # Before it was first registered it was as it was then; after it was taken off it is nobody's.
        "customer=acme": buckets[:2],
        "customer=globex": buckets[2:3],
        "customer=__HIVE_DEFAULT_PARTITION__": buckets[3:],
    }


def test_another_lake_and_another_format_are_refused(lake: Path, tmp_path: Path) -> None:
    export(lake)
    with pytest.raises(ExportInvalid, match="holds files of the format parquet"):
        export(lake, format="csv")
    shutil.rmtree(lake)
    build_lake(lake, {SILVER: [reading(1, at("12:00:00"))]})
    with pytest.raises(ExportInvalid, match="another lake"):
        export(lake)


def test_two_exports_to_one_folder_are_refused(lake: Path) -> None:
    with own_folder(lake.parent / "out"), pytest.raises(StoreLocked, match="another process exports to"):
        export(lake)


def test_a_manifest_that_points_elsewhere_is_refused(lake: Path) -> None:
    folder = Path(export(lake).folder)
    text = (folder / "manifest.json").read_text()
    for odd in ("../../secret/part.parquet", "/etc/passwd", f"{DAY}/customer=../part.parquet", "x"):
        content = json.loads(text)
        content["files"][0]["path"] = odd
        (folder / "manifest.json").write_text(json.dumps(content))
        with pytest.raises(ExportInvalid, match=r"names .* which is no file of an export"):
            verify_export(folder)
    for broken in ("{", "[]", '{"manifest": 2}', '{"manifest": 1}', '{"manifest": 1, "files": 5}'):
        (folder / "manifest.json").write_text(broken)
        with pytest.raises(ExportInvalid):
            verify_export(folder)


def test_what_cannot_be_exported_is_named(lake: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportInvalid, match="not a table that is exported by day"):
        find_table("bronze.events")
    with pytest.raises(LakeMissing, match=r"has no table gold\.readings_1min yet"):
        export(lake, MINUTES)
    with pytest.raises(ExportInvalid, match=r"holds no manifest\.json"):
        verify_export(tmp_path / "nothing")
    newest = max((lake / "silver/readings").rglob("*.parquet"), key=os.path.getmtime)
    newest.unlink()
    with pytest.raises(LakeMissing, match=r"a file of silver\.readings went away"):
        export(lake)

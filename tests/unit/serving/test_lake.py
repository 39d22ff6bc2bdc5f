"""The lake without a JVM: what exists, what is read, and what a person is told when it is not there."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from pyarrow import parquet

import sluice
from sluice.errors import DependencyError, LakeMissing, LakeTooNew
from sluice.schemas import LAKE_FORMAT, SILVER_READINGS, TABLES
from sluice.serving.empty_tables import empty_view
from sluice.tables.reading import connect
from sluice.tables.rows import arrow_schema

from .lake_builder import append, at, bronze, build_lake, minute, reading


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return build_lake(
        tmp_path / "lake",
        {
            "gold.readings_1min": [minute(at("12:00:00"))],
            "silver.readings": [reading(1, at("12:00:00"), device_id="a"), reading(2, at("12:00:05"), device_id="b")],
            "bronze.events": [bronze(1, b"\x00")],
        },
    )


def test_tables_are_those_that_exist_in_the_order_of_the_journey(lake: Path) -> None:
    append_unknown_table(lake / "gold" / "devices")

    assert sluice.open_lake(lake).tables() == ["bronze.events", "silver.readings", "gold.readings_1min", "gold.devices"]


def test_folders_that_are_no_tables_are_left_out(lake: Path) -> None:
    (lake / "silver" / "half_made").mkdir()
    (lake / "_checkpoints" / "silver" / "_delta_log").mkdir(parents=True)
    append_unknown_table(lake / "gold" / "odd name; drop")

    assert sluice.open_lake(lake).tables() == ["bronze.events", "silver.readings", "gold.readings_1min"]


def test_a_table_reads_the_same_as_arrow_pandas_polars_relation_and_sql(lake: Path) -> None:
    opened = sluice.open_lake(lake)
    expected = [("a", at("12:00:00")), ("b", at("12:00:05"))]
    columns = ["device_id", "event_time"]

    arrow = opened.arrow("silver.readings", columns=columns).sort_by("device_id")
    assert list(zip(*arrow.to_pydict().values(), strict=True)) == expected
    pandas = opened.pandas("silver.readings", columns=columns).sort_values("device_id")
    assert list(pandas.itertuples(index=False, name=None)) == expected
    assert opened.polars("silver.readings", columns=columns).sort("device_id").rows() == expected
    assert opened.relation("silver.readings").select("device_id, event_time").order("device_id").fetchall() == expected
    assert opened.sql("SELECT device_id, event_time FROM silver.readings ORDER BY 1").fetchall() == expected


def test_all_columns_and_types_of_the_contract_come_through(lake: Path) -> None:
    opened = sluice.open_lake(lake)

    schema = opened.arrow("silver.readings").schema
    assert [(field.name, field.type) for field in schema] == [
        (field.name, field.type) for field in arrow_schema(SILVER_READINGS)
    ]


def test_sql_joins_tables_of_different_layers_and_binds_parameters(lake: Path) -> None:
    opened = sluice.open_lake(lake)
    text = (
        "SELECT r.device_id, b.value FROM silver.readings AS r JOIN bronze.events AS b "
        'USING (topic, topic_generation, "partition", "offset") WHERE r.device_id = {}'
    )

    assert opened.sql(text.format("$device"), {"device": "a"}).fetchall() == [("a", b"\x00")]
    assert opened.sql(text.format("?"), ["b' OR true --"]).fetchall() == []


def test_times_in_sql_are_utc_whatever_the_machine_says(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")

    answer = sluice.open_lake(lake).sql(
        "SELECT hour(event_time), event_time::VARCHAR FROM silver.readings WHERE device_id = 'a'"
    )

    assert answer.fetchall() == [(12, "2026-03-01 12:00:00+00")]


def test_an_open_lake_sees_what_is_written_later(lake: Path) -> None:
    opened = sluice.open_lake(lake)
    count = "SELECT count(*) FROM silver.readings"
    assert opened.sql(count).fetchall() == [(2,)]

    append(lake, "silver.readings", [reading(3, at("12:00:10"))])

    assert opened.sql(count).fetchall() == [(3,)]


def test_an_older_version_is_read_by_number_or_by_time(lake: Path) -> None:
    opened = sluice.open_lake(lake)
    written = opened.delta("silver.readings").history(1)[0]["timestamp"]
    append(lake, "silver.readings", [reading(3, at("12:00:10"))])

    before = datetime.fromtimestamp(written / 1000, tz=timezone.utc)
    rows = [
        opened.arrow("silver.readings", version=version).num_rows
        for version in (0, 1, None, before, before + timedelta(days=1))
    ]

    assert rows == [2, 3, 3, 2, 3]


@pytest.mark.parametrize("version", [7, -1])
def test_a_version_that_never_was_is_named(lake: Path, version: int) -> None:
    with pytest.raises(LakeMissing, match=rf"^silver\.readings cannot be read at version {version}: "):
        sluice.open_lake(lake).arrow("silver.readings", version=version)


def test_filters_and_columns_reach_the_files(lake: Path) -> None:
    plan = sluice.open_lake(lake).sql(
        "EXPLAIN SELECT avg(temperature_celsius) FROM silver.readings "
        "WHERE device_id = 'a' AND event_time >= '2026-03-01T00:00:00Z'"
    )

    scan = plan.fetchall()[0][1].split("PYTHON_ARROW_SCAN")[1]
    shown = " ".join(scan.replace("│", " ").split())
    assert shown.startswith(
        "Filters: \"device_id\" = 'a', \"event_time\" >= TIMESTAMPTZ '2026-03-01 00:00:00+00' "
        "Projections: temperature_celsius"
    )


def test_files_outside_a_date_are_not_opened(lake: Path) -> None:
    append(lake, "silver.readings", [reading(9, at("12:00:00") + timedelta(days=1), device_id="later")])
    (gone,) = (lake / "silver" / "readings" / "event_date=2026-03-01").glob("*.parquet")
    gone.unlink()

    answer = sluice.open_lake(lake).sql("SELECT device_id FROM silver.readings WHERE event_date = '2026-03-02'")

    assert answer.fetchall() == [("later",)]


def test_times_that_spark_wrote_as_int96_are_exact_and_can_be_filtered(tmp_path: Path) -> None:
    moments = [at("12:00:00.000001"), at("12:00:00.000001").replace(year=2500)]
    path = build_lake(tmp_path, {"silver.held": [{"offset": 1, "kafka_timestamp": moment} for moment in moments]})
    (file,) = (path / "silver" / "held").glob("*.parquet")
    parquet.write_table(parquet.read_table(file), file, use_deprecated_int96_timestamps=True)

    opened = sluice.open_lake(path)

    assert opened.arrow("silver.held", columns=["kafka_timestamp"])["kafka_timestamp"].to_pylist() == moments
    later = opened.sql("SELECT kafka_timestamp FROM silver.held WHERE kafka_timestamp > '2026-03-01T12:00:00.000001Z'")
    assert later.fetchall() == [(moments[1],)]


def test_python_variables_are_no_tables(lake: Path) -> None:
    secret = pa.table({"a": [1]})

    assert secret.num_rows == 1
    with pytest.raises(Exception, match="Table with name secret does not exist"):
        sluice.open_lake(lake).sql("SELECT * FROM secret")


def test_without_a_path_the_settings_decide(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_LAKE__PATH", str(lake))

    assert sluice.open_lake().path == lake


def test_no_lake_is_a_missing_dependency_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(LakeMissing) as caught:
        sluice.open_lake(tmp_path / "none")

    assert caught.value.exit_code == 3
    assert caught.value.message == f"there is no lake at {tmp_path / 'none'}"
    assert caught.value.hint == (
        "start the jobs with `sluice run`, or point lake.path (SLUICE_LAKE__PATH) at another lake"
    )


def test_a_lake_without_tables_says_so(tmp_path: Path) -> None:
    with pytest.raises(LakeMissing, match="has no tables yet"):
        sluice.open_lake(build_lake(tmp_path, {}))


def test_a_missing_table_names_the_job_that_creates_it(lake: Path) -> None:
    with pytest.raises(LakeMissing) as caught:
        sluice.open_lake(lake).arrow("silver.held")

    assert caught.value.message == f"the lake at {lake} has no table silver.held"
    assert caught.value.hint == "the silver job creates it: `sluice run --once`"


@pytest.mark.parametrize("name", ["silver.nothing", "readings", "../secret", "", "silver/readings"])
def test_a_name_that_is_no_table_lists_those_there_are(lake: Path, name: str) -> None:
    with pytest.raises(LakeMissing) as caught:
        sluice.open_lake(lake).relation(name)

    assert caught.value.hint == "there are: bronze.events, silver.readings, gold.readings_1min"


def test_a_lake_of_a_newer_version_is_refused(lake: Path) -> None:
    (lake / "_sluice.json").write_text(json.dumps({"lake_format": LAKE_FORMAT + 1}))

    with pytest.raises(LakeTooNew):
        sluice.open_lake(lake)


def test_polars_is_asked_for_by_name_when_it_is_not_installed(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "polars", None)

    with pytest.raises(DependencyError, match="polars is not installed"):
        sluice.open_lake(lake).polars("silver.readings")


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.full_name)
def test_an_empty_view_has_the_columns_of_the_table_that_is_not_there_yet(tmp_path: Path, table: object) -> None:
    name = table.full_name  # type: ignore[attr-defined]
    written = sluice.open_lake(build_lake(tmp_path, {name: []})).sql(f"SELECT * FROM {name}")
    connection = connect()
    connection.execute(empty_view(name))
    empty = connection.sql(f"SELECT * FROM {name}")

    assert (empty.columns, empty.types, empty.fetchall()) == (written.columns, written.types, [])


def append_unknown_table(path: Path) -> None:
    from deltalake import write_deltalake

    write_deltalake(str(path), pa.table({"device_id": ["a"]}))


@pytest.mark.parametrize("extreme", [2**63 - 1, -(2**63)])
def test_rows_beside_a_time_that_the_log_cannot_tell_are_found(tmp_path: Path, extreme: int) -> None:
    build_lake(tmp_path, {"silver.readings": [reading(0, at("12:00:00"))]})
    folder = str(tmp_path / "silver/readings")
    rows = [dict(reading(offset, at("12:00:00"))) for offset in (1, 2)]
    frame = pa.Table.from_pylist(rows, arrow_schema(SILVER_READINGS))
    place = frame.schema.get_field_index("kafka_timestamp")
    noon = int(at("12:00:00").timestamp() * 1e6)
    times = pa.array([extreme, noon], pa.int64()).cast(frame.schema.field(place).type)
    write_deltalake(folder, frame.set_column(place, "kafka_timestamp", times), mode="append")
    lake = sluice.open_lake(tmp_path)
    day = "event_date = DATE '2026-03-01' AND"
    for condition in ("kafka_timestamp >= TIMESTAMPTZ '2026-03-01'", "kafka_timestamp < TIMESTAMPTZ '2026-03-02'"):
        found = lake.sql(f'SELECT "offset" FROM silver.readings WHERE {day} {condition}').fetchall()
        assert (2,) in found
    assert lake.sql("SELECT count(*) FROM silver.readings WHERE event_date > DATE '2026-03-01'").fetchall() == [(0,)]

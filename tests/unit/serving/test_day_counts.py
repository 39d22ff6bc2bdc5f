from __future__ import annotations

from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from tests.unit.serving.lake_builder import Row, append

from sluice.schemas import GOLD_QUALITY_SCORES, SILVER_DUPLICATES, SILVER_QUARANTINE, SILVER_READINGS
from sluice.serving.day_counts import DAY_COLUMNS, DayCount, DayCounts, Days, days_with_scores, scores_of
from sluice.serving.lake import OpenLake
from sluice.tables.lake import Lake
from sluice.tables.rows import arrow_schema, create_table, replace_days
from sluice.testing import day, utc

NOON, NEXT_NOON = utc(2024, 1, 1, 12), utc(2024, 1, 2, 12)
FIRST, SECOND = day(2024, 1, 1), day(2024, 1, 2)
EPOCH = date(1970, 1, 1)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = Lake(tmp_path / "lake")
    for table in (*DAY_COLUMNS, GOLD_QUALITY_SCORES):
        create_table(made, table)
    return made


def reading(**odd: object) -> Row:
    row = {"event_time": NOON, "event_date": FIRST, "kafka_timestamp": NOON, "device_id": "sensor-0001"}
    return {**row, "quality_flag": "valid", "failed_rules": [], **odd}


def refused(**odd: object) -> Row:
    return {"kafka_timestamp": NEXT_NOON, "status": "open", "stage": "parse", **odd}


def counted(lake: Lake, days: Days | None = None, rules: tuple[str, ...] = ("status",)) -> DayCounts:
    opened = OpenLake(lake)
    versions = {table.full_name: opened.delta(table.full_name).version() for table in DAY_COLUMNS}
    return DayCounts(opened, versions, days or Days(), rules, 300.0)


def rows_of(counts: DayCounts) -> set[DayCount]:
    return {row for portion in counts.portions() for row in counts.of(portion)}


def test_each_row_counts_for_its_day_and_device(lake: Lake) -> None:
    readings = [
        reading(quality_flag="out_of_range"),
        # Late by one microsecond, and not at all.
        reading(kafka_timestamp=utc(2024, 1, 1, 12, 5, 0, 1)),
        reading(kafka_timestamp=utc(2024, 1, 1, 12, 5)),
        reading(event_time=NEXT_NOON, event_date=SECOND, kafka_timestamp=NEXT_NOON, failed_rules=["odd", "status"]),
        reading(device_id="other", failed_rules=["odd"]),
    ]
    quarantine = [
        refused(),
        refused(device_id="other"),
        refused(status="discarded", stage="rules", device_id="sensor-0001", failed_rules=["status"]),
        refused(status="replayed", device_id="gone"),
    ]
    append(lake.path, "silver.readings", readings)
    append(lake.path, "silver.quarantine", quarantine)
    append(lake.path, "silver.duplicates", [{"event_time": NOON, "device_id": each} for each in ("sensor-0001", "s")])
    counts = counted(lake)
    assert rows_of(counts) == {
        DayCount(FIRST, "sensor-0001", readings=3, out_of_range=1, duplicates=1, judged=3, late=1),
        DayCount(FIRST, "other", readings=1, judged=1),
        DayCount(FIRST, "s", duplicates=1),
        DayCount(SECOND, "sensor-0001", readings=1, quarantined=1, judged=2, inconsistent=2),
        DayCount(SECOND, "other", quarantined=1),
        DayCount(SECOND, "(unreadable)", quarantined=1),
    }
    assert counts.newest_kafka_micros() == NEXT_NOON.timestamp() * 1e6
    assert {each.inconsistent for each in rows_of(counted(lake, rules=()))} == {0}


def test_only_the_wanted_days_are_counted(lake: Lake) -> None:
    third, old = day(2024, 1, 3), day(2023, 1, 1)
    for number, each in enumerate((old, FIRST, SECOND, third)):
        moment = utc(each.year, each.month, each.day, 23, 59, 59, 999_999)
        append(lake.path, "silver.readings", [reading(event_time=moment, event_date=each)] * (number + 1))
        append(lake.path, "silver.quarantine", [refused(kafka_timestamp=moment)])
        append(lake.path, "silver.duplicates", [{"event_time": moment, "device_id": "sensor-0001"}])

    def of(some: list[date] | None, since: date | None = None) -> dict[tuple[date, str], int]:
        return {(each.day, each.device_id): each.readings for each in rows_of(counted(lake, Days(some, since)))}

    whole = of(None)
    assert whole == {
        (each, device): number + 1 if device == "sensor-0001" else 0
        for number, each in enumerate((old, FIRST, SECOND, third))
        for device in ("sensor-0001", "(unreadable)")
    }
    for some, since, days in (
        ([FIRST], None, {FIRST}),
        ([old, third], None, {old, third}),
        ([old, third], FIRST, {third}),
        (None, SECOND, {SECOND, third}),
        ([], None, set()),
        ([old], FIRST, set()),
    ):
        assert of(some, since) == {key: count for key, count in whole.items() if key[0] in days}


@pytest.mark.parametrize("some", [None, [], [FIRST], [EPOCH], [EPOCH, FIRST], [date.max], [FIRST, date.max], [SECOND]])
def test_any_time_has_a_day_of_four_digits(lake: Lake, some: list[date] | None) -> None:
    days = {
        0: EPOCH,
        -1: EPOCH,
        -(2**63): EPOCH,
        2**63 - 1: date.max,
        1_704_110_400_000_000: FIRST,
        None: EPOCH,
    }
    for table, name in ((SILVER_DUPLICATES, "event_time"), (SILVER_QUARANTINE, "kafka_timestamp")):
        schema = arrow_schema(table)
        times = pa.array(list(days), pa.int64()).cast(schema.field(name).type)
        columns = [times if field.name == name else pa.nulls(len(days), field.type) for field in schema]
        frame = pa.Table.from_arrays(columns, schema=schema)
        if "status" in schema.names:
            status = pa.array(["open"] * len(days))
            frame = frame.set_column(schema.get_field_index("status"), schema.field("status"), status)
        write_deltalake(lake.table_path(table), frame, mode="append")
    # Of any moment in a reading it can be said whether it came late.
    far = arrow_schema(SILVER_READINGS).field("kafka_timestamp").type
    extremes = pa.array([-(2**63), 2**63 - 1], pa.int64()).cast(far)
    readings = pa.Table.from_pylist([reading(event_date=SECOND)] * 2, arrow_schema(SILVER_READINGS))
    place = readings.schema.get_field_index("kafka_timestamp")
    write_deltalake(
        lake.table_path(SILVER_READINGS), readings.set_column(place, "kafka_timestamp", extremes), mode="append"
    )
    counts = counted(lake, Days(some))
    found = {each.day: each for each in rows_of(counts) if each.device_id == "(unreadable)"}
    wanted = {each for each in days.values() if some is None or each in some}
    assert {key: (each.duplicates, each.quarantined) for key, each in found.items()} == {
        each: (list(days.values()).count(each),) * 2 for each in wanted
    }
    late = [each.late for each in rows_of(counts) if each.day == SECOND]
    assert late == ([1] if some is None or SECOND in some else [])


def test_days_come_in_portions_and_whole(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sluice.serving.day_counts._PORTION", 3)
    for number, devices in ((1, "ab"), (2, "a"), (3, "a"), (4, "abcde"), (6, "a")):
        each = day(2024, 1, number)
        append(
            lake.path,
            "silver.readings",
            [reading(event_time=utc(2024, 1, number), event_date=each, device_id=device) for device in devices],
        )
    portions = counted(lake).portions([day(2024, 1, 5), day(2024, 1, 1)])
    assert [[each.day for each in portion] for portion in portions] == [[1, 2], [3], [4], [5, 6]]


def test_known_scores_are_found_by_day(lake: Lake) -> None:
    rows = [{"day": each, "device_id": "a", "score": 1.0} for each in (FIRST, SECOND)]
    replace_days(rows, lake, GOLD_QUALITY_SCORES, [FIRST, SECOND])
    opened = OpenLake(lake)
    assert scores_of(opened, [SECOND])[SECOND, "a"]["score"] == 1.0
    assert set(scores_of(opened, [SECOND])) == {(SECOND, "a")}
    assert days_with_scores(opened, Days()) == {FIRST, SECOND}
    assert days_with_scores(opened, Days(None, SECOND)) == {SECOND}
    assert days_with_scores(opened, Days([FIRST], SECOND)) == set()

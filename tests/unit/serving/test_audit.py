"""The audit of a balanced lake, and of lakes broken in one way each: it fails, and names where."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from deltalake import DeltaTable

from sluice.errors import BooksUnreadable
from sluice.serving.audit.findings import SKIPPED, UNREADABLE
from sluice.tables.decisions import Decision, Decisions
from sluice.tables.lake import Lake
from sluice.tables.requests import Request, leave_request

from .audit_lake import (
    METER,
    audited,
    balanced_lake,
    change,
    decided,
    delete,
    event,
    gold_promotion,
    problems,
    replayed,
    silver_promotion,
)
from .lake_builder import append, at, bronze, build_lake, copy_of, held, reading, refused

NOWHERE = "records that are in no place"
TWICE = "records that are in two places"
FOREIGN = "records that are in a place but not in bronze"
COUNTS = "counts of the ledger that the tables do not have"
SUMS = "ledger rows whose counts do not add up"
CHAIN = "gaps and overlaps in what the ledger says was read"
BATCHES = "micro-batches whose rows_in is not the number of bronze records they read"
UNKNOWN = "promotions that the ledger does not have"
KEYS = "event keys that stand in silver.readings more than once"
DIFFERENT, MISSING_MINUTE = "minutes that differ from a recompute", "minutes of silver that gold does not have"
FOREIGN_MINUTE, REPEATED_MINUTE = (
    "minutes of gold without a reading in silver",
    "minutes that stand in gold more than once",
)
LATEST, NO_LATEST = "latest readings that differ from silver", "latest readings that gold does not have"


def surplus(table: str) -> str:
    return f"rows too many in {table}: their record stands there already"


@pytest.fixture(scope="module")
def balanced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return balanced_lake(tmp_path_factory.mktemp("balanced") / "lake")


@pytest.fixture
def lake(balanced: Path, tmp_path: Path) -> Path:
    """A balanced lake of the test's own."""
    return Path(shutil.copytree(balanced, tmp_path / "lake"))


def test_the_books_balance_with_a_hold_of_each_fate_and_a_pending_record(balanced: Path) -> None:
    found = audited(balanced)

    assert (found.balances, found.exit_code, found.records, found.pending) == (True, 0, 16, 1)
    places = next(check for check in found.checks if check.name == "silver.places")
    expected = {"read": 15, "readings": 7, "quarantine": 3, "duplicates": 1, "held": 4, "pending": 1, "in_flight": 0}
    assert places.outcome.counts == expected
    assert found.versions["silver.readings"] == 2


Break = Callable[[Path], object]

BREAKS: dict[str, tuple[Break, dict[str, dict[str, list[str]]]]] = {
    "a reading is deleted": (
        lambda lake: delete(lake, "silver.readings", '"offset" = 1 AND partition = 0'),
        {
            "silver.places": {NOWHERE: ["iot.raw:1:0:1"]},
            "silver.ledger": {COUNTS: ["silver-g-0"]},
            "gold.minutes": {FOREIGN_MINUTE: ["2026-03-01T12:00:00Z sensor-0001 humidity_percent"]},
        },
    ),
    "a quarantined row is deleted": (
        lambda lake: delete(lake, "silver.quarantine", '"offset" = 4'),
        {"silver.places": {NOWHERE: ["iot.raw:1:0:4"]}, "silver.ledger": {COUNTS: ["silver-g-0"]}},
    ),
    "a record stands in bronze twice": (
        lambda lake: append(lake, "bronze.events", [bronze(4)]),
        {
            "bronze.once": {surplus("bronze.events"): ["iot.raw:1:0:4"]},
            "silver.ledger": {BATCHES: ["silver-g-0"]},
        },
    ),
    "a pending record stands in bronze twice": (
        lambda lake: append(lake, "bronze.events", [bronze(3, partition=1), bronze(3, partition=1)]),
        {"bronze.once": {surplus("bronze.events"): ["iot.raw:1:1:3"]}},
    ),
    "a record is deleted from bronze": (
        lambda lake: delete(lake, "bronze.events", '"offset" = 9'),
        {"silver.places": {FOREIGN: ["iot.raw:1:0:9"]}, "silver.ledger": {BATCHES: ["silver-g-2"]}},
    ),
    "a record is deleted from bronze and from its place": (
        lambda lake: (
            delete(lake, "bronze.events", '"offset" = 4'),
            delete(lake, "silver.quarantine", '"offset" = 4'),
        ),
        {"silver.ledger": {BATCHES: ["silver-g-0"], COUNTS: ["silver-g-0"]}},
    ),
    "a row is in two places": (
        lambda lake: append(lake, "silver.duplicates", [copy_of(4, at("12:00:00"), promotion_id="silver-g-0")]),
        {"silver.places": {TWICE: ["iot.raw:1:0:4"]}, "silver.ledger": {COUNTS: ["silver-g-0"]}},
    ),
    "a record was quarantined twice": (
        lambda lake: append(lake, "silver.quarantine", [refused(4, "NOT_JSON", promotion_id="silver-g-0")]),
        {
            "silver.places": {surplus("silver.quarantine"): ["iot.raw:1:0:4"]},
            "silver.ledger": {COUNTS: ["silver-g-0"]},
        },
    ),
    "an approved record is in no other place": (
        lambda lake: delete(lake, "silver.quarantine", '"offset" = 7'),
        {
            "silver.places": {"records approved or replayed that are in no other place": ["iot.raw:1:0:7"]},
            "silver.ledger": {COUNTS: ["silver-g-1-approve"]},
        },
    ),
    "an approved record is still open": (
        lambda lake: change(lake, "silver.held", '"offset" = 6', status="'open'"),
        {"silver.places": {TWICE: ["iot.raw:1:0:6"]}, "silver.ledger": {COUNTS: ["silver-g-1-approve"]}},
    ),
    "a rejected record is marked approved": (
        lambda lake: change(lake, "silver.held", '"offset" = 8', status="'approved'"),
        {
            "silver.places": {"records approved or replayed that are in no other place": ["iot.raw:1:0:8"]},
            "silver.ledger": {COUNTS: ["silver-g-2-reject"]},
        },
    ),
    "an open hold is marked approved and was never promoted": (
        lambda lake: change(lake, "silver.held", '"offset" = 10', status="'approved'"),
        {"silver.places": {"records approved or replayed that are in no other place": ["iot.raw:1:0:10"]}},
    ),
    "a replayed record is in no other place": (
        lambda lake: change(lake, "silver.quarantine", '"offset" = 4', status="'replayed'"),
        {"silver.places": {"records approved or replayed that are in no other place": ["iot.raw:1:0:4"]}},
    ),
    "a count of the ledger is changed": (
        lambda lake: change(lake, "ops.silver_promotions", "promotion_id = 'silver-g-4'", rows_promoted="3"),
        {"silver.ledger": {SUMS: ["silver-g-4"], COUNTS: ["silver-g-4"]}},
    ),
    "the rows_in of the ledger are changed": (
        lambda lake: change(lake, "ops.silver_promotions", "promotion_id = 'silver-g-4'", rows_in="4", rows_held="1"),
        {"silver.ledger": {COUNTS: ["silver-g-4"], BATCHES: ["silver-g-4"]}},
    ),
    "a row of the ledger is deleted": (
        lambda lake: delete(lake, "ops.silver_promotions", "promotion_id = 'silver-g-0'"),
        {"silver.ledger": {CHAIN: ["silver-g-1"], UNKNOWN: ["silver-g-0"], BATCHES: ["silver-g-1"]}},
    ),
    "two rows of the ledger are deleted": (
        lambda lake: delete(lake, "ops.silver_promotions", "batch_id >= 3"),
        {"silver.ledger": {UNKNOWN: ["silver-g-3", "silver-g-4"]}},
    ),
    "a promotion stands in the ledger twice": (
        lambda lake: append(lake, "ops.silver_promotions", [silver_promotion(2, {"0": 9}, "HOLD", held=2)]),
        {
            "silver.ledger": {
                "promotions that stand in the ledger more than once": ["silver-g-2"],
                COUNTS: ["silver-g-2"],
                "records more or fewer than the ledger says were read": ["ops.silver_promotions"],
            }
        },
    ),
    "two micro-batches read one version": (
        lambda lake: change(lake, "ops.silver_promotions", "promotion_id = 'silver-g-2'", from_version="1"),
        {"silver.ledger": {CHAIN: ["silver-g-2"]}},
    ),
    "a version between two micro-batches was not read": (
        lambda lake: change(lake, "ops.gold_promotions", "batch_id = 1", from_version="3", to_version="3"),
        {"gold.ledger": {CHAIN: ["gold-g-1"]}},
    ),
    "an event key stands there twice": (
        lambda lake: (
            append(lake, "silver.readings", [reading(9, at("12:00:00"), event_id="e0", promotion_id="silver-g-3")]),
            delete(lake, "silver.held", '"offset" = 9'),
        ),
        {
            "silver.keys": {KEYS: ["sensor-0001@2026-03-01T12:00:00Z e0"]},
            "silver.ledger": {COUNTS: ["silver-g-2", "silver-g-2-reject", "silver-g-3"]},
        },
    ),
    "a mean of gold is changed": (
        lambda lake: change(lake, "gold.readings_1min", f"metric = '{METER['metric']}'", value_mean="4005.00001"),
        {"gold.minutes": {DIFFERENT: ["2026-03-01T12:02:00Z meter-0001 power_watt"]}},
    ),
    "a minute of gold is deleted": (
        lambda lake: delete(lake, "gold.readings_1min", "metric = 'power_watt'"),
        {"gold.minutes": {MISSING_MINUTE: ["2026-03-01T12:02:00Z meter-0001 power_watt"]}},
    ),
    "a minute of gold stands there twice": (
        lambda lake: (
            delete(lake, "gold.readings_1min", "metric = 'power_watt'"),
            append(lake, "gold.readings_1min", [POWER, POWER]),
        ),
        {"gold.minutes": {REPEATED_MINUTE: ["2026-03-01T12:02:00Z meter-0001 power_watt"]}},
    ),
    "a refused minute was superseded, but gold does not have it": (
        lambda lake: change(lake, "gold.held", "status = 'open'", status="'superseded'"),
        {"gold.minutes": {MISSING_MINUTE: ["2026-03-01T12:00:00Z sensor-0001 temperature_celsius"]}},
    ),
    "a held minute is lost": (
        lambda lake: delete(lake, "gold.held", "status = 'superseded'"),
        {"gold.ledger": {COUNTS: ["gold-g-0"]}},
    ),
    "a latest reading is older than silver's": (
        lambda lake: change(lake, "gold.latest_readings", "metric = 'power_watt'", value="4000.0"),
        {"gold.latest": {LATEST: ["meter-0001 power_watt"]}},
    ),
    "a latest reading is missing": (
        lambda lake: delete(lake, "gold.latest_readings", "metric = 'humidity_percent'"),
        {"gold.latest": {NO_LATEST: ["sensor-0001 humidity_percent"]}},
    ),
    "a latest reading is of no reading": (
        lambda lake: change(lake, "gold.latest_readings", "metric = 'humidity_percent'", metric="'noise'"),
        {
            "gold.latest": {
                NO_LATEST: ["sensor-0001 humidity_percent"],
                "latest readings of gold that silver has no value for": ["sensor-0001 noise"],
            }
        },
    ),
}
POWER = {
    **{"bucket": at("12:02:00"), "device_id": "meter-0001", "metric": "power_watt", "unit": "W", "reading_count": 2},
    **{"value_mean": 4005.0, "value_min": 4000.0, "value_max": 4010.0, "value_stddev": 7.0710678118654755},
    **{"out_of_range_count": 0, "bucket_date": at("12:02:00").date()},
}


@pytest.mark.parametrize("name", BREAKS)
def test_what_is_broken_is_found_and_named_and_nothing_else(lake: Path, name: str) -> None:
    break_lake, expected = BREAKS[name]
    break_lake(lake)

    found = audited(lake)

    assert (problems(found), found.balances, found.exit_code) == (expected, False, 1)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("reading_count", "3"),
        ("value_min", "3999.0"),
        ("value_max", "4010.0000001"),
        ("value_stddev", "7.07108"),
        ("value_stddev", "null"),
        ("out_of_range_count", "1"),
        ("completeness_percent", "16.7"),
        ("bucket", "to_timestamp_micros(1772366521000000)"),
        ("device_id", "'meter-0002'"),
    ],
)
def test_every_statistic_of_a_minute_is_compared(lake: Path, column: str, value: str) -> None:
    change(lake, "gold.readings_1min", "metric = 'power_watt'", **{column: value})

    assert "gold.minutes" in problems(audited(lake))


def test_the_unit_of_a_canonical_metric_is_compared(lake: Path) -> None:
    change(lake, "gold.readings_1min", "metric = 'humidity_percent'", unit="'°C'")
    assert "gold.minutes" in problems(audited(lake))


@pytest.mark.parametrize(
    ("column", "value"), [("value_mean", "4005.000000001"), ("value_stddev", "7.071068"), ("updated_at", "null")]
)
def test_what_the_order_of_a_sum_changes_is_no_difference(lake: Path, column: str, value: str) -> None:
    change(lake, "gold.readings_1min", "metric = 'power_watt'", **{column: value})
    assert audited(lake).balances


def test_the_first_twenty_are_named_and_all_are_counted(tmp_path: Path) -> None:
    lost = [*range(30), *range(200_000, 200_005)]
    rows = {
        "bronze.events": [bronze(offset) for offset in (*lost, 200_005)],
        "silver.readings": [event(200_005, 0, event_id="e")],
        "silver.quarantine": [],
        "silver.duplicates": [],
        "silver.held": [],
        "ops.silver_promotions": [silver_promotion(0, {"0": 200_005}, promoted=1, quarantined=35)],
    }
    found = audited(build_lake(tmp_path, rows))

    (problem,) = next(check for check in found.checks if check.name == "silver.places").outcome.problems
    assert (problem.what, problem.count) == (NOWHERE, 35)
    assert [named.at for named in problem.first] == [f"iot.raw:1:0:{offset}" for offset in range(20)]


def test_what_a_record_is_found_in_is_said(lake: Path) -> None:
    append(lake, "silver.readings", [event(10, 9, "silver-g-0")])

    check = next(check for check in audited(lake).checks if check.name == "silver.places")
    assert [tuple(named) for named in check.outcome.problems[0].first] == [("iot.raw:1:0:10", "readings, held")]


def test_an_id_used_at_another_time_is_told_and_no_error(lake: Path) -> None:
    append(lake, "bronze.events", [bronze(offset, partition=1) for offset in (4, 5)])
    again = [
        event(3, 6, "silver-g-5", event_id="e1", partition=1),
        event(4, 7, "silver-g-5", event_id="e1", partition=1),
        event(5, 7, "silver-g-5", event_id="e0", device_id="sensor-0009", partition=1),
    ]
    append(lake, "silver.readings", again)
    append(lake, "ops.silver_promotions", [silver_promotion(5, {"1": 5}, promoted=3)])

    found = audited(lake)
    (note,) = next(check for check in found.checks if check.name == "silver.keys").outcome.notes
    assert found.balances
    assert note.what == "event ids that a device used at more than one time"
    assert [tuple(named) for named in note.first] == [("sensor-0001 e1", "3 times")]


def test_a_topic_of_another_generation_is_another_topic(lake: Path) -> None:
    append(lake, "bronze.events", [bronze(4, topic_generation=2), bronze(5, topic_generation=2)])
    assert audited(lake).pending == 3
    append(lake, "silver.quarantine", [refused(4, "NOT_JSON", promotion_id="silver-g-5", topic_generation=2)])
    row = silver_promotion(5, {}, quarantined=1)
    append(lake, "ops.silver_promotions", [{**row, "offsets": [("iot.raw:2:0", 4)]}])

    found = audited(lake)
    assert (found.balances, found.pending) == (True, 2)


def test_a_lake_with_bronze_alone_is_all_pending(tmp_path: Path) -> None:
    found = audited(build_lake(tmp_path, {"bronze.events": [bronze(0), bronze(1)]}))

    assert (found.balances, found.records, found.pending) == (True, 2, 2)
    assert {check.name for check in found.checks if check.result == SKIPPED} >= {"silver.places", "gold.minutes"}


def test_a_lake_in_which_nothing_was_read_balances(tmp_path: Path) -> None:
    silver = ("silver.readings", "silver.quarantine", "silver.duplicates", "silver.held", "ops.silver_promotions")
    gold = ("gold.readings_1min", "gold.held", "gold.latest_readings", "ops.gold_promotions")
    found = audited(build_lake(tmp_path, {name: [] for name in ("bronze.events", *silver, *gold)}))

    assert (found.balances, found.records, found.pending) == (True, 0, 0)


@pytest.mark.parametrize(
    "table", ["bronze.events", "silver.duplicates", "ops.silver_promotions", "gold.held", "ops.gold_promotions"]
)
def test_a_table_that_is_gone_cannot_be_checked(lake: Path, table: str) -> None:
    shutil.rmtree(lake / table.replace(".", "/"))
    with pytest.raises(BooksUnreadable, match=f"has lost {table}") as refused_:
        audited(lake)
    assert refused_.value.exit_code == 2


@pytest.mark.parametrize("table", ["bronze.events", "silver.readings", "ops.silver_promotions"])
def test_a_file_that_all_checks_need_and_that_is_damaged_is_named(lake: Path, table: str) -> None:
    file = next((lake / table.replace(".", "/")).rglob("*.parquet"))
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(BooksUnreadable, match=file.name):
        audited(lake)


def test_a_gold_file_that_is_gone_leaves_the_other_checks(lake: Path) -> None:
    next((lake / "gold/readings_1min").rglob("*.parquet")).unlink()

    found = audited(lake)
    results = {check.name: check.result for check in found.checks}
    assert (results["gold.minutes"], results["silver.places"]) == (UNREADABLE, "ok")
    assert (found.balances, found.exit_code) == (None, 2)
    delete(lake, "silver.quarantine", '"offset" = 4')
    assert audited(lake).exit_code == 1


def test_a_table_with_deletion_vectors_is_not_read_as_if_it_had_none(lake: Path) -> None:
    log = lake / "silver/held/_delta_log/00000000000000000001.json"
    protocol = '{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["deletionVectors"]'
    log.write_text(f'{{"protocol":{protocol},"writerFeatures":["deletionVectors"]}}}}\n', "utf-8")
    with pytest.raises(BooksUnreadable, match="deletionVectors"):
        audited(lake)


def test_since_looks_at_whole_micro_batches_from_the_first_that_read_a_later_record_on(lake: Path) -> None:
    late = at("18:00:00")
    append(lake, "bronze.events", [bronze(offset, partition=1, ingested_at=late) for offset in (4, 5, 6)])
    append(lake, "silver.readings", [event(offset, 8, "silver-g-5", partition=1) for offset in (3, 4, 5)])
    append(lake, "ops.silver_promotions", [silver_promotion(5, {"1": 5}, promoted=3)])

    found = audited(lake, since=late)
    assert (found.balances, found.records, found.pending) == (True, 4, 1)
    delete(lake, "silver.quarantine", '"offset" = 4')
    assert audited(lake, since=late).balances
    assert problems(audited(lake))["silver.places"] == {NOWHERE: ["iot.raw:1:0:4"]}
    delete(lake, "silver.readings", "promotion_id = 'silver-g-5' AND \"offset\" = 4")
    broken = audited(lake, since=late)
    assert problems(broken)["silver.places"] == {NOWHERE: ["iot.raw:1:1:4"]}
    assert problems(broken)["silver.ledger"] == {COUNTS: ["silver-g-5"]}
    nothing = audited(lake, since=late + timedelta(days=1))
    assert (nothing.balances, nothing.records) == (True, 0)


def test_since_checks_gold_and_keys_on_the_days_that_later_records_touch(lake: Path) -> None:
    late, another_day = at("18:00:00"), timedelta(days=20)
    append(lake, "bronze.events", [bronze(4, partition=1, ingested_at=late)])
    events = [event(offset, 8, "silver-g-5", partition=1) for offset in (3, 4)]
    moved = [{**row, "event_time": row["event_time"] + another_day, "event_date": DAY} for row in events]
    append(lake, "silver.readings", moved)
    append(lake, "ops.silver_promotions", [silver_promotion(5, {"1": 4}, promoted=2)])
    change(lake, "gold.readings_1min", "metric = 'power_watt'", reading_count="3")
    assert problems(audited(lake)) == {"gold.minutes": {DIFFERENT: [POWER_MINUTE]}}
    assert audited(lake, since=late).balances


DAY = at("12:00:00").date() + timedelta(days=20)


def test_since_compares_with_what_came_before(lake: Path) -> None:
    late = at("18:00:00")
    append(lake, "bronze.events", [bronze(4, partition=1, ingested_at=late)])
    append(lake, "silver.readings", [event(offset, 8, "silver-g-5", partition=1) for offset in (3, 4)])
    append(lake, "ops.silver_promotions", [silver_promotion(5, {"1": 4}, promoted=2)])
    change(lake, "gold.readings_1min", "metric = 'power_watt'", reading_count="3")
    assert problems(audited(lake, since=late)) == {"gold.minutes": {DIFFERENT: [POWER_MINUTE]}}

    same_key = event(1, 0, "silver-g-5", partition=1)
    append(lake, "silver.readings", [{**same_key, "offset": 5}])
    assert "silver.keys" in problems(audited(lake, since=late))


POWER_MINUTE = "2026-03-01T12:02:00Z meter-0001 power_watt"


def test_times_beyond_the_year_9999_are_no_obstacle(lake: Path) -> None:
    table = DeltaTable(str(lake / "silver/readings"))
    far = "to_timestamp_micros(400000000000000000)"
    table.update(
        {"event_time": far, "event_date": f"cast({far} as date)"}, predicate="metric = 'power_watt' AND \"offset\" = 1"
    )

    found = problems(audited(lake))["gold.minutes"]
    assert found[MISSING_MINUTE] == ["14645-06-30T15:06:00Z meter-0001 power_watt"]


def test_a_rebuilt_checkpoint_goes_on_with_the_numbers_of_the_one_before(lake: Path) -> None:
    append(lake, "bronze.events", [bronze(offset, partition=1) for offset in (4, 5)])
    refused_rows = [refused(3 + n, "NOT_JSON", promotion_id=f"silver-new-{7 + n}", partition=1) for n in range(3)]
    append(lake, "silver.quarantine", refused_rows)
    rows = [
        {**silver_promotion(7 + n, {"1": 3 + n}, quarantined=1), "promotion_id": f"silver-new-{7 + n}"}
        for n in range(3)
    ]
    append(lake, "ops.silver_promotions", [{**rows[0], "from_version": None}, *rows[1:]])
    assert audited(lake).balances
    delete(lake, "ops.silver_promotions", "batch_id = 8")
    assert problems(audited(lake))["silver.ledger"][CHAIN] == ["silver-new-9"]


def test_held_rows_count_for_the_promotion_that_held_them(lake: Path) -> None:
    append(lake, "bronze.events", [bronze(4, partition=1)])
    append(lake, "silver.held", [held(offset, "silver-g-5", partition=1) for offset in (3, 4)])
    append(lake, "ops.silver_promotions", [silver_promotion(5, {"1": 4}, "HOLD", held=2)])
    assert audited(lake).balances
    change(lake, "silver.held", "promotion_id = 'silver-g-5'", status="'rejected'")
    append(lake, "ops.silver_promotions", [decided("reject", "silver-g-5", held=2)])
    assert audited(lake).balances


def test_gold_that_was_approved_is_compared_again(lake: Path) -> None:
    change(lake, "gold.held", "status = 'open'", status="'approved'")
    append(lake, "ops.gold_promotions", [decided("approve", "gold-g-0", promoted=1)])
    minute = "2026-03-01T12:00:00Z sensor-0001 temperature_celsius"
    assert problems(audited(lake)) == {"gold.minutes": {MISSING_MINUTE: [minute]}}
    append(lake, "ops.gold_promotions", [gold_promotion(2, 3, 3, 0)])
    assert problems(audited(lake)) == {"gold.minutes": {MISSING_MINUTE: [minute]}}


def rebuilt(lake: Path, in_ledger: bool = True) -> str:
    """A replay from bronze has made three records of the first promotion anew: one is now refused, one is let in."""
    by = "silver-rebuild-7"
    replaced = {"readings": 2, "quarantine": 1}
    noted = [(f"replay:replaced:silver.{table}:silver-g-0", count) for table, count in replaced.items()]
    change(lake, "silver.readings", '"offset" = 1 AND partition = 0', promotion_id=f"'{by}'")
    append(lake, "silver.quarantine", [refused(0, "MISSING_FIELD", promotion_id=by)])
    if in_ledger:
        delete(lake, "silver.readings", '"offset" = 0 AND partition = 0')
        delete(lake, "silver.quarantine", '"offset" = 4')
        append(lake, "silver.readings", [event(4, 1, by, temperature_celsius=25.0)])
        append(lake, "ops.silver_promotions", [replayed(by, noted, promoted=2, quarantined=1)])
    return by


def test_rows_that_a_replay_from_bronze_replaced_are_counted_where_they_are_now(lake: Path) -> None:
    by = rebuilt(lake)
    named = f'{{"ranges": [["{at("12:00:00").isoformat()}", "{at("13:00:00").isoformat()}"]], "parent": "{by}"}}'
    # The stream of gold will not tell of them, but until gold has been asked nothing is wrong.
    assert problems(audited(lake)) == {}
    done = {"promotion_id": "gold-rebuild-7", "parent_promotion_id": by, "layer": "gold"}
    append(lake, "ops.gold_promotions", [replayed(by, []) | done])
    assert set(problems(audited(lake))) == {"gold.minutes"}
    request = Request("7", "gold", "rebuild", named, "ann", "")
    leave_request(Lake(lake), request)
    # Gold has been asked for these minutes, so they are not wrong yet.
    assert problems(audited(lake)) == {}
    delete(lake, "silver.quarantine", '"offset" = 0')
    assert problems(audited(lake)) == {"silver.places": {NOWHERE: ["iot.raw:1:0:0"]}, "silver.ledger": {COUNTS: [by]}}


def test_a_replay_from_bronze_on_its_way_leaves_records_in_two_places_and_counts_of_its_decision(lake: Path) -> None:
    by = rebuilt(lake, in_ledger=False)
    assert problems(audited(lake)) == {"silver.ledger": {COUNTS: ["silver-g-0"]}}
    counts = {"replay:replaced:silver.readings:silver-g-0": 2, "replay:replaced:silver.quarantine:silver-g-0": 1}
    row = {"promotion_id": by, "kind": "replay", "verdict": "PROMOTE", "rule_counts": counts}
    Decisions(Lake(lake).checkpoint_path("silver")).keep(Decision(2, row | {"decided_at": at("13:30:00")}, {}, {}))
    found = audited(lake)
    assert problems(found) == {}
    delete(lake, "silver.readings", "promotion_id = 'silver-g-0' AND \"offset\" IN (0, 2)")
    assert COUNTS in problems(audited(lake))["silver.ledger"]

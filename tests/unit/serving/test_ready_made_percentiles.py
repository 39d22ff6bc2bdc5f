"""The shipped query of minutes' percentiles, against plain Python over the readings that were written."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sluice.errors import LakeMissing, QueryInvalid
from sluice.serving.lake import open_lake

from .lake_builder import append, ask, at, build_lake, minute, reading
from .measured_minutes import HUMIDITY, PERCENTILES, POWER, READINGS, TEMPERATURE, VALUES, minutes_of

NAME = "minute_percentiles"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tables = {"silver.readings": READINGS, "gold.readings_1min": minutes_of(VALUES)}
    return build_lake(tmp_path_factory.mktemp("lake"), tables)


@pytest.mark.parametrize(
    ("device_id", "metric"),
    [
        ("sensor-0001", TEMPERATURE),
        ("sensor-0002", HUMIDITY),
        ("meter", POWER),
        ("meter", TEMPERATURE),
        ("meter", HUMIDITY),
        ("x' OR '1'='1", TEMPERATURE),
    ],
)
def test_percentiles_are_values_that_were_measured(lake: Path, device_id: str, metric: str) -> None:
    keys = sorted(key for key in PERCENTILES if key[:2] == (device_id, metric))

    assert ask(lake, NAME, device_id=device_id, metric=metric) == [
        {
            **{"bucket": key[2], "unit": "°C", "reading_count": len(VALUES[key]), "value_min": 20.0},
            **{"value_p50": PERCENTILES[key][0], "value_p95": PERCENTILES[key][1], "value_max": 21.0},
        }
        for key in keys
    ]


def test_a_minute_is_there_whole_from_its_start_on(lake: Path) -> None:
    # A reading of 11:59 before and after `until`, and one of 11:50 before `since`, are of the same minutes.
    whole = ask(lake, NAME)

    found = ask(lake, NAME, since="2026-03-01T12:50:00+01:00", until="2026-03-01T11:59:20Z")

    assert found == [row for row in whole if at("11:50:00") <= row["bucket"] <= at("11:59:00")]
    assert all(row["value_p50"] is not None for row in found)


def test_readings_that_gold_has_not_counted_make_the_percentiles_of_their_minute_unknown(tmp_path: Path) -> None:
    seconds = ("12:00:00", "12:00:59.999999", "12:01:00")
    rows = [reading(number, at(second), temperature_celsius=number) for number, second in enumerate(seconds)]
    minutes = [minute(at("12:00:00"), reading_count=2), minute(at("12:01:00"), reading_count=1)]
    lake = build_lake(tmp_path, {"silver.readings": rows, "gold.readings_1min": minutes})

    def told() -> list[tuple[Any, ...]]:
        return [(row["reading_count"], row["value_p50"], row["value_p95"]) for row in ask(lake, NAME)]

    assert told() == [(2, 0, 1), (1, 2, 2)]
    append(lake, "silver.readings", [reading(9, at("12:00:30"), temperature_celsius=9.5)])
    assert told() == [(2, None, None), (1, 2, 2)]


def test_only_the_days_asked_for_are_read(tmp_path: Path) -> None:
    moments = [at("23:59:30") + timedelta(days=day) for day in range(4)]
    rows = [reading(number, moment, temperature_celsius=number) for number, moment in enumerate(moments)]
    minutes = [minute(moment.replace(second=0), reading_count=1) for moment in moments]
    lake = build_lake(tmp_path, {"silver.readings": rows, "gold.readings_1min": minutes})
    for day in ("2026-03-01", "2026-03-04"):
        (file,) = (lake / "silver" / "readings" / f"event_date={day}").glob("*.parquet")
        file.unlink()

    found = ask(lake, NAME, since="2026-03-02T00:00:00Z", until="2026-03-03T23:59:30Z")

    assert [(row["bucket"], row["value_p50"]) for row in found] == [
        (moment.replace(second=0), number) for number, moment in list(enumerate(moments))[1:3]
    ]
    with pytest.raises(LakeMissing, match="a file of the lake went away"):
        ask(lake, NAME)


def test_it_reads_two_tables_so_a_version_of_one_is_refused(lake: Path) -> None:
    with pytest.raises(QueryInvalid, match=r"the query reads 2: silver\.readings, gold\.readings_1min"):
        open_lake(lake).ask(NAME, as_of=0)


def test_of_empty_tables_the_answer_is_empty(tmp_path: Path) -> None:
    assert ask(build_lake(tmp_path, {"silver.readings": [], "gold.readings_1min": []}), NAME) == []

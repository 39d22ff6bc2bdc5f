"""gold/alerts: one row an alert, whatever order and however often its messages come."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from tests.unit.alerting.examples import LATER, alert, at

from sluice.alerting.alert_log import row_of, write_alerts
from sluice.alerting.state import AlertState
from sluice.alerting.views import AlertFilter, AlertView, find_alert
from sluice.errors import AlertUnknown
from sluice.schemas import GOLD_ALERTS
from sluice.tables.lake import Lake


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def rows(lake: Lake) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = DeltaTable(lake.table_path(GOLD_ALERTS)).to_pyarrow_table().to_pylist()
    return sorted(found, key=lambda row: row["first_event_time"])


def later(known: AlertState, seconds: float, **odd: Any) -> AlertState:
    return replace(known, updated_at=LATER + timedelta(seconds=seconds), **odd)


def test_a_row_has_all_that_is_known_and_null_for_the_rest(lake: Lake) -> None:
    write_alerts(lake, [alert(1)])
    assert rows(lake) == [{**dict.fromkeys(GOLD_ALERTS.column_names), **row_of(alert(1))}]


def test_the_latest_change_stays_whatever_comes_after_it(lake: Lake) -> None:
    resolved = later(alert(1), 9, status="resolved", resolved_at=LATER)
    write_alerts(lake, [alert(1), resolved, later(alert(1), 3, signal_count=4), alert(2)])
    write_alerts(lake, [later(alert(1), 5), alert(3)])
    write_alerts(lake, [resolved])
    assert [(row["subject"], row["status"]) for row in rows(lake)] == [
        ("d1", "resolved"),
        ("d2", "firing"),
        ("d3", "firing"),
    ]


def test_two_alerts_that_began_at_the_same_moment_are_two_rows(lake: Lake) -> None:
    same = [replace(alert(number), first_event_time=at(0), alert_id=f"al-{number}") for number in (1, 2)]
    write_alerts(lake, same[:1])
    write_alerts(lake, same[1:])
    assert {row["alert_id"] for row in rows(lake)} == {"al-1", "al-2"}


def test_more_alerts_than_one_commit_names_are_written_and_replaced(lake: Lake) -> None:
    many = [alert(number) for number in range(1, 1102)]
    assert write_alerts(lake, many) == 1101
    write_alerts(lake, [later(each, 1, status="resolved") for each in many])
    assert [row["status"] for row in rows(lake)] == ["resolved"] * 1101


def test_an_alert_is_found_by_how_its_id_begins() -> None:
    view = AlertView([row_of(replace(alert(1), alert_id=name)) for name in ("al-abcdef11", "al-abcdef22", "al-1")])
    assert find_alert(view, "al-abcdef1")["alert_id"] == "al-abcdef11"
    assert find_alert(view, "al-1")["alert_id"] == "al-1"
    for named, reason in (
        ("al-abcdef", "2 alerts begin with"),
        ("abc", "there is no alert"),
        ("al-9", "no alert al-9"),
    ):
        with pytest.raises(AlertUnknown, match=reason):
            find_alert(view, named)


def test_a_filter_takes_what_meets_all_its_parts() -> None:
    row = row_of(alert(1))
    assert AlertFilter().takes(row)
    assert AlertFilter("firing", "hot", "d1").takes(row)
    assert not any(AlertFilter(*odd).takes(row) for odd in (("resolved",), (None, "cold"), (None, None, "d2")))

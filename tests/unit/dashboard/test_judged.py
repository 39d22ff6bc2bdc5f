"""What gates decided and refused, scores and alerts, as the page shows them."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
from tests.unit.dashboard.lake import score
from tests.unit.serving.lake_builder import append, at, bronze, build_lake, promotion, refused

from sluice.dashboard.alerts import read_alerts
from sluice.dashboard.decisions import read_decisions, registry_in_use
from sluice.dashboard.quality import Quality, read_quality
from sluice.dashboard.refused import Reason, read_reasons
from sluice.serving.lake import open_lake


def test_the_newest_decisions_of_both_gates_are_read_from_the_newest_files_alone(tmp_path: Path) -> None:
    build_lake(tmp_path, {"ops.silver_promotions": [promotion(0, decided_at=at("08:00:00"))]})
    (old,) = (tmp_path / "ops" / "silver_promotions").glob("*.parquet")
    for number in (1, 2):
        append(tmp_path, "ops.silver_promotions", [promotion(number, decided_at=at(f"09:0{number}:00"))])
    append(tmp_path, "ops.gold_promotions", [promotion(3, layer="gold", decided_at=at("09:01:30"))])
    old.write_bytes(b"not to be opened")
    found = read_decisions(open_lake(tmp_path), limit=2)
    assert [row["promotion_id"] for row in found] == ["p2", "p3", "p1"]
    assert (found[0]["verdict"], found[0]["decided_at"]) == ("PROMOTE", at("09:02:00"))


def test_the_registry_in_use_is_that_of_the_last_promotion_that_judged_by_one(tmp_path: Path) -> None:
    rows = [promotion(1, registry_hash="a"), promotion(2, decided_at=at("13:00:00"))]
    assert registry_in_use(open_lake(build_lake(tmp_path, {"ops.silver_promotions": rows}))) == "a"


def test_scores_are_weighted_by_records_and_of_the_newest_day_that_the_data_has(tmp_path: Path) -> None:
    day = date(2026, 3, 1)
    rows = [
        score("a", 100.0, 300),
        score("b", 60.0, 100),
        score("(unreadable)", None, 50),
        score("a", 10.0, 1, day=day - timedelta(days=1)),
        score("a", 20.0, 1, day=date(2200, 1, 1)),
    ]
    lake = open_lake(build_lake(tmp_path, {"gold.quality_scores": rows}))
    found = read_quality(lake, None, at("12:00:00"))
    assert found == Quality(day, 90.0, dict.fromkeys(found.dimensions if found else (), 0.9), 2)
    assert found is not None
    assert found.band == "warning"
    alone = read_quality(lake, ("b",), at("12:00:00"))
    assert alone is not None
    assert (alone.score, alone.band, alone.devices) == (60.0, "critical", 1)
    assert read_quality(lake, ("nobody",), at("12:00:00")) is None


@pytest.mark.parametrize(
    ("value", "band"), [(95.1, "good"), (95.0, "warning"), (80.0, "warning"), (79.9, "critical"), (None, None)]
)
def test_bands_have_the_limits_of_the_contract(value: float | None, band: str | None) -> None:
    assert Quality(date(2026, 3, 1), value, {}, 1).band == band


def test_quarantine_is_counted_by_reason_and_by_what_became_of_it(tmp_path: Path) -> None:
    rows = [
        refused(1, "NOT_JSON", stage="parse", status="replayed"),
        refused(2, "NOT_JSON", stage="parse", first_seen_at=at("12:30:00")),
        refused(3, "RULE_FAILED", stage="rules", device_id="a"),
        refused(4, "RULE_FAILED", stage="rules", device_id="b"),
    ]
    lake = open_lake(build_lake(tmp_path, {"silver.quarantine": rows}))
    assert read_reasons(lake, None) == [
        Reason("RULE_FAILED", "rules", 2, 0, at("12:00:00")),
        Reason("NOT_JSON", "parse", 1, 1, at("12:30:00")),
    ]
    assert read_reasons(lake, ("a",)) == [Reason("RULE_FAILED", "rules", 1, 0, at("12:00:00"))]


def test_open_alerts_are_counted_and_come_first(tmp_path: Path) -> None:
    def alert(name: str, status: str, opened: str, device_id: str | None) -> dict[str, object]:
        row = {"alert_id": name, "rule_id": name, "status": status, "opened_at": at(opened), "device_id": device_id}
        return {**row, "alert_date": at(opened).date()}

    rows = [
        alert("solved", "resolved", "12:00:00", "a"),
        alert("older", "firing", "10:00:00", "a"),
        alert("seen", "acknowledged", "11:00:00", "b"),
        alert("gate", "firing", "09:00:00", None),
    ]
    lake = open_lake(build_lake(tmp_path, {"gold.alerts": rows}))
    found = read_alerts(lake, None, limit=3)
    assert found is not None
    assert (found.firing, found.acknowledged, found.open) == (2, 1, 3)
    assert [row["rule_id"] for row in found.newest] == ["seen", "older", "gate"]
    narrowed = read_alerts(lake, ("a",), limit=9)
    assert narrowed is not None
    assert (narrowed.open, [row["rule_id"] for row in narrowed.newest]) == (1, ["older", "solved"])


def test_tables_that_no_job_made_yet_show_nothing(tmp_path: Path) -> None:
    lake = open_lake(build_lake(tmp_path, {"bronze.events": [bronze(1)]}))
    assert read_alerts(lake, None, 9) is None
    assert read_quality(lake, None, at("12:00:00")) is None
    assert (read_reasons(lake, None), read_decisions(lake, 9), registry_in_use(lake)) == ([], [], None)

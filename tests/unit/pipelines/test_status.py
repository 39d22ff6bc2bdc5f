"""What status says of gates: holds with their age, breakers, and which of them is a complaint. No Spark, no broker."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from tests.unit.serving.lake_builder import at, bronze, build_lake, held, minute, promotion

from sluice.cli import run_command
from sluice.pipelines.status import Status, read_status
from sluice.settings import load_settings
from sluice.tables.lake import Lake, own_layer


def status_of(lake: Path, **options: object) -> Status:
    nowhere = {"lake.path": str(lake), "kafka.bootstrap_servers": None, "broker.data_path": str(lake / "no-broker")}
    return read_status(load_settings(options={**nowhere, **options}, environment={}))


def hours_ago(hours: float) -> datetime:
    return datetime.now(timezone.utc) - timedelta(hours=hours)


def gate_complaints(status: Status) -> list[str]:
    return [text for text in status.complaints if "broker" not in text]


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Two holds of silver, 30 and 2 hours old, one of gold of an hour; others are decided."""
    return build_lake(
        tmp_path / "lake",
        {
            "silver.held": [held(1, "p1"), held(2, "p2"), held(3, "p2"), held(4, "p3", status="approved")],
            "gold.held": [
                minute(at("12:00:00"), promotion_id="g1", status="open"),
                minute(at("12:00:00"), promotion_id="g0", status="superseded"),
            ],
            "ops.silver_promotions": [
                promotion(2, verdict="HOLD", decided_at=hours_ago(2)),
                promotion(1, verdict="HOLD", decided_at=hours_ago(30)),
            ],
            "ops.gold_promotions": [promotion(0, promotion_id="g1", layer="gold", decided_at=hours_ago(1))],
        },
    )


def test_open_holds_are_promotions_with_open_rows_and_the_oldest_has_its_age(lake: Path) -> None:
    layers = {layer.layer: layer for layer in status_of(lake).layers}

    assert {name: (layer.open_holds, layer.oldest_hold) for name, layer in layers.items()} == {
        "bronze": (0, None),
        "silver": (2, "p1"),
        "gold": (1, "g1"),
    }
    assert layers["silver"].oldest_hold_seconds == pytest.approx(30 * 3600, abs=60)


def test_a_hold_older_than_the_notice_is_a_complaint(lake: Path) -> None:
    first = gate_complaints(status_of(lake))
    later = gate_complaints(status_of(lake, **{"gate.notice_after_hours": 48}))
    sooner = gate_complaints(status_of(lake, **{"gate.notice_after_hours": 0.5}))

    assert [text.split("since")[0] for text in first] == ["silver held "]
    assert first[0].endswith(": sluice gate show p1")
    assert later == []
    assert [text.rsplit(" ", 1)[1] for text in sooner] == ["p1", "g1"]


def test_an_open_breaker_is_a_complaint(tmp_path: Path) -> None:
    lake = build_lake(tmp_path, {"bronze.events": []})
    file = lake / "_checkpoints" / "gold" / "breaker.json"
    file.parent.mkdir(parents=True)
    closed = status_of(lake)
    file.write_text('{"state": "open", "holds_in_row": 3, "opened_at": null, "last_batch_id": 7}')
    opened = status_of(lake)

    assert [layer.breaker for layer in closed.layers] == [None, "closed", "closed"]
    assert gate_complaints(closed) == []
    assert [layer.breaker for layer in opened.layers] == [None, "closed", "open"]
    assert gate_complaints(opened) == ["the breaker of gold is open (sluice gate ls)"]


def test_a_lake_without_tables_or_without_anything_has_no_holds(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing", build_lake(tmp_path / "bronze", {"bronze.events": [bronze(1)]})):
        assert [layer.open_holds for layer in status_of(path).layers] == [0, 0, 0]


def test_the_command_names_the_hold_and_exits_1(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SLUICE_BROKER__DATA_PATH", str(tmp_path / "no-broker"))
    monkeypatch.delenv("SLUICE_KAFKA__BOOTSTRAP_SERVERS", raising=False)

    assert run_command(["status", "--set", f"lake.path={lake}"]) == 1

    lines = capsys.readouterr().out.splitlines()
    assert lines[4].split()[-4:] == ["closed", "2", "(30.0", "h)"]
    assert "silver held since" in lines[-1]
    assert "sluice gate show p1" in lines[-1]


def test_what_silver_has_not_read_is_its_lag_though_its_writer_tells_no_counts(tmp_path: Path) -> None:
    lake = build_lake(tmp_path / "lake", {"bronze.events": [bronze(1), bronze(2)]})

    status = status_of(lake)

    silver = next(layer for layer in status.layers if layer.layer == "silver")
    assert silver.lag_rows == 2
    assert silver.lag_seconds is not None
    assert "silver behind and not running (sluice run)" in status.complaints


def test_what_runs_beside_the_layers_is_told_and_no_complaint(lake: Path) -> None:
    with own_layer(Lake(lake), "dispatch"):
        status = status_of(lake)
    processes = status.as_json()["processes"]

    assert {name: each["running"] for name, each in processes.items()} == {
        "alerts": False,
        "dispatch": True,
        "alert_log": False,
    }
    assert processes["dispatch"]["pid"] == os.getpid()
    assert not any("dispatch" in text or "alert" in text for text in status.complaints)

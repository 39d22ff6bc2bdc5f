"""The audit of lakes that the pipelines wrote, against the topic they were read from."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import pytest
from deltalake import DeltaTable

from sluice.cli import run_command
from sluice.embedded.broker import RunningBroker
from tests.streaming.conftest import Workshop, reading


@pytest.fixture
def lake(small_lake: Path, broker: RunningBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small lake as a copy of the test's own, and its broker in the settings."""
    path = Path(shutil.copytree(small_lake, tmp_path / "lake"))
    monkeypatch.setenv("SLUICE_LAKE__PATH", str(path))
    monkeypatch.setenv("SLUICE_KAFKA__BOOTSTRAP_SERVERS", broker.bootstrap_servers)
    return path


def test_the_books_of_a_drained_lake_balance(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["audit"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in shown[:-1]] == [
        ["ok", name]
        for name in (
            *("bronze.once", "bronze.topic", "silver.places", "silver.ledger", "silver.keys"),
            *("gold.minutes", "gold.latest", "gold.rollups", "gold.devices", "gold.ledger"),
        )
    ]
    assert shown[-1] == "the books balance: 3,000 records"


@pytest.mark.parametrize("offset", [0, 1500])
def test_a_record_that_bronze_lost_is_found_in_the_topic(
    lake: Path, capsys: pytest.CaptureFixture[str], offset: int
) -> None:
    bronze = DeltaTable(str(lake / "bronze/events"))
    topic = bronze.to_pyarrow_dataset().to_table(columns=["topic"])["topic"][0]
    bronze.delete(f'"offset" = {offset}')

    assert run_command(["audit", "--json"]) == 1
    checks = {check["check"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    lost = {"what": "records of the topic that bronze does not have", "count": 1}
    assert checks["bronze.topic"]["problems"] == [{**lost, "first": [{"at": f"{topic}:1:0:{offset}", "detail": None}]}]
    assert [each["first"][0]["at"] for each in checks["silver.places"]["problems"]] == [f"{topic}:1:0:{offset}"]


@pytest.mark.soak
def test_audits_beside_running_jobs_raise_no_alarm(workshop: Workshop) -> None:
    """Layers drained again and again, one bad record and one copy among them, while audits follow each other."""
    alarms: list[object] = []
    audits = [0]
    done = threading.Event()
    workshop.drain()

    def watch() -> None:
        while not done.is_set():
            if found := workshop.audit():
                alarms.append(found)
            audits[0] += 1

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for turn in range(3):
            event = reading(float(turn), event_id=f"e{turn}", timestamp=f"2024-03-01T10:0{turn % 3}:00Z")
            workshop.send([event, reading(9.0, event_id=f"f{turn}"), b"{", event])
            workshop.drain()
    finally:
        done.set()
        watcher.join()
    assert (alarms, workshop.audit()) == ([], {})
    assert audits[0] > 10

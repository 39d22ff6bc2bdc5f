"""Silver and gold on a real Spark standalone cluster: executors in processes of their own, one file system."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from benchmarks.standalone import standalone_cluster
from tests.integration.conftest import Run
from tests.topics import new_topic

from sluice.embedded.broker import RunningBroker
from sluice.serving.lake import open_lake

FAULTS = "late=0.02,duplicate=0.02,corrupt=0.02,out_of_range=0.02"
# All of a table but when, and in which promotion, it was written; the order in which values are added up differs.
_ROUNDED = "round(value_mean, 9) AS value_mean, round(value_stddev, 6) AS value_stddev"
COMPARED = {
    "silver.readings": "* EXCLUDE (promoted_at, promotion_id)",
    "silver.quarantine": "partition, offset, stage, error_code, failed_rules",
    "silver.duplicates": "* EXCLUDE (promotion_id)",
    "gold.readings_1min": f"* EXCLUDE (updated_at) REPLACE ({_ROUNDED})",
}


def contents(lake: Path) -> dict[str, list[str]]:
    opened = open_lake(lake)
    tables = {name: opened.sql(f"SELECT {columns} FROM {name}").fetchall() for name, columns in COMPARED.items()}
    return {name: sorted(map(repr, rows)) for name, rows in tables.items()}


@pytest.mark.soak
@pytest.mark.timeout(2400)
def test_a_cluster_of_two_workers_makes_the_tables_that_one_driver_makes(
    broker: RunningBroker, tmp_path: Path, sluice: Run
) -> None:
    lakes = {where: tmp_path / where for where in ("alone", "cluster")}
    settings = {
        "kafka__bootstrap_servers": broker.bootstrap_servers,
        "kafka__topic": new_topic(broker, 4, "cluster"),
    }
    sent = sluice("generate", "--events", "5000", "--devices", "50", "--faults", FAULTS, **settings)
    assert sent.returncode == 0, sent.stderr
    landed = sluice("run", "--once", "--layers", "bronze", lake__path=lakes["alone"], **settings)
    assert landed.returncode == 0, landed.stderr
    shutil.copytree(lakes["alone"], lakes["cluster"])

    promote = ("run", "--once", "--layers", "silver,gold")
    alone = sluice(*promote, lake__path=lakes["alone"], timeout=900, **settings)
    assert alone.returncode == 0, alone.stderr
    with standalone_cluster(tmp_path / "spark", workers=2, memory_megabytes=1024) as master:
        own = {"lake__path": lakes["cluster"], "spark__executor_memory_megabytes": 1024, **settings}
        spread = sluice(*promote, spark__master=master, timeout=900, **own)
        assert spread.returncode == 0, spread.stderr
        executors = [path for path in (tmp_path / "spark").glob("worker*/app-*/*") if path.is_dir()]
        assert len(executors) == 2

    assert contents(lakes["cluster"]) == contents(lakes["alone"])
    audit = sluice("audit", lake__path=lakes["cluster"], **settings)
    assert audit.returncode == 0, audit.stdout


def test_an_address_that_is_no_masters_is_named_without_a_stack_trace(tmp_path: Path, sluice: Run) -> None:
    lake = {"lake__path": tmp_path / "lake", "kafka__bootstrap_servers": "127.0.0.1:1"}
    (tmp_path / "lake" / "bronze" / "events" / "_delta_log").mkdir(parents=True)
    refused = sluice("run", "--once", "--layers", "silver", spark__master="sparc://nobody:7077", **lake)
    assert refused.returncode == 3, refused.stderr
    assert refused.stderr.splitlines() == [
        "sluice: Spark does not start with spark.master sparc://nobody:7077",
        f"  next: is its address right, its memory enough? {tmp_path / 'lake' / '_logs' / 'spark.log'} says what went "
        "wrong",
    ]

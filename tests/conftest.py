"""Fixtures of all tests."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from xdist.scheduler import LoadScopeScheduling

from sluice.embedded.broker import RunningBroker, start_broker, stop_broker
from sluice.session import open_session
from sluice.settings import load_settings
from tests.spark_options import JAVA_OPTIONS

# By the fixture whose making takes long, the files that share it.
_GROUPS = {
    "scenes": ("tests/streaming/crash/test_kill_at_points.py", "tests/streaming/test_crash_points.py"),
    "backlog": ("tests/streaming/crash/test_random_kills.py",),
    "small_lake": (
        "tests/integration/test_notebooks.py",
        "tests/streaming/test_audit.py",
        "tests/streaming/test_trace.py",
    ),
}
# Those of `make test-soak` that fill hours: by the stage that is killed, and each seed by itself.
_PARTED = re.compile(r"(?<=test_kill_at_points\.py::)[^:]+: |(?<=test_random_kills\.py::).+")


def group_of(path: str) -> str:
    """What runs in one process under `pytest -n 2`: a file's tests, and all that need the same long fixture."""
    return next((name for name, files in _GROUPS.items() if path in files), path)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests come first, so that both processes end at about the same time."""
    items.sort(key=lambda item: (item.nodeid.startswith("tests/unit/"), group_of(_file_of(item.nodeid)) not in _GROUPS))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Hands out whole groups."""
    return _ByGroup(config, log)


class _ByGroup(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        if parted := _PARTED.search(nodeid):
            return parted[0]
        return group_of(_file_of(nodeid))


def _file_of(nodeid: str) -> str:
    return nodeid.partition("::")[0]


@pytest.fixture(autouse=True)
def plain_log() -> Iterator[None]:
    """A command run in a test sets the log up for its terminal; the next test finds it as it was."""
    yield
    logger = logging.getLogger("sluice")
    logger.handlers.clear()
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    """A real broker on a free port with an empty folder of its own; one for all tests, so use topics of your own."""
    data_path = tmp_path_factory.mktemp("broker")
    settings = load_settings(options={"broker.data_path": str(data_path), "broker.port": 0}, environment={})
    try:
        yield start_broker(settings)
    finally:
        stop_broker(data_path, timeout_seconds=5)


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """The one session of all tests: UTC, two shuffle partitions, no UI."""
    options = {
        "lake.path": str(tmp_path_factory.mktemp("session")),
        "spark.master": "local[2]",
        "spark.shuffle_partitions": 2,
        "spark.driver_memory_megabytes": 2048,
        "spark.java_options": JAVA_OPTIONS,
    }
    session = open_session(load_settings(options=options, environment={}), "sluice-tests")
    yield session
    session.stop()


@pytest.fixture(scope="session")
def small_lake(spark: SparkSession, broker: RunningBroker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake that the pipelines have drained: 3,000 events of all versions, with every kind of fault."""
    from sluice.simulator.plan import resolve_plan
    from sluice.simulator.stream import message_batches
    from tests.streaming.conftest import open_workshop

    workshop = open_workshop(spark, broker, tmp_path_factory.mktemp("small") / "lake")
    faults = {"late": 0.05, "duplicate": 0.02, "corrupt": 0.02, "out_of_range": 0.02}
    plan, _ = resolve_plan(now_ms=int(time.time() * 1000), events=3000, devices=60, seed=3, faults=faults)
    workshop.send([value for batch in message_batches(plan) for value in batch.values])
    workshop.drain()
    return workshop.lake.path

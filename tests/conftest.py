"""Fixtures of all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession

from sluice.embedded.broker import RunningBroker, start_broker, stop_broker
from sluice.session import open_session
from sluice.settings import load_settings


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
        # Tests never run long enough to win back what the optimising compiler costs.
        "spark.java_options": "-XX:TieredStopAtLevel=1",
    }
    session = open_session(load_settings(options=options, environment={}), "sluice-tests")
    yield session
    session.stop()

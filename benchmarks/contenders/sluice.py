"""Sluice itself, with its shipped settings: bronze, silver with its gate, gold."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.contenders import Task
from sluice.pipelines.driver import Driver, StopSignal, start_logging
from sluice.schemas import LAYERS
from sluice.session import open_session
from sluice.settings import load_settings

NAME = "Sluice"


@contextmanager
def open_contender(task: Task) -> Iterator[Callable[[str, Path], dict[str, float]]]:
    """Drains layer by layer, as `sluice run --once` does."""
    start_logging()
    spark = open_session(load_settings(options={"lake.path": str(Path(task.folder) / "none")}, environment={}))

    def drain(topic: str, folder: Path) -> dict[str, float]:
        options = {"lake.path": str(folder), "kafka.topic": topic}
        settings = load_settings(options=options, environment={})
        driver = Driver(spark, settings, task.bootstrap_servers, StopSignal())
        parts = {}
        for layer in LAYERS:
            began = time.monotonic()
            driver.drain([layer])
            parts[layer] = time.monotonic() - began
        return parts

    try:
        yield drain
    finally:
        spark.stop()

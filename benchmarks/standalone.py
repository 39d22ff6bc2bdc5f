"""A Spark standalone cluster on this machine, from what the Python package of Spark ships: a master and its workers."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pyspark

from benchmarks.processes import Watched, last_lines, start
from sluice.java import find_java

# pyspark ships no file that says which Scala it is built for, and a worker would look for a build of Spark's sources.
_SCALA_VERSION = "2.13"
_LOOPBACK = "127.0.0.1"
_MASTER_URL = re.compile(r"Starting Spark master at (spark://\S+)")
_REGISTERED = "Successfully registered with master"
_START_SECONDS = 180


@contextmanager
def standalone_cluster(folder: Path, workers: int, cores: int = 1, memory_megabytes: int = 3072) -> Iterator[str]:
    """The address of a master whose workers are ready; all end with the block.

    Args:
        folder: for logs and the workers' files.
        cores: of each worker, and `memory_megabytes` likewise.

    Raises:
        RuntimeError: one does not start; with what it said.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as running:
        master_log = folder / "master.log"
        master = ["org.apache.spark.deploy.master.Master", "--host", _LOOPBACK, "--port", "0", "--webui-port", "0"]
        running.enter_context(_spark_process(master, master_log))
        url = _await(_MASTER_URL, master_log)
        logs = [folder / f"worker{number}.log" for number in range(workers)]
        for number, log in enumerate(logs):
            worker = ["org.apache.spark.deploy.worker.Worker", "--host", _LOOPBACK, "--webui-port", "0"]
            worker += ["--cores", str(cores), "--memory", f"{memory_megabytes}m"]
            worker += ["--work-dir", str(folder / f"worker{number}"), url]
            running.enter_context(_spark_process(worker, log))
        for log in logs:
            _await(re.compile(f"({_REGISTERED})"), log)
        yield url


@contextmanager
def _spark_process(command: list[str], log: Path) -> Iterator[Watched]:
    java, home = find_java(), Path(pyspark.__file__).parent
    environment = {
        "SPARK_HOME": str(home),
        "SPARK_SCALA_VERSION": _SCALA_VERSION,
        "SPARK_LOCAL_IP": _LOOPBACK,
        "JAVA_HOME": str(java.parent.parent),
        "SPARK_CONF_DIR": os.devnull,
    }
    options = ["-Xmx512m", "-Dspark.master.rest.enabled=false"]
    watched = start([str(java), *options, "-cp", f"{home}/jars/*", *command], log, environment)
    try:
        yield watched
    finally:
        watched.end()
        watched.process.terminate()
        watched.process.wait(30)


def _await(pattern: re.Pattern[str], log: Path) -> str:
    """What the pattern's group matches in the log, once it does."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if log.exists() and (match := pattern.search(log.read_text("utf-8", "replace"))):
            return match.group(1)
        time.sleep(0.1)
    raise RuntimeError(f"no {pattern.pattern!r} in {log}:\n{last_lines(log)}")

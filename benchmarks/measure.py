"""Repeated measurements, the machine they were made on, and their table."""

from __future__ import annotations

import os
import platform
import statistics
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from pyspark.sql import SparkSession

_PACKAGES = ("pyspark", "delta-spark", "great-expectations")


@dataclass
class Series:
    """The runs of one variant of a case.

    Attributes:
        seconds: wall clock of each run.
        figures: further figures of each run, by name with unit.
        lines: of the last run what changed over time, by name: points of (seconds or what else counts, value).
    """

    name: str
    seconds: list[float] = field(default_factory=list)
    figures: dict[str, list[float]] = field(default_factory=dict)
    lines: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def add(self, seconds: float, **figures: float) -> None:
        """Adds one run."""
        self.seconds.append(seconds)
        for name, value in figures.items():
            self.figures.setdefault(name, []).append(value)

    @property
    def median(self) -> float:
        """The median of the seconds."""
        return statistics.median(self.seconds)

    def as_json(self) -> dict[str, object]:
        """All figures, raw."""
        lines = {"lines": self.lines} if self.lines else {}
        return {"name": self.name, "median_seconds": self.median, "seconds": self.seconds, **self.figures, **lines}


def machine() -> dict[str, object]:
    """What the figures hold for."""
    memory = int(Path("/proc/meminfo").read_text("ascii").split()[1]) / 1024**2
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "load_at_start": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
    }


def cpu_seconds(spark: SparkSession) -> float:
    """The processor time that this process and the session's JVM have used so far; Python workers aside."""
    jvm = spark.sparkContext._jvm
    own = os.times()
    pid = jvm.java.lang.ProcessHandle.current().pid() if jvm else 0
    return own.user + own.system + cpu_of(process_fields(pid))


def process_fields(pid: int) -> list[str]:
    """What Linux tells of a process after its name: proc(5), stat."""
    return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()


def cpu_of(fields: list[str]) -> float:
    """Seconds of processor, user and system, out of `process_fields`."""
    # utime and stime in clock ticks.
    return sum(int(field) for field in fields[11:13]) / os.sysconf("SC_CLK_TCK")


def print_table(series: list[Series], base: Series) -> None:
    """One line per variant: median, spread, and the ratio to `base`."""
    print(f"{'variant':<28} {'median s':>9} {'min':>8} {'max':>8} {'ratio':>7}  figures (median)")
    for each in series:
        figures = ", ".join(f"{name} {statistics.median(values):,.3f}" for name, values in each.figures.items())
        spread = f"{min(each.seconds):8.2f} {max(each.seconds):8.2f}"
        print(f"{each.name:<28} {each.median:9.2f} {spread} {each.median / base.median:7.3f}  {figures}")

"""Whether a driver grows: the memory of `sluice run` over many small micro-batches, and what a collection leaves of it.

`sluice generate` sends a trickle until silver has made as many micro-batches as are asked for. The collections are
asked for from outside (jcmd), forty over the whole. A hundred is a tenth of the run. Seconds are those of silver's
batches.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.live import SLUICE, Live, broker_of, sluice_run
from benchmarks.measure import Series, print_table
from benchmarks.processes import java_of, start
from sluice.errors import DependencyError
from sluice.java import find_java
from sluice.schemas import OPS_SILVER_PROMOTIONS

ABOUT = "memory of the driver of sluice run over many small micro-batches"
EVENTS = 1_000
UNIT = "micro-batches of silver"
OPTIONS = {"rate": 500}
_SAMPLES = 40
_HUNDREDS = 10
_POLL_SECONDS = 0.2
_MOST_SECONDS_A_BATCH = 120
_USED = re.compile(r"garbage-first heap.*?used (\d+)K")


@dataclass(frozen=True)
class Sample:
    """The driver after so many micro-batches, in MiB; heap is what a collection left."""

    batches: int
    resident: float
    heap: float


def run(folder: Path, events: int, runs: int, rate: int) -> list[Series]:
    """Measures the process and the heap."""
    jcmd = find_java().with_name("jcmd")
    if not jcmd.exists():
        raise DependencyError(f"there is no {jcmd}", "install a JDK, not only a JRE: openjdk-17-jdk-headless")
    found = [Series("the process"), Series("heap after a collection")]
    for number in range(runs):
        place = folder / f"run{number}"
        place.mkdir()
        with broker_of(place) as (settings, bootstrap_servers), sluice_run(settings, bootstrap_servers) as running:
            generate = start([*SLUICE, "generate", "--rate", str(rate)], place / "generate.log", running.environment)
            try:
                samples = _watch(running, events, jcmd)
            finally:
                generate.process.terminate()
                generate.process.wait(60)
                generate.end()
            running.await_drained(600)
            running.stop()
            running.audit()
            silver = [batch.seconds for batch in running.batch_times() if batch.layer == "silver"]
        shutil.rmtree(place)
        counts = [sample.batches for sample in samples]
        _add(found[0], counts, [sample.resident for sample in samples], silver)
        _add(found[1], counts, [sample.heap for sample in samples], silver)
    print_table(found, found[0])
    return found


def _watch(running: Live, batches: int, jcmd: Path) -> list[Sample]:
    running.await_first_commits()
    deadline = time.monotonic() + batches * _MOST_SECONDS_A_BATCH
    samples: list[Sample] = []
    while (done := running.observer.batches(OPS_SILVER_PROMOTIONS)) < batches:
        running.check(deadline, f"has not made {batches} batches")
        if done >= len(samples) * batches / _SAMPLES:
            samples.append(Sample(done, running.watched.resident_mebibytes, _heap_of(running, jcmd)))
        time.sleep(_POLL_SECONDS)
    return [*samples, Sample(done, running.watched.resident_mebibytes, _heap_of(running, jcmd))]


def _heap_of(running: Live, jcmd: Path) -> float:
    """MiB that a collection of all garbage leaves."""
    pid = java_of(running.watched)
    subprocess.run([str(jcmd), str(pid), "GC.run"], capture_output=True, check=True)
    told = subprocess.run([str(jcmd), str(pid), "GC.heap_info"], capture_output=True, text=True, check=True).stdout
    used = _USED.search(told)
    assert used, told
    return int(used.group(1)) / 1024


def _add(series: Series, counts: Sequence[int], mebibytes: Sequence[float], silver: Sequence[float]) -> None:
    first, last = max(counts[0], counts[-1] / _HUNDREDS), counts[-1] * (1 - 1 / _HUNDREDS)
    early = [value for count, value in zip(counts, mebibytes, strict=True) if count <= first]
    late = [value for count, value in zip(counts, mebibytes, strict=True) if count >= last]
    # What the first ones load stays; growth is what comes after.
    settled = sum(count <= first for count in counts)
    slope = float(np.polyfit(counts[settled:], mebibytes[settled:], 1)[0])
    series.add(
        float(np.median(silver)),
        **{"first hundred MiB": float(np.mean(early)), "last hundred MiB": float(np.mean(late))},
        **{"last/first": float(np.mean(late) / np.mean(early)), "MiB per 1,000 batches after": slope * 1000},
        **{"batches": counts[-1], "most MiB": max(mebibytes)},
    )
    series.lines["MiB by micro-batch"] = [(float(n), value) for n, value in zip(counts, mebibytes, strict=True)]
    told = f"{np.mean(early):,.0f} MiB in the first hundred, {np.mean(late):,.0f} in the last"
    print(f"  {series.name}: {told}; {slope * 1000:+,.0f} per 1,000 batches after the first hundred", flush=True)

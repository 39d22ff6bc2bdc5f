"""A program on its own, watched from outside: its seconds, its processor time, its memory, what it printed last."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measure import cpu_of, process_fields

_POLL_SECONDS = 0.25
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Watched:
    """A process in a session of its own, and all that it starts.

    Attributes:
        resident_mebibytes: the resident memory of all of them together when last seen, shared pages counted for each.
        peak_mebibytes: the most of it.
        cpu_seconds: user and system, as last seen before each ended.
    """

    process: subprocess.Popen[str]
    resident_mebibytes: float = 0.0
    peak_mebibytes: float = 0.0
    _cpu: dict[int, float] = field(default_factory=dict)
    _done: threading.Event = field(default_factory=threading.Event)

    @property
    def cpu_seconds(self) -> float:
        return sum(self._cpu.values())

    def look(self) -> None:
        """Takes a sample."""
        resident = 0
        for pid, fields in _session(self.process.pid):
            self._cpu[pid] = cpu_of(fields)
            # rss, in pages.
            resident += int(fields[21]) * _PAGE
        self.resident_mebibytes = resident / 2**20
        self.peak_mebibytes = max(self.peak_mebibytes, self.resident_mebibytes)

    def watch(self) -> None:
        """Takes samples until `end`."""
        while not self._done.wait(_POLL_SECONDS):
            self.look()

    def end(self) -> None:
        """Takes no more samples."""
        self._done.set()


def start(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> Watched:
    """Starts a program, and samples it until `end`.

    Args:
        log: what it prints as errors is added there.
        environment: variables over those of this process.
    """
    with log.open("ab") as errors:
        process = subprocess.Popen(
            list(command),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )
    watched = Watched(process)
    threading.Thread(target=watched.watch, daemon=True).start()
    return watched


def run(command: Sequence[str], log: Path) -> tuple[Watched, dict[str, Any]]:
    """Runs a program to its end; returns what was seen of it, and the JSON in its last line.

    Args:
        log: what it prints as errors is added there.

    Raises:
        RuntimeError: it failed; what it printed last is in the message.
    """
    watched = start(command, log)
    output, _ = watched.process.communicate()
    watched.end()
    if watched.process.returncode:
        raise RuntimeError(f"{' '.join(command)} exited with {watched.process.returncode}:\n{last_lines(log)}")
    answer: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    return watched, answer


def last_lines(log: Path) -> str:
    """What a program said last."""
    return "\n".join(log.read_text("utf-8", "replace").splitlines()[-15:])


def size_of(folder: Path) -> int:
    """Bytes of the Parquet files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*.parquet"))


def java_of(watched: Watched) -> int | None:
    """The JVM that a process has started, or is."""
    found = [pid for pid, _ in _session(watched.process.pid) if _name_of(pid) == "java"]
    return found[0] if found else None


def _name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text("utf-8").strip()
    except OSError:
        return ""


def _session(leader: int) -> list[tuple[int, list[str]]]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        pid = int(path.parent.name)
        try:
            fields = process_fields(pid)
        except OSError:
            continue
        if int(fields[3]) == leader:
            found.append((pid, fields))
    return found

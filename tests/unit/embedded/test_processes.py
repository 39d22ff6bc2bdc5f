from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sluice.embedded.processes import is_running, start_detached, stop_process

IGNORES_TERM = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); {wait}"
WAIT = "time.sleep(60)"


@pytest.fixture
def started(tmp_path: Path) -> Iterator[int]:
    pid = start_detached([sys.executable, "-c", IGNORES_TERM.format(wait=WAIT), "mark"], tmp_path / "out")
    deadline = time.monotonic() + 20
    while (tmp_path / "out").read_text() != "up\n" and time.monotonic() < deadline:
        time.sleep(0.01)
    yield pid
    stop_process(pid, "mark", 0)


def test_a_process_is_known_by_a_word_of_its_command_line(started: int) -> None:
    assert is_running(started, "mark")
    assert not is_running(started, "mar")
    assert not is_running(0, "mark")


def test_a_process_runs_from_its_first_moment_on(tmp_path: Path) -> None:
    for _ in range(20):
        pid = start_detached([sys.executable, "-c", f"import time; {WAIT}", "mark"], tmp_path / "out")
        assert is_running(pid, "mark")
        assert stop_process(pid, "mark", 5)


def test_a_process_has_a_session_of_its_own(started: int) -> None:
    assert os.getsid(started) == started


def test_one_that_ignores_the_request_to_end_is_killed(started: int) -> None:
    before = time.monotonic()
    assert stop_process(started, "mark", 0.2)
    assert time.monotonic() - before < 10
    assert not is_running(started, "mark")


def test_another_programs_pid_is_left_alone(started: int) -> None:
    assert stop_process(started, "another word", 0.2)
    assert is_running(started, "mark")

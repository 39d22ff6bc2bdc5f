"""A process that outlives its starter, and is recognised by its command line: a pid alone may be somebody else's."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

# Kept so that a child that ends while this process lives is reaped, not left as a zombie.
_children: dict[int, tuple[subprocess.Popen[bytes], list[str]]] = {}


def start_detached(command: list[str], output: Path) -> int:
    """The pid of a new process in a session of its own: Ctrl-C and a closed terminal do not reach it.

    Args:
        command: program and arguments.
        output: file for what it prints; what was in it is replaced.
    """
    with output.open("wb") as file:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=output.parent,
        )
    _children[child.pid] = (child, command)
    return child.pid


def is_running(pid: int, word: str) -> bool:
    """Whether the pid lives, and one of the words of its command line is `word`."""
    child, command = _children.get(pid, (None, []))
    if child and child.poll() is None:
        # Right after the start /proc shows no command line yet.
        return word in command
    return pid > 0 and word in _command_line(pid)


def stop_process(pid: int, word: str, timeout_seconds: float) -> bool:
    """Whether the process is gone: asked to end, and killed if it has not ended after `timeout_seconds`.

    Raises:
        PermissionError: it belongs to another user.
    """
    for number, seconds in ((signal.SIGTERM, timeout_seconds), (signal.SIGKILL, 10.0)):
        if not is_running(pid, word):
            return True
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return True
        deadline = time.monotonic() + seconds
        while is_running(pid, word) and time.monotonic() < deadline:
            time.sleep(0.05)
    return not is_running(pid, word)


def _command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        if Path("/proc/self/cmdline").exists():
            return []
    # macOS has no /proc; its ps separates arguments by blanks, which a path may hold too.
    shown = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return [shown.stdout.strip(), *shown.stdout.split(), shown.stdout.strip().partition(" kafka.Kafka ")[2]]

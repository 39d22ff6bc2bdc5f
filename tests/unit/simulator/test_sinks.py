from __future__ import annotations

import io
from pathlib import Path

import pytest

from sluice.errors import DependencyError, UsageError
from sluice.simulator.sinks import FileSink, LineSink


def test_a_file_gets_one_line_per_message_without_keys(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "events.jsonl")
    for number in range(5000):
        sink.send(b"key", b"%d" % number)
    sink.close()
    sink.close()
    assert (tmp_path / "events.jsonl").read_bytes() == b"".join(b"%d\n" % number for number in range(5000))


def test_a_push_makes_everything_taken_visible() -> None:
    stream = io.BytesIO()
    sink = LineSink(stream)
    sink.send(None, b"\xff")
    assert stream.getvalue() == b""
    sink.push()
    assert stream.getvalue() == b"\xff\n"


def test_a_file_that_cannot_be_opened_is_a_named_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot write .*No such file"):
        FileSink(tmp_path / "missing" / "events.jsonl")


def test_a_full_disk_is_a_named_error() -> None:
    sink = FileSink(Path("/dev/full"))
    sink.send(None, b"event")
    with pytest.raises(DependencyError, match="cannot write the events: No space left on device"):
        sink.close()

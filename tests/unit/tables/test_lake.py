from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sluice.errors import EXIT_DEPENDENCY, LakeTooNew, LayerLocked
from sluice.schemas import BRONZE_EVENTS, LAKE_FORMAT
from sluice.tables.lake import Lake, layer_owner, own_layer, write_atomically

# Owns the layer, says so, and keeps it until its input ends or it is killed.
OWN = """
import sys
from pathlib import Path
from sluice.tables.lake import Lake, own_layer
with own_layer(Lake(Path(sys.argv[1])), sys.argv[2]):
    print("owned", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_owner(lake: Lake, layer: str) -> Iterator[subprocess.Popen[str]]:
    """A second process that owns the layer."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWN, str(lake.path), layer], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "owned\n"
        yield process
    finally:
        process.kill()
        process.communicate(timeout=30)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def test_a_layer_that_another_process_owns_is_refused_naming_process_and_host(lake: Lake) -> None:
    with another_owner(lake, "silver") as other, pytest.raises(LayerLocked) as refused, own_layer(lake, "silver"):
        pytest.fail("two processes own one layer")
    assert refused.value.exit_code == EXIT_DEPENDENCY
    assert f"process {other.pid} on {os.uname().nodename} since 20" in refused.value.message
    assert refused.value.hint


def test_the_owner_of_a_layer_is_known_while_it_lives(lake: Lake) -> None:
    assert layer_owner(lake, "silver") is None
    with another_owner(lake, "silver") as other:
        owner = layer_owner(lake, "silver")
        assert owner is not None
        assert (owner.pid, owner.host) == (other.pid, os.uname().nodename)
        # Asking twice neither takes the lock nor loses it.
        assert layer_owner(lake, "silver") == owner
    assert layer_owner(lake, "silver") is None


def test_a_killed_owner_leaves_nothing_that_keeps_the_next_one_out(lake: Lake) -> None:
    with another_owner(lake, "silver") as other:
        other.kill()
        other.wait(timeout=30)
        with own_layer(lake, "silver"):
            # What the killed one wrote, longer or shorter, is gone.
            assert json.loads(lake.lock_path("silver").read_text("utf-8"))["pid"] == os.getpid()


def test_an_owner_that_ends_lets_the_next_one_in(lake: Lake) -> None:
    with another_owner(lake, "silver") as other:
        other.communicate("", timeout=30)
        assert other.returncode == 0
        with own_layer(lake, "silver"), another_owner(lake, "gold"):
            assert layer_owner(lake, "gold") is not None


def test_a_layer_is_free_again_after_an_error_in_the_block(lake: Lake) -> None:
    with pytest.raises(ZeroDivisionError), own_layer(lake, "gold"):
        raise ZeroDivisionError
    with own_layer(lake, "gold"):
        pass


def test_layers_and_lakes_are_owned_apart(lake: Lake, tmp_path: Path) -> None:
    with another_owner(lake, "silver"), own_layer(lake, "gold"), own_layer(Lake(tmp_path / "other"), "silver"):
        pass


def test_one_process_cannot_own_a_layer_twice(lake: Lake) -> None:
    with own_layer(lake, "bronze"), pytest.raises(LayerLocked), own_layer(lake, "bronze"):
        pytest.fail("owned twice")


def test_an_owner_that_has_not_said_who_it_is_still_keeps_others_out(lake: Lake) -> None:
    with another_owner(lake, "silver"):
        lake.lock_path("silver").write_text("")
        owner = layer_owner(lake, "silver")
        assert owner is not None
        assert owner.pid == 0
        with pytest.raises(LayerLocked, match="is owned by another process"), own_layer(lake, "silver"):
            pytest.fail("two processes own one layer")


def test_a_new_lake_is_marked_with_its_format_once(lake: Lake) -> None:
    lake.prepare()
    mark = lake.path / "_sluice.json"
    assert json.loads(mark.read_text("utf-8")) == {"lake_format": LAKE_FORMAT}
    before = mark.stat().st_mtime_ns
    lake.prepare()
    assert mark.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "text", [json.dumps({"lake_format": LAKE_FORMAT + 1}), "", "{}", "[1]", "null", '{"lake_format": "1"}', "\x00"]
)
def test_a_lake_of_a_newer_or_unreadable_format_is_left_alone(lake: Lake, text: str) -> None:
    lake.path.mkdir()
    (lake.path / "_sluice.json").write_text(text)
    for refuses in (lake.check_format, lake.prepare):
        with pytest.raises(LakeTooNew, match=f"knows up to {LAKE_FORMAT}") as refused:
            refuses()
        assert str(lake.path) in refused.value.message
        assert refused.value.hint
    assert (lake.path / "_sluice.json").read_text() == text


def test_a_folder_without_mark_is_a_new_lake(lake: Lake) -> None:
    lake.check_format()
    lake.path.mkdir()
    lake.check_format()


def test_a_table_is_there_once_it_has_a_log(lake: Lake) -> None:
    assert not lake.has_table(BRONZE_EVENTS)
    (lake.path / "bronze" / "events").mkdir(parents=True)
    assert not lake.has_table(BRONZE_EVENTS)
    (lake.path / "bronze" / "events" / "_delta_log").mkdir()
    assert lake.has_table(BRONZE_EVENTS)
    assert lake.table_path(BRONZE_EVENTS) == str(lake.path / "bronze" / "events")


def test_bookkeeping_lies_beside_the_tables(lake: Lake) -> None:
    assert lake.checkpoint_path("silver") == lake.path / "_checkpoints" / "silver"
    assert lake.lock_path("silver") == lake.path / "_locks" / "silver"


def test_a_file_is_written_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.json"
    write_atomically(path, "first, ü")
    write_atomically(path, "second")
    assert path.read_text("utf-8") == "second"
    assert [each.name for each in path.parent.iterdir()] == ["file.json"]


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path, texts = tmp_path / "file", {letter * 100_000 for letter in "abc"}
    write_atomically(path, "a" * 100_000)
    seen: set[str] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(path.read_text("utf-8"))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(30):
        for text in sorted(texts):
            write_atomically(path, text)
    done.set()
    reader.join()
    assert seen
    assert seen <= texts


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "new")
    assert path.read_text("utf-8") == "old"

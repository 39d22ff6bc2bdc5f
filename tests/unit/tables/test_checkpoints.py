from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sluice.errors import CheckpointLost
from sluice.tables.checkpoints import (
    delta_version,
    generation_of,
    kafka_offsets,
    read_versions,
    whole_version,
)


def delta_offset(version: int, index: int) -> dict[str, Any]:
    """The line that Delta's source writes for a batch's end."""
    return {
        "sourceVersion": 1,
        "reservoirId": "7d1f",
        "reservoirVersion": version,
        "index": index,
        "isStartingVersion": False,
    }


def checkpoint_with(path: Path, offsets: dict[int, Any], commits: tuple[int, ...] = ()) -> Path:
    """A checkpoint folder as Spark writes it: a version line, metadata, then the source's offset."""
    for folder in ("offsets", "commits"):
        (path / folder).mkdir(parents=True)
    for batch_id, offset in offsets.items():
        lines = ["v1", json.dumps({"batchWatermarkMs": 0}), json.dumps(offset)]
        (path / "offsets" / str(batch_id)).write_text("\n".join(lines))
    for batch_id in commits:
        (path / "commits" / str(batch_id)).write_text('v1\n{"nextBatchWatermarkMs":0}')
        (path / "commits" / f".{batch_id}.crc").write_bytes(b"crc")
    return path


def test_a_generation_is_made_once_and_another_checkpoint_has_another(tmp_path: Path) -> None:
    first = generation_of(tmp_path / "a", has_history=False, layer="silver")
    assert len(first) == 12
    assert generation_of(tmp_path / "a", has_history=False, layer="silver") == first
    assert generation_of(tmp_path / "a", has_history=True, layer="silver") == first
    assert generation_of(tmp_path / "b", has_history=False, layer="silver") != first


@pytest.mark.parametrize("left", [None, "", " \n"])
def test_tables_with_rows_and_a_checkpoint_without_generation_do_not_go_on(tmp_path: Path, left: str | None) -> None:
    if left is not None:
        (tmp_path / "generation").write_text(left)
    with pytest.raises(CheckpointLost, match="is gone, but the tables of silver hold its rows") as lost:
        generation_of(tmp_path, has_history=True, layer="silver")
    assert str(tmp_path) in lost.value.message
    assert lost.value.hint


def test_a_batch_begins_after_the_version_in_which_the_one_before_it_ended(tmp_path: Path) -> None:
    # index -1 stands before the first file of its version; any other is within it, so that is not read whole.
    offsets = {0: delta_offset(4, -1), 1: delta_offset(6, 2), 2: delta_offset(9, -1), 3: delta_offset(9, -1)}
    checkpoint = checkpoint_with(tmp_path, offsets)
    assert read_versions(checkpoint, 0) == (0, 3)
    assert read_versions(checkpoint, 1) == (4, 5)
    assert read_versions(checkpoint, 2) == (6, 8)
    # A batch that ends where it began has no version of its own.
    assert read_versions(checkpoint, 3) == (9, 8)


def test_an_offset_that_cannot_be_read_gives_no_version(tmp_path: Path) -> None:
    checkpoint = checkpoint_with(tmp_path, {1: delta_offset(6, 2)})
    for text in ("", "v1\n{}\n", "v1\n{}\n[1]", "v1\n{}\n{", 'v1\n{}\n{"iot.raw":{"0":1}}', "\x00"):
        (checkpoint / "offsets" / "2").write_text(text)
        assert read_versions(checkpoint, 2) == (6, None)
    assert read_versions(checkpoint, 3) == (None, None)
    assert read_versions(checkpoint, 0) == (0, None)


@pytest.mark.parametrize(
    ("version", "index", "is_starting", "whole"),
    [(7, -1, False, 6), (7, 0, False, 6), (0, -1, False, -1), (7, -1, True, -1), (7, 2, True, -1)],
)
def test_a_version_was_read_whole_once_the_next_one_is_begun(
    tmp_path: Path, version: int, index: int, is_starting: bool, whole: int
) -> None:
    offset = {**delta_offset(version, index), "isStartingVersion": is_starting}
    checkpoint = checkpoint_with(tmp_path, {4: offset})
    (checkpoint / "generation").write_text("abc\n")
    assert whole_version(checkpoint, "abc", 4) == whole
    assert whole_version(checkpoint, "another", 4) is None
    assert whole_version(checkpoint, "abc", 5) is None
    assert whole_version(tmp_path / "absent", "abc", 4) is None


def test_kafka_offsets_are_those_of_the_last_committed_batch(tmp_path: Path) -> None:
    offsets = {batch: {"iot.raw": {"0": 10 * batch, "3": batch}} for batch in (8, 9, 10, 11)}
    checkpoint = checkpoint_with(tmp_path, offsets, commits=(8, 9, 10))
    assert kafka_offsets(checkpoint) == {"iot.raw": {0: 100, 3: 10}}


def test_the_delta_version_is_that_of_the_last_committed_batch(tmp_path: Path) -> None:
    offsets = {9: delta_offset(5, 1), 10: delta_offset(7, -1), 11: delta_offset(9, 0)}
    assert delta_version(checkpoint_with(tmp_path, offsets, commits=(9, 10))) == 6


def test_a_checkpoint_that_committed_nothing_has_no_offsets(tmp_path: Path) -> None:
    checkpoint = checkpoint_with(tmp_path / "a", {0: {"iot.raw": {"0": 5}}})
    assert kafka_offsets(checkpoint) == kafka_offsets(tmp_path / "absent") == {}
    assert delta_version(checkpoint) is delta_version(tmp_path / "absent") is None

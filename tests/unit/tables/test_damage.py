"""Every fault of a checkpoint has its sentence, and a checkpoint that is only behind has none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.tables.streamed_lake import streamed_lake, write_batch, write_commit

from sluice.errors import EXIT_NOT_ALL_RIGHT, CheckpointDamaged, CheckpointLost, LakeMissing
from sluice.schemas import BRONZE_EVENTS, LAYERS, OPS_SILVER_PROMOTIONS
from sluice.tables.damage import find_damage, require_whole
from sluice.tables.lake import Lake


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return streamed_lake(tmp_path_factory.mktemp("pristine") / "lake")


@pytest.fixture
def lake(pristine: Lake, tmp_path: Path) -> Lake:
    shutil.copytree(pristine.path, tmp_path / "lake")
    return Lake(tmp_path / "lake")


def change(path: Path, before: str, after: str) -> None:
    text = path.read_text("utf-8")
    assert before in text
    path.write_text(text.replace(before, after), "utf-8")


def cut(path: Path) -> None:
    path.write_text(path.read_text("utf-8")[:-5], "utf-8")


Fault = Callable[[Path], object]

FAULTS: list[tuple[str, Fault, str, str]] = [
    ("offsets emptied", lambda c: (c / "offsets/2").write_text(""), "offsets/2", "is empty"),
    ("offsets cut off", lambda c: cut(c / "offsets/2"), "offsets/2", "is cut off or was changed: it cannot be read"),
    ("offsets before cut off", lambda c: cut(c / "offsets/1"), "offsets/1", "is cut off or was changed"),
    ("offsets half a line", lambda c: (c / "offsets/2").write_text('v1\n{"a":'), "offsets/2", "is cut off"),
    ("commits emptied", lambda c: (c / "commits/2").write_text(""), "commits/2", "is empty"),
    ("commits cut off", lambda c: cut(c / "commits/2"), "commits/2", "is cut off"),
    ("commits garbage", lambda c: (c / "commits/2").write_text("garbage\n{}"), "commits/2", "is cut off"),
    ("newest offsets deleted", lambda c: (c / "offsets/2").unlink(), "offsets/2", "is missing"),
    (
        "newest offsets and commits deleted",
        lambda c: [(c / "offsets/2").unlink(), (c / "commits/2").unlink()],
        "offsets/2",
        "is missing",
    ),
    ("offsets before deleted", lambda c: (c / "offsets/1").unlink(), "offsets/1", "is missing"),
    ("all offsets deleted", lambda c: shutil.rmtree(c / "offsets"), "offsets/2", "is missing"),
    (
        "offsets, commits and what was kept deleted",
        lambda c: [shutil.rmtree(c / "offsets"), shutil.rmtree(c / "commits"), (c / "sealed.json").unlink()],
        "offsets/2",
        "is missing",
    ),
    ("all commits deleted", lambda c: shutil.rmtree(c / "commits"), "commits/1", "is missing"),
    ("metadata deleted", lambda c: (c / "metadata").unlink(), "metadata", "is missing"),
    ("metadata emptied", lambda c: (c / "metadata").write_text(""), "metadata", "is empty"),
    ("what was kept cut off", lambda c: cut(c / "sealed.json"), "sealed.json", "cannot be read"),
    ("the breaker cut off", lambda c: (c / "breaker.json").write_text('{"st'), "breaker.json", "is cut off"),
]


@pytest.mark.parametrize("layer", ["bronze", "silver"])
@pytest.mark.parametrize(("fault", "file", "what"), [each[1:] for each in FAULTS], ids=[each[0] for each in FAULTS])
def test_each_fault_is_refused_naming_the_file_and_the_command(
    lake: Lake, layer: str, fault: Fault, file: str, what: str
) -> None:
    checkpoint = lake.checkpoint_path(layer)
    fault(checkpoint)
    with pytest.raises(CheckpointDamaged) as refused:
        require_whole(lake, layer)
    found = refused.value
    assert found.message.startswith(f"the checkpoint of {layer} is damaged: {checkpoint / file} {what}")
    assert found.hint.startswith(f"sluice recover {layer} ")
    assert found.exit_code == EXIT_NOT_ALL_RIGHT
    assert all(find_damage(lake, other) == [] for other in LAYERS if other != layer)


@pytest.mark.parametrize(
    ("layer", "before", "after"),
    [("bronze", '"0":6', '"0":5'), ("bronze", '"1":3', '"1":9'), ("silver", 'Version":4', 'Version":3')],
)
@pytest.mark.parametrize("is_committed", [True, False])
def test_a_changed_digit_of_a_batch_that_began_is_seen(
    lake: Lake, layer: str, before: str, after: str, is_committed: bool
) -> None:
    if not is_committed:
        (lake.checkpoint_path(layer) / "commits" / "2").unlink()
    change(lake.checkpoint_path(layer) / "offsets" / "2", before, after)
    with pytest.raises(CheckpointDamaged, match="offsets/2 was changed since batch 2 began"):
        require_whole(lake, layer)


def test_a_changed_digit_of_the_offsets_before_the_newest_is_seen(lake: Lake) -> None:
    change(lake.checkpoint_path("bronze") / "offsets" / "1", '"0":4', '"0":3')
    with pytest.raises(CheckpointDamaged, match="offsets/1 was changed since batch 1 began"):
        require_whole(lake, "bronze")


@pytest.mark.parametrize(
    ("layer", "before", "after"),
    [("bronze", '"0":8', '"0":1'), ("silver", 'Version":5', 'Version":95'), ("silver", 'Version":5', 'Version":1')],
)
def test_a_batch_that_was_planned_and_not_begun_must_end_where_it_can(
    lake: Lake, layer: str, before: str, after: str
) -> None:
    path = write_batch(lake, layer, 3, seal=False)
    if layer == "bronze":
        assert find_damage(lake, layer) == []
    change(path, before, after)
    with pytest.raises(CheckpointDamaged, match=r"offsets/3 was changed: a batch cannot end there"):
        require_whole(lake, layer)


def test_a_lost_checkpoint_is_named_and_so_is_one_without_its_generation(lake: Lake) -> None:
    checkpoint = lake.checkpoint_path("silver")
    (checkpoint / "generation").write_text(" \n")
    with pytest.raises(CheckpointLost, match=r"checkpoint .*silver is gone, but the tables of silver hold its rows"):
        require_whole(lake, "silver")
    shutil.rmtree(checkpoint)
    with pytest.raises(CheckpointLost) as lost:
        require_whole(lake, "silver")
    assert (str(checkpoint) in lost.value.message, "sluice recover silver" in lost.value.hint) == (True, True)


def test_a_table_that_was_put_back_to_an_earlier_state_does_not_fit(lake: Lake) -> None:
    log = Path(lake.table_path(OPS_SILVER_PROMOTIONS)) / "_delta_log"
    (log / f"{3:020d}.json").unlink()
    with pytest.raises(CheckpointDamaged, match="silver_promotions does not have batch 2, which the checkpoint"):
        require_whole(lake, "silver")


def test_a_table_above_that_was_put_back_to_an_earlier_state_does_not_fit(lake: Lake) -> None:
    log = Path(lake.table_path(BRONZE_EVENTS)) / "_delta_log"
    for version in (2, 3):
        (log / f"{version:020d}.json").unlink()
    with pytest.raises(CheckpointDamaged, match="offsets/2 ends in what the table above it does not have"):
        require_whole(lake, "silver")


def test_several_faults_are_counted_and_the_first_is_shown(lake: Lake) -> None:
    checkpoint = lake.checkpoint_path("gold")
    (checkpoint / "metadata").unlink()
    (checkpoint / "offsets" / "2").write_text("")
    assert [fault.path.name for fault in find_damage(lake, "gold")] == ["metadata", "2"]
    with pytest.raises(CheckpointDamaged, match=r"metadata is missing \(and 1 more: sluice doctor\)"):
        require_whole(lake, "gold")


def test_what_a_kill_or_a_stray_file_leaves_is_no_damage(lake: Lake) -> None:
    bronze = lake.checkpoint_path("bronze")
    for name in (".3.4711.tmp", "3.tmp", ".2.crc", "_tmp_3", "3.bak"):
        (bronze / "offsets" / name).write_text("{")
    (bronze / "commits" / "2").unlink()
    assert find_damage(lake, "bronze") == []
    write_commit(lake, "bronze", 2)
    write_batch(lake, "bronze", 3)
    assert find_damage(lake, "bronze") == []


def test_a_lake_that_was_never_started_or_not_sealed_yet_is_whole(lake: Lake, tmp_path: Path) -> None:
    assert [find_damage(Lake(tmp_path / "none"), layer) for layer in LAYERS] == [[], [], []]
    for layer in LAYERS:
        (lake.checkpoint_path(layer) / "sealed.json").unlink()
        assert find_damage(lake, layer) == []


def test_what_is_kept_is_that_of_the_newest_two_batches(lake: Lake) -> None:
    kept = json.loads((lake.checkpoint_path("silver") / "sealed.json").read_text())
    assert sorted(kept) == ["1", "2"]
    assert kept["2"] == (lake.checkpoint_path("silver") / "offsets" / "2").read_text()


def test_a_decision_that_a_start_must_finish_is_looked_at(lake: Lake) -> None:
    decisions = lake.checkpoint_path("silver") / "decisions"
    decisions.mkdir()
    (decisions / "silver-500000000000-1.json").write_text("{")
    assert find_damage(lake, "silver") == []
    (decisions / "silver-500000000000-2.json").write_text("{")
    with pytest.raises(CheckpointDamaged, match=r"silver-500000000000-2.json is cut off"):
        require_whole(lake, "silver")


def test_a_table_whose_log_cannot_be_read_is_an_error_of_its_own(lake: Lake) -> None:
    for commit in (Path(lake.table_path(OPS_SILVER_PROMOTIONS)) / "_delta_log").glob("*.json"):
        commit.write_text("{")
    with pytest.raises(LakeMissing, match=r"ops\.silver_promotions cannot be read"):
        require_whole(lake, "silver")

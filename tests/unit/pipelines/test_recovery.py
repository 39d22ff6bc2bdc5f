"""A rebuilt checkpoint says where the tables say that the layer stands; without Spark."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from deltalake import DeltaTable
from tests.unit.serving.lake_builder import at, bronze
from tests.unit.tables.streamed_lake import GENERATIONS, append_rows, offset_of, streamed_lake

from sluice.cli import run_command
from sluice.errors import LayerLocked, UsageError
from sluice.pipelines.recovery import GAP, Acceptance, Recovery, recover_layer
from sluice.pipelines.unfinished import Unfinished, find_unfinished
from sluice.schemas import BRONZE_EVENTS, LAYERS, OPS_GOLD_PROMOTIONS, OPS_SILVER_PROMOTIONS, SILVER_QUARANTINE
from sluice.settings import Settings, load_settings
from sluice.tables.checkpoints import kafka_offsets, parse_offsets, read_generation, read_versions
from sluice.tables.damage import find_damage
from sluice.tables.lake import Lake, own_layer
from sluice.tables.rebuild import read_start
from sluice.tables.topics import ReadTopic, keep_topic, read_topic


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return streamed_lake(tmp_path_factory.mktemp("pristine") / "lake")


@pytest.fixture
def lake(pristine: Lake, tmp_path: Path) -> Lake:
    shutil.copytree(pristine.path, tmp_path / "lake")
    return Lake(tmp_path / "lake")


@pytest.fixture
def settings(lake: Lake, tmp_path: Path) -> Settings:
    options = {"lake.path": str(lake.path), "broker.data_path": str(tmp_path / "broker")}
    return load_settings(options=options, environment={})


def recover(settings: Settings, layer: str) -> Recovery:
    """Recovers; what a start would refuse is gone afterwards."""
    recovery = recover_layer(settings, layer)
    assert recovery.rebuilt
    assert find_damage(Lake(settings.lake.path), layer) == []
    return recovery


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("is_lost", [False, True])
def test_a_rebuilt_checkpoint_goes_on_where_the_tables_end(
    lake: Lake, settings: Settings, layer: str, is_lost: bool
) -> None:
    checkpoint = lake.checkpoint_path(layer)
    if is_lost:
        shutil.rmtree(checkpoint)
    else:
        (checkpoint / "offsets" / "2").write_text("")
    recovery = recover(settings, layer)
    # Bronze has no ledger that would tell of batch 2, and needs no more than an id that is free.
    last = 1 if is_lost and layer == "bronze" else 2
    assert parse_offsets((checkpoint / "offsets" / str(last)).read_text()) == offset_of(lake, layer, 2)
    assert (checkpoint / "commits" / str(last)).is_file()
    assert read_generation(checkpoint) not in (None, GENERATIONS[layer])
    assert (recovery.set_aside is None) == is_lost
    if recovery.set_aside:
        assert (Path(recovery.set_aside) / "offsets" / "2").read_text() == ""


def test_what_a_gate_keeps_is_taken_over_but_for_what_cannot_be_read(lake: Lake, settings: Settings) -> None:
    checkpoint = lake.checkpoint_path("silver")
    for folder in ("decisions", "configs"):
        (checkpoint / folder).mkdir()
    (checkpoint / "decisions" / "whole.json").write_text("{}")
    (checkpoint / "decisions" / "cut.json").write_text("{")
    (checkpoint / "configs" / "suite-1").write_text("any text")
    (checkpoint / "breaker.json").write_text('{"state": "open"}')
    (checkpoint / "metadata").unlink()
    recover(settings, "silver")
    found = {str(path.relative_to(checkpoint)) for path in checkpoint.rglob("*") if path.is_file()}
    assert {"decisions/whole.json", "configs/suite-1", "breaker.json", "sealed.json"} <= found
    assert "decisions/cut.json" not in found


def test_silver_remembers_which_records_were_decided(lake: Lake, settings: Settings) -> None:
    shutil.rmtree(lake.checkpoint_path("silver"))
    recover(settings, "silver")
    start = read_start(lake.checkpoint_path("silver"))
    assert start is not None
    assert start.decided == {"iot.raw:1:0": 5, "iot.raw:1:1": 2}
    assert read_versions(lake.checkpoint_path("silver"), 3)[0] == 4


def test_where_the_log_above_no_longer_reaches_back_all_rows_are_read(lake: Lake, settings: Settings) -> None:
    append_rows(lake, BRONZE_EVENTS, [bronze(6)])
    append_rows(lake, BRONZE_EVENTS, [bronze(7)])
    DeltaTable(lake.table_path(BRONZE_EVENTS)).create_checkpoint()
    for version in range(5):
        (Path(lake.table_path(BRONZE_EVENTS)) / "_delta_log" / f"{version:020d}.json").unlink()
    recovery = recover_layer(settings, "silver", force=True)
    offset = parse_offsets((lake.checkpoint_path("silver") / "offsets" / "2").read_text())
    assert (offset["reservoirVersion"], offset["index"], offset["isStartingVersion"]) == (5, -1, True)
    assert recovery.goes_on == "with all rows of bronze.events, after batch 2"


def test_a_layer_that_has_decided_nothing_begins_anew(tmp_path: Path, lake: Lake, settings: Settings) -> None:
    shutil.rmtree(Path(lake.table_path(OPS_GOLD_PROMOTIONS)))
    recovery = recover(settings, "gold")
    assert recovery.goes_on == "from the beginning"
    assert not (lake.checkpoint_path("gold") / "offsets").exists()


def test_bronze_keeps_its_topic_and_takes_from_the_ledger_what_it_no_longer_holds(
    lake: Lake, settings: Settings
) -> None:
    keep_topic(lake, ReadTopic("iot.raw", "id", "cluster"))
    shutil.rmtree(lake.checkpoint_path("bronze"))
    DeltaTable(lake.table_path(BRONZE_EVENTS)).delete("partition = 1")
    recover(settings, "bronze")
    assert read_topic(lake) == ReadTopic("iot.raw", "id", "cluster")
    assert kafka_offsets(lake.checkpoint_path("bronze")) == {"iot.raw": {0: 6, 1: 3}}


def test_bronze_goes_on_in_the_newest_generation_alone(lake: Lake, settings: Settings) -> None:
    append_rows(lake, BRONZE_EVENTS, [bronze(0, topic_generation=2), bronze(1, topic_generation=2)])
    shutil.rmtree(lake.checkpoint_path("bronze"))
    recover(settings, "bronze")
    assert kafka_offsets(lake.checkpoint_path("bronze")) == {"iot.raw": {0: 2}}
    topic = read_topic(lake)
    assert topic is not None
    assert (topic.generation, topic.topic_id) == (2, None)


def test_a_rebuild_that_was_killed_half_way_is_done_again(lake: Lake, settings: Settings) -> None:
    checkpoint = lake.checkpoint_path("silver")
    (checkpoint / "configs").mkdir()
    (checkpoint / "configs" / "suite-1").write_text("any text")
    # Killed after the old folder was set aside and before the new one took its place.
    checkpoint.rename(checkpoint.with_name(".silver.aaaaaaaaaaaa"))
    recover(settings, "silver")
    assert (checkpoint / "configs" / "suite-1").read_text() == "any text"
    assert [path.name for path in checkpoint.parent.glob(".silver*")] == []


def test_rows_without_a_ledger_row_are_found(lake: Lake) -> None:
    row = {"topic": "iot.raw", "topic_generation": 1, "partition": 0, "error_code": "NOT_JSON", "status": "open"}
    offsets = [{**row, "offset": 7, "promotion_id": "silver-500000000000-3"}]
    offsets += [{**row, "offset": offset, "promotion_id": "silver-500000000000-1"} for offset in (2, 3)]
    append_rows(lake, SILVER_QUARANTINE, offsets)
    assert find_unfinished(lake) == [Unfinished("silver-500000000000-3", {"iot.raw:1:0": 7})]
    row = {"promotion_id": "silver-500000000000-3", "kind": "batch", "batch_id": 3, "decided_at": at("12:01:00")}
    append_rows(lake, OPS_SILVER_PROMOTIONS, [row])
    assert find_unfinished(lake) == []


def test_a_whole_checkpoint_is_left_alone_and_can_be_rebuilt_all_the_same(lake: Lake, settings: Settings) -> None:
    before = read_generation(lake.checkpoint_path("gold"))
    assert recover_layer(settings, "gold") == Recovery("gold", [])
    assert read_generation(lake.checkpoint_path("gold")) == before
    assert recover_layer(settings, "gold", force=True).rebuilt
    assert find_damage(lake, "gold") == []


def test_what_cannot_be_recovered_is_said(lake: Lake, settings: Settings) -> None:
    with pytest.raises(UsageError, match="unknown layer platinum"):
        recover_layer(settings, "platinum")
    with pytest.raises(UsageError, match="silver reads no topic"):
        recover_layer(settings, "silver", accept=Acceptance(GAP, "ann", "disk"))
    with own_layer(lake, "gold"), pytest.raises(LayerLocked):
        recover_layer(settings, "gold", force=True)


def test_the_command_tells_people_and_programs_what_it_did(
    lake: Lake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLUICE_LAKE__PATH", str(lake.path))
    offsets = lake.checkpoint_path("silver") / "offsets" / "2"
    offsets.write_text("")
    assert run_command(["recover", "silver"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"was wrong: {offsets} is empty"
    assert lines[1].startswith(f"set aside: {lake.path / '_checkpoints' / 'set_aside' / 'silver-'}")
    assert lines[2] == "silver goes on with bronze.events version 4, after batch 2: sluice run"
    assert run_command(["recover", "silver"]) == 0
    assert capsys.readouterr().out == "the checkpoint of silver is whole; nothing was done\n"
    shutil.rmtree(lake.checkpoint_path("bronze"))
    assert run_command(["recover", "bronze", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["rebuilt"], answer["set_aside"], len(answer["damage"])) == (True, None, 1)
    assert run_command(["recover", "bronze", "--accept-gap"]) == 2
    assert "--by and --why must say something" in capsys.readouterr().err


def test_a_start_is_refused_before_spark_is_started_for_it(
    lake: Lake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLUICE_LAKE__PATH", str(lake.path))
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    monkeypatch.setenv("PATH", "/nowhere")
    commits = lake.checkpoint_path("silver") / "commits" / "2"
    commits.write_text("")
    assert run_command(["run", "--once", "--layers", "silver"]) == 1
    told, hint = capsys.readouterr().err.splitlines()
    assert told == f"sluice: the checkpoint of silver is damaged: {commits} is empty"
    assert hint == "  next: sluice recover silver rebuilds it from the tables, and keeps what is left of it"

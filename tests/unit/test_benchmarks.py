"""What the benchmarks' figures rest on: what is sent and when, what counts as late, and that names are checked."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
from benchmarks import __main__ as program
from benchmarks.encoded import Phase, decode, encode, paced
from benchmarks.live import Observer
from benchmarks.load import backlog
from benchmarks.readable import Readable, readable_by_layer

from sluice.schemas import (
    BRONZE_EVENTS,
    GOLD_READINGS_1MIN,
    LAYERS,
    OPS_GOLD_PROMOTIONS,
    SILVER_READINGS,
    Table,
)
from sluice.simulator.stream import message_batches
from sluice.tables.delta import Transaction
from sluice.tables.lake import Lake
from sluice.tables.rows import append_rows, create_table


def test_messages_are_sent_as_the_plan_has_them(tmp_path: Path) -> None:
    plan = backlog(20_000)
    encode(plan, tmp_path / "events")
    wanted = [pair for batch in message_batches(plan) for pair in zip(batch.keys, batch.values, strict=True)]
    assert [pair for some in decode(tmp_path / "events") for pair in some] == wanted


def test_phases_leave_at_their_rates_one_after_the_other_and_what_is_left_over_stays() -> None:
    messages = [(b"", bytes([number])) for number in range(50)]
    phases = [Phase(rate=100, events=3), Phase(rate=1000, events=15)]
    left = [(round(due, 6), len(some)) for due, some in paced([messages[:7], messages[7:]], phases)]
    # A hundredth of a second's messages at a time, and none across two batches of the file.
    assert left == [(0.0, 1), (0.01, 1), (0.02, 1), (0.03, 4), (0.034, 10), (0.044, 1)]


def test_lag_counts_what_was_sent_by_a_moment_and_could_not_be_read_then() -> None:
    found = Readable(sent=np.array([0.0, 1.0, 2.0, 3.0]), readable=np.array([1.5, 4.0, 2.5, 4.0]), share=0.5)
    assert found.lag(np.array([0.0, 1.0, 2.0, 3.0, 4.0])).tolist() == [2, 4, 4, 4, 0]
    assert found.since(2.0).latency.tolist() == [0.5, 1.0]


def test_an_event_can_be_read_from_the_first_commit_of_each_layer_on_that_holds_it(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for table in (BRONZE_EVENTS, SILVER_READINGS, GOLD_READINGS_1MIN, OPS_GOLD_PROMOTIONS):
        create_table(lake, table)

    def add(table: Table, batch: int, **row: object) -> None:
        append_rows([row], lake, table, Transaction("gold:0123456789ab", batch))

    for batch, second in enumerate((10, 20, 30)):
        sent = datetime(1970, 1, 1, 0, 0, second, 500_000, tzinfo=timezone.utc)
        add(BRONZE_EVENTS, batch, kafka_timestamp=sent, ingest_date=sent.date())
        add(SILVER_READINGS, batch, kafka_timestamp=sent, event_date=sent.date())
    # The first promotion of gold reads nothing, the second two commits of silver, and the third the last.
    for batch, end in ((0, 0), (1, 2), (2, 3)):
        add(OPS_GOLD_PROMOTIONS, batch, batch_id=batch, to_version=end)
    for batch in (1, 2):
        add(GOLD_READINGS_1MIN, batch, device_id="d")
    seen = {
        BRONZE_EVENTS.full_name: {0: 1.0, 1: 11.0, 2: 21.0, 3: 31.0},
        SILVER_READINGS.full_name: {0: 2.0, 1: 13.0, 2: 22.0, 3: 32.0},
        GOLD_READINGS_1MIN.full_name: {0: 3.0, 1: 25.0, 2: 36.0},
    }

    found = readable_by_layer(Observer(lake, seen), events=3)

    assert {layer: each.sent.tolist() for layer, each in found.items()} == {key: [10.5, 20.5, 30.5] for key in LAYERS}
    assert {layer: each.latency.tolist() for layer, each in found.items()} == {
        "bronze": [0.5, 0.5, 0.5],
        "silver": [2.5, 1.5, 1.5],
        "gold": [14.5, 4.5, 5.5],
    }


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """`python -m benchmarks …`: its exit code, and what it printed."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments])
        try:
            code = program.main()
        except SystemExit as left:
            code = int(left.code or 0)
        return code, *capsys.readouterr()

    return call


def test_an_unknown_case_is_named_with_those_there_are(run: Callable[..., tuple[int, str, str]]) -> None:
    code, _, errors = run("nosuch")
    assert code == 2
    assert "unknown case nosuch; there are drain, steady," in errors


def test_an_unknown_contender_is_named_with_those_there_are(
    run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BENCH_CONTENDERS", "sluice,nosuch")
    code, _, errors = run("drain", "--output", str(tmp_path / "figures.json"))
    assert code == 2
    assert errors.splitlines() == [
        "python -m benchmarks: BENCH_CONTENDERS: unknown contender 'nosuch'",
        "  next: there are sluice, plain_spark, hand_made, flink_sql, limits",
    ]


def test_the_same_figures_give_the_same_pictures(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    line = {"MiB by micro-batch": [[0.0, 300.0], [10.0, 310.0]]}
    series = [{"name": "the process", "seconds": [1.0, 3.0, 2.0], "lines": line}]
    (tmp_path / "figures.json").write_text(json.dumps({"machine": {"cores": 2}, "events": {}, "batches": series}))
    names = ("batches.svg", "batches-mib-by-micro-batch.svg")
    for folder in ("first", "second"):
        code, printed, _ = run("picture", str(tmp_path / "figures.json"), "--to", str(tmp_path / folder))
        assert (code, printed.splitlines()) == (0, [str(tmp_path / folder / name) for name in names])
    for name in names:
        text = (tmp_path / "first" / name).read_text("utf-8")
        assert text == (tmp_path / "second" / name).read_text("utf-8")
        assert "batches: " in text


def test_a_file_without_figures_is_named(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    code, _, errors = run("picture", str(tmp_path / "none.json"))
    assert code == 2
    assert "none.json does not hold figures" in errors

"""Gaps in bronze: which they are, and what becomes of them once they were looked up in a topic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sluice.errors import BrokerDown, SluiceError
from sluice.serving.audit.findings import FAILED, OK, SKIPPED, Check
from sluice.serving.audit.topic import Topics

from .audit_lake import NO_BROKER, audited
from .lake_builder import append, at, bronze, build_lake

WITHOUT = "offsets at which a reader of the topic sees no record either"
GONE = "offsets that cannot be looked up: the topic no longer has them"
LEFT = "offsets that were not looked up: there was no time for more"
ABSENT = "offsets that bronze does not have"


@dataclass
class Partitions:
    """A topic by partition: the first offset it still has, the one after its last, and where a reader sees records."""

    bounds_: Mapping[int, tuple[int, int]]
    visible: set[tuple[int, int]] = field(default_factory=set)
    most: int = 1000
    failure: SluiceError | None = None

    def bounds(self, topic: str) -> Mapping[int, tuple[int, int]]:
        return self.bounds_ if topic == "iot.raw" else {}

    def look(self, topic: str, ranges: Sequence[tuple[int, int, int]]) -> list[tuple[list[int], bool]]:  # noqa: ARG002
        if self.failure:
            raise self.failure
        return [
            ([offset for offset in range(first, last + 1) if (partition, offset) in self.visible], number < self.most)
            for number, (partition, first, last) in enumerate(ranges)
        ]


def lake_with(path: Path, *offsets: int, **odd: object) -> Path:
    return build_lake(path, {"bronze.events": [bronze(offset, **odd) for offset in offsets]})


def topic_check(path: Path, topics: Topics | SluiceError) -> Check:
    (check,) = [check for check in audited(path, topics).checks if check.name == "bronze.topic"]
    return check


def notes(check: Check) -> dict[str, list[tuple[str, str]]]:
    return {note.what: [tuple(named) for named in note.first] for note in check.outcome.notes}


def test_without_a_broker_gaps_are_named_and_no_error(tmp_path: Path) -> None:
    lake = lake_with(tmp_path, 3, 4, 6, 65_535, 200_000)
    append(lake, "bronze.events", [bronze(70_000, partition=2), bronze(70_002, partition=2)])

    check = topic_check(lake, NO_BROKER)
    assert (check.result, check.reason) == (SKIPPED, "there is no broker")
    assert notes(check) == {
        ABSENT: [
            ("iot.raw:1:0:5", ""),
            ("iot.raw:1:0:7", "65,528 offsets"),
            ("iot.raw:1:0:65536", "134,464 offsets"),
            ("iot.raw:1:2:70001", ""),
        ]
    }
    assert check.outcome.counts == {"partitions": 2, "missing_offsets": 1 + 65_528 + 134_464 + 1}


def test_a_gap_over_whole_buckets_is_one_gap(tmp_path: Path) -> None:
    check = topic_check(lake_with(tmp_path, 0, 10_000_000_000), NO_BROKER)
    assert notes(check) == {ABSENT: [("iot.raw:1:0:1", "9,999,999,999 offsets")]}


def test_a_record_that_a_reader_sees_in_a_gap_is_missing(tmp_path: Path) -> None:
    lake = lake_with(tmp_path, 0, 1, 4, 6, 9)
    check = topic_check(lake, Partitions({0: (0, 12)}, {(0, offset) for offset in (0, 1, 3, 4, 6, 9, 10, 11)}))

    assert check.result == FAILED
    (problem,) = check.outcome.problems
    assert (problem.what, problem.count) == ("records of the topic that bronze does not have", 1)
    assert [named.at for named in problem.first] == ["iot.raw:1:0:3"]
    assert notes(check) == {WITHOUT: [("iot.raw:1:0:5", ""), ("iot.raw:1:0:7", "2 offsets")]}


def test_a_record_before_the_first_one_of_bronze_is_missing(tmp_path: Path) -> None:
    lake = lake_with(tmp_path, 5, 6)
    assert topic_check(lake, Partitions({0: (5, 7)})).result == OK
    check = topic_check(lake, Partitions({0: (3, 7)}, {(0, 3), (0, 4)}))
    assert [named.at for named in check.outcome.problems[0].first] == ["iot.raw:1:0:3", "iot.raw:1:0:4"]
    since = audited(lake, Partitions({0: (3, 7)}, {(0, 3), (0, 4)}), since=at("00:00:00"))
    assert since.balances


def test_what_the_topic_no_longer_has_is_told_and_no_error(tmp_path: Path) -> None:
    lake = lake_with(tmp_path, 0, 3, 9, 11)
    check = topic_check(lake, Partitions({0: (5, 12)}))
    assert check.result == OK
    assert notes(check) == {
        GONE: [("iot.raw:1:0:1", "2 offsets"), ("iot.raw:1:0:4", "")],
        WITHOUT: [("iot.raw:1:0:5", "4 offsets"), ("iot.raw:1:0:10", "")],
    }


def test_a_topic_that_ends_before_bronze_is_another_one(tmp_path: Path) -> None:
    lake = lake_with(tmp_path, 0, 3, 9)
    check = topic_check(lake, Partitions({0: (0, 9)}, {(0, 1)}))
    assert (check.result, check.outcome.problems) == (OK, [])
    (other, gone) = sorted(notes(check), reverse=True)
    assert other.startswith("partitions that end before bronze does")
    assert notes(check)[other] == [("iot.raw:1:0:9", "the topic ends before 9")]
    assert notes(check)[gone] == [("iot.raw:1:0:1", "2 offsets"), ("iot.raw:1:0:4", "5 offsets")]


def test_a_recreated_topic_is_compared_with_its_own_generation(tmp_path: Path) -> None:
    lake = lake_with(tmp_path, 0, 2)
    append(lake, "bronze.events", [bronze(offset, topic_generation=2) for offset in (0, 2)])
    check = topic_check(lake, Partitions({0: (0, 3)}, {(0, 1)}))
    assert [named.at for named in check.outcome.problems[0].first] == ["iot.raw:2:0:1"]
    assert notes(check) == {GONE: [("iot.raw:1:0:1", "")]}


def test_a_topic_that_the_broker_does_not_have_leaves_nothing_to_compare(tmp_path: Path) -> None:
    lake = lake_with(tmp_path, 0, 2, topic="other")
    check = topic_check(lake, Partitions({0: (0, 3)}))
    assert (check.result, check.reason) == (SKIPPED, "the broker has no topic other")
    assert notes(check) == {GONE: [("other:1:0:1", "")]}


def test_gaps_that_there_was_no_time_for_are_told(tmp_path: Path) -> None:
    check = topic_check(lake_with(tmp_path, 0, 4, 6, 8), Partitions({0: (0, 9)}, most=1))
    assert check.result == OK
    assert notes(check) == {
        WITHOUT: [("iot.raw:1:0:1", "3 offsets")],
        LEFT: [("iot.raw:1:0:5", ""), ("iot.raw:1:0:7", "")],
    }


def test_a_broker_that_goes_away_meanwhile_is_said(tmp_path: Path) -> None:
    failing = Partitions({0: (0, 9)}, failure=BrokerDown("it went away"))
    check = topic_check(lake_with(tmp_path, 0, 2), failing)
    assert (check.result, check.reason) == (SKIPPED, "it went away")
    assert notes(check) == {LEFT: [("iot.raw:1:0:1", "")]}


def test_offsets_that_a_person_gave_up_are_not_looked_for(tmp_path: Path) -> None:
    lake = lake_with(tmp_path, 5, 6, 20, 22)
    floors = [
        {"table": "bronze.events", "range": "iot.raw:1:0", "since": None, "before": "5"},
        {"table": "bronze.events", "range": "iot.raw:1:0", "since": "7", "before": "19"},
        {"table": "bronze.events", "range": "iot.raw:1:1", "since": "20", "before": "30"},
        {"table": "silver.readings", "range": "event_date", "since": None, "before": "2026-01-01"},
    ]
    append(lake, "ops.floors", floors)
    told = "offsets that were given up, as ops.floors says"

    check = topic_check(lake, NO_BROKER)
    assert notes(check) == {ABSENT: [("iot.raw:1:0:19", ""), ("iot.raw:1:0:21", "")], told: []}
    every = {(0, offset) for offset in range(23)}
    check = topic_check(lake, Partitions({0: (3, 23)}, every))
    assert [named.at for named in check.outcome.problems[0].first] == ["iot.raw:1:0:19", "iot.raw:1:0:21"]
    assert [note.count for note in check.outcome.notes if note.what == told] == [12]


@pytest.mark.parametrize("every", [2, 3])
def test_many_gaps_are_all_looked_up(tmp_path: Path, every: int) -> None:
    offsets = range(0, 4000, every)
    check = topic_check(lake_with(tmp_path, *offsets), Partitions({0: (0, 4001)}, {(0, 1999)}, most=10_000))
    assert [named.at for named in check.outcome.problems[0].first] == ["iot.raw:1:0:1999"]
    assert check.outcome.counts["missing_offsets"] == max(offsets) + 1 - len(offsets)

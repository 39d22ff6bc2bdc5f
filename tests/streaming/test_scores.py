"""gold/quality_scores follows silver: whole days, only where something changed, and nothing twice."""

from __future__ import annotations

import shutil
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from sluice.embedded.broker import RunningBroker
from sluice.pipelines import scores as scores_module
from sluice.pipelines.rulebook import load_rulebook
from sluice.pipelines.scores import DailyScores, open_scores
from sluice.schemas import GOLD_QUALITY_SCORES, SILVER_QUARANTINE, SILVER_READINGS
from sluice.tables.delta import change_status, current_version
from sluice.testing import day
from tests.streaming.conftest import Workshop, open_workshop, reading
from tests.streaming.deaths import Died, dying

Scores = dict[tuple[date, str], dict[str, Any]]

OLD, NEW = day(2024, 3, 1), day(2024, 3, 2)
FIRST, SECOND = {"timestamp": "2024-03-01T10:00:00Z"}, {"timestamp": "2024-03-02T10:00:00Z"}
NAMES = tuple(name for name in GOLD_QUALITY_SCORES.column_names if name not in ("day", "device_id", "updated_at"))
# What a device with an interval of 5 s sends in a day.
WHOLE = 17_280.0


def table(workshop: Workshop) -> Scores:
    """The whole table but for `updated_at`."""
    rows = workshop.read(GOLD_QUALITY_SCORES).collect()
    return {(row["day"], row["device_id"]): {name: row[name] for name in NAMES} for row in rows}


def times(workshop: Workshop) -> dict[tuple[date, str], datetime]:
    rows = workshop.read(GOLD_QUALITY_SCORES).select("day", "device_id", "updated_at").collect()
    return {(row["day"], row["device_id"]): row["updated_at"] for row in rows}


def version(workshop: Workshop) -> int:
    return current_version(workshop.lake, GOLD_QUALITY_SCORES)


def scored_as(*dimensions: float | None, band: str, customer: str | None = "acme", **counts: float) -> dict[str, Any]:
    """A row of the table: its dimensions in order, and the counts that are not 0."""
    known = [value for value in dimensions if value is not None]
    zero = dict.fromkeys(("readings", "quarantined", "out_of_range", "duplicates", "judged", "late", "inconsistent"), 0)
    row = {**dict(zip(NAMES[1:6], dimensions, strict=True)), "score": 100 * sum(known) / len(known), "expected": None}
    exact = {"customer": customer, "band": band, **zero}
    return {name: pytest.approx(value, abs=1e-9) for name, value in row.items()} | exact | counts


def covered_today(workshop: Workshop) -> tuple[date, float]:
    """The day of the newest record, and how many readings were expected of a device up to it."""
    tables = [workshop.read(each).select("kafka_timestamp") for each in (SILVER_READINGS, SILVER_QUARANTINE)]
    newest = tables[0].unionAll(tables[1]).agg(F.max(F.unix_micros("kafka_timestamp"))).collect()[0][0]
    moment = datetime.fromtimestamp(newest / 1e6, timezone.utc)
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return moment.date(), (moment - midnight).total_seconds() / 5


@pytest.fixture(scope="module")
def scored(spark: SparkSession, broker: RunningBroker, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """One drained lake with every kind of record, of two days and the one on which they came."""
    workshop = open_workshop(spark, broker, tmp_path_factory.mktemp("scores") / "lake")
    workshop.send(
        [
            reading(20.0, event_id="a", **FIRST),
            reading(20.0, event_id="a", **FIRST),
            reading(99.0, event_id="hot", **FIRST),
            reading(20.0, event_id="b", status="purple", **SECOND),
            reading(20.0, event_id="c", device_id="stranger", **SECOND),
            b"{",
            reading(500.0, event_id="impossible", **FIRST),
        ]
    )
    workshop.drain()
    return workshop


@pytest.fixture
def copied(scored: Workshop, tmp_path: Path) -> Workshop:
    """The drained lake as a copy of the test's own."""
    shutil.copytree(scored.lake.path, tmp_path / "lake")
    return scored.with_settings(lake__path=str(tmp_path / "lake"))


def test_every_record_counts_once_for_its_day_and_device(scored: Workshop) -> None:
    today, expected = covered_today(scored)
    counts = {"received": 3, "readings": 2, "out_of_range": 1, "duplicates": 1, "judged": 2, "late": 2}
    odd = {"received": 1, "readings": 1, "judged": 1, "late": 1}
    refused = {"received": 1, "quarantined": 1}
    assert table(scored) == {
        (OLD, "sensor-0001"): scored_as(2 / WHOLE, 2 / 3, 2 / 3, 0, 1, band="critical", expected=WHOLE, **counts),
        (NEW, "sensor-0001"): scored_as(1 / WHOLE, 1, 1, 0, 0, band="critical", expected=WHOLE, inconsistent=1, **odd),
        (NEW, "stranger"): scored_as(None, 1, 1, 0, 1, band="critical", customer=None, **odd),
        (today, "(unreadable)"): scored_as(None, 0, 1, None, None, band="critical", customer=None, **refused),
        (today, "sensor-0001"): scored_as(
            *(0, 0, 1, None, 1), band="critical", expected=pytest.approx(expected), judged=1, **refused
        ),
    }


def test_nothing_new_makes_no_new_version_even_where_all_days_are_counted_again(copied: Workshop) -> None:
    before, known = version(copied), times(copied)
    copied.drain(["silver", "gold"])
    assert version(copied) == before == 1
    (copied.lake.checkpoint_path("gold") / "scores.json").write_text("{", "utf-8")
    copied.drain(["gold"])
    assert (version(copied), times(copied)) == (1, known)


@pytest.mark.soak
def test_a_late_event_corrects_its_day_alone_also_after_deaths_on_the_way(
    copied: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, known = table(copied), times(copied)
    with monkeypatch.context() as patch:
        patch.setattr(DailyScores, "bring_up_to_date", lambda _: [])
        copied.send([reading(21.0, event_id="late", **FIRST)])
        copied.drain()
    scores = open_scores(copied.settings)
    for name, versions in (("replace_days", 1), ("write_atomically", 2)):
        with monkeypatch.context() as patch:
            patch.setattr(scores_module, name, dying(getattr(scores_module, name), 1))
            with pytest.raises(Died):
                scores.bring_up_to_date()
        assert version(copied) == versions
    assert scores.bring_up_to_date() == []
    today, expected = covered_today(copied)
    counts = {"received": 4, "readings": 3, "out_of_range": 1, "duplicates": 1, "judged": 3, "late": 3}
    corrected = scored_as(3 / WHOLE, 0.75, 0.75, 0, 1, band="critical", expected=WHOLE, **counts)
    # The day goes on, so more is expected of a device that has a row in it.
    longer = {**before[today, "sensor-0001"], "expected": pytest.approx(expected)}
    assert table(copied) == {**before, (OLD, "sensor-0001"): corrected, (today, "sensor-0001"): longer}
    changed = {key for key, moment in times(copied).items() if moment != known[key]}
    assert changed == {(OLD, "sensor-0001"), (today, "sensor-0001")}
    assert version(copied) == 2


def test_a_record_that_leaves_quarantine_leaves_its_score(copied: Workshop) -> None:
    before, (today, _) = table(copied), covered_today(copied)
    change_status(copied.spark, copied.lake, SILVER_QUARANTINE, F.col("device_id").isNull(), "replayed")
    assert open_scores(copied.settings).bring_up_to_date() == [today]
    del before[today, "(unreadable)"]
    assert table(copied) == before


def test_scores_are_due_in_their_time_and_take_at_most_a_tenth_of_it(
    scored: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    rulebook = load_rulebook(scored.settings, "silver")
    scores = DailyScores(scored.settings, rulebook, clock=lambda: now[0])

    def due() -> list[bool]:
        moments, found = (299.9, 300.0, 999.9, 1000.0), []
        began = now[0]
        for moment in moments:
            now[0] = began + moment
            found.append(scores.is_due(False))
        return found

    assert due() == [False, True, True, True]
    assert scores.is_due(True)
    assert scores.bring_up_to_date() == []
    assert due() == [False, True, True, True]

    def slow(_: DailyScores) -> list[date]:
        now[0] += 100.0
        return []

    monkeypatch.setattr(DailyScores, "_update", slow)
    scores.bring_up_to_date()
    assert due() == [False, False, False, True]

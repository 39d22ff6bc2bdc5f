"""The lakes that stages find, each with what an undisturbed run makes of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice import schemas
from sluice.pipelines.quarantine import DISCARD_QUARANTINED, REPLAY_QUARANTINED
from sluice.schemas import BRONZE_EVENTS
from sluice.serving.spans import parse_span
from sluice.tables.delta import Transaction
from sluice.tables.many_rows import append_many
from sluice.tables.selection import Selection
from sluice.testing import rows_of, utc
from tests.streaming.conftest import Workshop, reading
from tests.streaming.crash.books import outcome
from tests.streaming.test_gate import BAD, decide, huge, promotion_of, with_low_guard
from tests.streaming.test_quarantine import ask
from tests.streaming.test_replay import replay

# Both hold readings, copies, conflicts, unreadable and refused ones, and values whose minute gold holds.
FIRST: list[bytes | dict[str, Any]] = [
    reading(20.0),
    reading(20.0),
    reading(21.0),
    reading(500.0, event_id="hot"),
    reading(500.0, event_id="hot"),
    b"{",
    reading(22.0, event_id="e2"),
    huge("m", 1e308, 0),
    huge("m", 1.1e308, 0),
]
SECOND: list[bytes | dict[str, Any]] = [
    reading(20.0),
    reading(23.0, event_id="e3"),
    reading(24.0, event_id="e2"),
    b"}",
    reading(-60.0, event_id="cold"),
    huge("m", 1.0, 0),
    reading(25.0, event_id="e4", timestamp="2024-03-01T10:05:00Z"),
]


@dataclass(frozen=True)
class Scene:
    """A lake with work for one stage.

    Attributes:
        ready: the lake as the stage finds it; only ever copied.
        done: the lake as an undisturbed run left it.
        expected: its outcome.
        hold: the promotion that a stage decides about, or empty.
    """

    ready: Workshop
    done: Workshop
    expected: dict[str, list[str]]
    hold: str

    def copied(self, lake: Path) -> Workshop:
        """The lake as the stage finds it, as a copy of one's own."""
        shutil.copytree(self.ready.lake.path, lake)
        # What happens in a folder before it is watched is not told: a new one may be too late for its first file.
        (lake / "_locks").mkdir(exist_ok=True)
        suites = str(self.ready.settings.expectations.path)
        return self.ready.with_settings(lake__path=str(lake), expectations__path=suites)


class Scenes:
    """Makes each scene when it is first asked for, out of what the stages before it left.

    Args:
        workshop: whose topic the scenes share.
        folder: for their lakes.
    """

    def __init__(self, workshop: Workshop, folder: Path) -> None:
        self._folder = folder
        self._workshop = with_low_guard(workshop, folder / "suites")
        self._made: dict[str, Scene] = {}

    def at(self, lake: Path, suites: str = "suites") -> Workshop:
        """The scenes' topic with another lake."""
        path = self._folder / suites
        return self._workshop.with_settings(lake__path=str(lake), expectations__path=str(path))

    def __getitem__(self, name: str) -> Scene:
        if name not in self._made:
            self._made[name] = _MAKERS[name](self, name)
        return self._made[name]

    def make(
        self, name: str, start: Workshop, work: Callable[[Workshop], object], hold: str = "", suites: str = "suites"
    ) -> Scene:
        """A scene that starts with a copy of a lake, on which `work` is what has to be done."""
        ready, done = (self.at(self._folder / name / state, suites) for state in ("ready", "done"))
        for workshop in (ready, done):
            shutil.copytree(start.lake.path, workshop.lake.path)
        work(done)
        return Scene(ready, done, outcome(done.lake.path), hold)

    def make_bronze(self, name: str) -> Scene:
        """One batch is through all layers, a second one is in the topic."""
        start = self.at(self._folder / "start")
        start.send(FIRST)
        start.drain()
        start.send(SECOND[:4])
        start.send(SECOND[4:], partition=1)
        return self.make(name, start, lambda done: done.drain(["bronze"]))

    def make_silver(self, name: str) -> Scene:
        """The second batch is in bronze."""
        return self.make(name, self["bronze"].done, lambda done: done.drain(["silver"]))

    def make_gold(self, name: str) -> Scene:
        """The second batch is in silver."""
        return self.make(name, self["silver"].done, lambda done: done.drain(["gold"]))

    def make_whole(self) -> Scene:
        """The second batch is in the topic, and all layers are to take it."""
        gold = self["gold"]
        return Scene(self["bronze"].ready, gold.done, gold.expected, "")

    def make_refused(self, name: str) -> Scene:
        """A batch is in bronze that the gate will refuse; not in the topic, where other scenes would find it."""
        start = self.at(self._folder / "bad")
        shutil.copytree(self["silver"].done.lake.path, start.lake.path)
        at = utc(2024, 3, 1, 12)
        values = [json.dumps(each).encode() if isinstance(each, dict) else each for each in BAD]
        rows = [{"value": bytearray(value), "kafka_timestamp": at} for value in values]
        append_many(rows_of(start.spark, BRONZE_EVENTS, rows), start.lake, BRONZE_EVENTS, Transaction("scene", 0))
        return self.make(name, start, lambda done: done.drain(["silver"]))

    def make_decided(self, name: str) -> Scene:
        """A batch, or a minute, is held: the name says of which layer, and what is to be done about it."""
        action, layer = name.split(" ")
        start, batch_id = (self["refused"].done, 2) if layer == "silver" else (self["gold"].done, 1)
        hold = promotion_of(start, layer, batch_id)
        return self.make(name, start, lambda done: decide(done, layer, action, hold), hold)

    def make_asked(self, name: str) -> Scene:
        """What broke a rule stands in quarantine, and breaks none of a wider suite that is in force now."""
        self._widen()
        selection, action = Selection(code=schemas.RULE_FAILED), _ACTIONS[name]
        start = self["silver"].done
        return self.make(name, start, lambda done: ask(done, action, selection, "ann", "looked at it"), suites="wide")

    def make_rebuilt(self, name: str) -> Scene:
        """Both batches are through all layers, and everything is to be made anew under a wider suite."""
        self._widen()
        span = parse_span("2000-01-01T00:00:00Z", None)
        return self.make(name, self["gold"].done, lambda done: replay(done, span, "looked at it"), suites="wide")

    def _widen(self) -> None:
        """Makes the suites that let in what broke a rule of the usual ones."""
        suites = self._folder / "wide"
        if suites.exists():
            return
        shutil.copytree(self._workshop.settings.expectations.path, suites)
        path = suites / "silver_readings.json"
        suite = json.loads(path.read_text("utf-8"))
        for rule in suite["expectations"]:
            if rule["meta"]["rule_id"] == "temperature_celsius_possible":
                rule["kwargs"].update(min_value=-1000, max_value=1000)
        path.write_text(json.dumps(suite), "utf-8")


_ACTIONS = {schemas.REPLAY: REPLAY_QUARANTINED, schemas.DISCARD: DISCARD_QUARANTINED}
_MAKERS: dict[str, Callable[[Scenes, str], Scene]] = {
    "bronze": Scenes.make_bronze,
    "silver": Scenes.make_silver,
    "gold": Scenes.make_gold,
    "whole": lambda scenes, _: scenes.make_whole(),
    "refused": Scenes.make_refused,
    **dict.fromkeys(_ACTIONS, Scenes.make_asked),
    schemas.REBUILD: Scenes.make_rebuilt,
    **{
        f"{action} {layer}": Scenes.make_decided
        for action in (schemas.APPROVE, schemas.REJECT)
        for layer in schemas.LEDGERS
    },
}

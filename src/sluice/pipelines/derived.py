"""What gold's job keeps beside its micro-batches: the devices, the scores, the hours and days."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sluice.pipelines.devices import open_devices
from sluice.pipelines.rollups import open_rollups
from sluice.pipelines.rulebook import Rulebook
from sluice.pipelines.scores import open_scores
from sluice.settings import Settings


class Part(Protocol):
    """Tables that are derived from others."""

    def is_due(self, has_ended: bool) -> bool:
        """Whether it is time to bring them up to date; told whether the query has drained all there was and ended."""
        ...

    def bring_up_to_date(self) -> object:
        """Writes what has changed."""
        ...


def open_derived(settings: Settings, rulebook: Rulebook) -> Derived:
    """What keeps the derived tables of gold.

    Args:
        rulebook: of gold.

    Raises:
        ContractInvalid, RegistryInvalid, SuiteInvalid: the rulebook of silver cannot be applied whole.
    """
    return Derived([open_devices(settings, rulebook), open_scores(settings), open_rollups(settings)])


class Derived:
    """All parts, each in its time."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self._due: list[Part] = []

    def is_due(self, has_ended: bool) -> bool:
        """Whether it is time for any of them."""
        self._due = [part for part in self._parts if part.is_due(has_ended)]
        return bool(self._due)

    def bring_up_to_date(self) -> None:
        """Brings those up to date that were due when that was asked last."""
        for part in self._due:
            part.bring_up_to_date()

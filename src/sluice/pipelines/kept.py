"""Frames kept for the time of one micro-batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pyspark.sql import DataFrame


@dataclass
class Keeper:
    """Keeps frames until the micro-batch is done."""

    _settled: list[DataFrame] = field(default_factory=list)

    def settle(self, frame: DataFrame) -> DataFrame:
        """The frame's rows as they are now, cut off from the tables they were read from.

        A frame that is only persisted is computed anew once a table it read has been written: later writes of
        the micro-batch would see other rows than the gate did. And it drags its whole plan into every query on it,
        which for a small batch costs more than the rows. The price: an executor that is lost takes its rows along,
        and the batch is repeated.
        """
        self._settled.append(frame.localCheckpoint(eager=True))
        return self._settled[-1]

    def release(self) -> None:
        """Lets go of all."""
        for frame in self._settled:
            frame._jdf.logicalPlan().rdd().unpersist(False)


@contextmanager
def kept_in_memory() -> Iterator[Keeper]:
    """Gives what keeps frames until the block ends, however it ends."""
    keeper = Keeper()
    try:
        yield keeper
    finally:
        keeper.release()

"""Frames kept for the time of one micro-batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pyspark import StorageLevel
from pyspark.sql import DataFrame


@dataclass
class Keeper:
    """Keeps frames until the micro-batch is done."""

    _persisted: list[DataFrame] = field(default_factory=list)
    _settled: list[DataFrame] = field(default_factory=list)

    def keep(self, frame: DataFrame) -> DataFrame:
        """The frame, computed once when first needed; for what reads no table that the micro-batch writes."""
        self._persisted.append(frame.persist(StorageLevel.MEMORY_AND_DISK))
        return self._persisted[-1]

    def settle(self, frame: DataFrame) -> DataFrame:
        """The frame's rows as they are now, cut off from the tables they were read from.

        A frame that is only persisted is computed anew once a table it read has been written: later writes of
        the micro-batch would see other rows than the gate did.
        """
        self._settled.append(frame.localCheckpoint(eager=True))
        return self._settled[-1]

    def release(self) -> None:
        """Lets go of all."""
        for frame in reversed(self._persisted):
            frame.unpersist()
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
